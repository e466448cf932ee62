import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { type WebSocket, WebSocketServer } from 'ws'
import { systemFiles } from '../../../src/platform/index.ts'
import { readDashboardFile } from '../../../src/service/http/dashboard-files.ts'
import { DASHBOARD_POLICY } from '../../../src/service/http/routes/dashboard-page-routes.ts'
import type { Cleanup } from './node-process.ts'

const assetsDirectory = resolve(import.meta.dirname, '../../../dist/assets')

/** What a test chooses of the cluster that the stub pretends to be. */
export interface StubOptions {
  /** False: the upgrade is refused, as by a node without the WebSocket. */
  hasSocket: boolean
  /** False: no session routes; an operator credential gives a token. */
  hasSessions: boolean
  /** False: alerts and events are not pushed, as by a node of an older version. */
  pushes: boolean
  role: 'viewer' | 'operator' | 'admin'
  /** Lines of the log when the page opens. */
  lines: StubLine[]
}

export interface StubLine {
  timestamp: string
  node_id: string
  level: string
  logger_name: string
  message: string
  fields?: Record<string, unknown>
  trace_id?: string
  seq: number
}

/** A coordinator as the dashboard sees it, with every state a cluster can be in. Speaks plain HTTP on loopback. */
export interface DashboardStub {
  url: string
  /** Requests that changed something: `POST /api/… {body}`. */
  acts: string[]
  /** What the page asked the WebSocket for, newest last. */
  subscriptions: Record<string, unknown>[]
  /** Sends to every connected page. */
  push: (message: object) => void
  /** Cuts every WebSocket and refuses what comes, until `recover`. */
  fail: () => void
  recover: () => void
}

/** What the login takes. */
export const STUB_CREDENTIAL = 'P2PO1-stub'
export const STUB_LINK = 'one-time'
export const STUB_INVITATION = 'welcome'
/** Ada's name and password are enough; for Grace the code is needed too. */
export const STUB_PASSWORD = 'correct horse battery staple'
export const STUB_CODE = '123456'

const NOW_MS = Date.now()
const ago = (s: number): string => new Date(NOW_MS - s * 1000).toISOString()

const GIB = 2 ** 30
const HOSTILE = '<img src=x onerror="window.wasRun=true">'

/** A service whose name no deployment would take, as a forged record could carry it. */
export const HOSTILE_SERVICE = HOSTILE

type Health = [version: string, status: string, description: string]
const served = (services: Record<string, Health>) =>
  Object.fromEntries(
    Object.entries(services).map(([name, [version, status, description]]) => [
      name,
      { version, status, description, methods: ['list'] },
    ]),
  )

const SYSTEM: Health = ['3.0.0', 'healthy', 'Facts and health of the node']
const LOGS: Health = ['3.0.0', 'healthy', 'Log lines of the node']
const SHOP: Health = ['2.4.1', 'healthy', 'Orders and carts of the web shop']
const SEARCH: Health = ['1.12.0', 'healthy', 'Finds products']

function node(index: number, name: string, status: string, services: Record<string, Health>) {
  return {
    node_id: name,
    address: `10.20.0.${10 + index}`,
    port: 8002,
    role: name.startsWith('coordinator') ? 'coordinator' : 'worker',
    status,
    services: served({ system: SYSTEM, log_collector: LOGS, ...services }),
    addresses: [`10.20.0.${10 + index}`, `fd00::${10 + index}`],
    last_seen: status === 'alive' ? ago(0) : ago(95),
    metadata: {
      started_at: ago(86_400 * (index + 1)),
      version: '3.0.0',
      cpus: 8,
      memory_bytes: 32 * GIB,
      labels: index % 2 === 0 ? { rack: 'a', disk: 'ssd' } : { rack: 'b' },
    },
  }
}

const NODES = [
  node(0, 'coordinator-1', 'alive', { inventory: ['1.3.0', 'healthy', 'Stock of all warehouses'] }),
  node(1, 'worker-berlin-1', 'alive', { shop: SHOP, search: SEARCH }),
  node(2, 'worker-berlin-2', 'alive', { shop: SHOP, search: SEARCH, [HOSTILE]: ['0.0.1', 'healthy', HOSTILE] }),
  node(3, 'worker-oslo-1', 'suspected', { shop: SHOP, payments: ['5.0.2', 'failing', 'Takes cards'] }),
  node(4, 'worker-oslo-2', 'alive', { shop: SHOP, search: SEARCH }),
  node(5, 'worker-lisbon-1', 'dead', { search: SEARCH }),
]

/** A curve without chance, so that two screenshots are the same. */
const wave = (index: number, at: number, base: number, swing: number): number =>
  Math.max(0.5, base + swing * (Math.sin(at / 9 + index) + 0.45 * Math.sin(at / 2.3 + index * 2)))

function historyOf(index: number, points: number, seconds: number) {
  return Array.from({ length: points }, (_, at) => ({
    timestamp: ago((points - 1 - at) * seconds),
    cpu_percent: wave(index, at, 24 + index * 6, 9),
    memory_percent: wave(index, at / 4, 46 + index * 4, 3),
    disk_percent: 38 + index * 4 + at / points,
    network_rx_bytes_s: wave(index, at, 8, 4) * 2 ** 20,
    network_tx_bytes_s: wave(index + 2, at, 5, 2) * 2 ** 20,
    load_1: wave(index, at, 1.9, 0.6),
    loop_lag_ms: wave(index, at, 3, 1.5),
  }))
}

/** With a rise of failures, and a time in which nothing was called. */
function callsOf(index: number, points: number, seconds: number) {
  const { calls_per_s: rate, p50_ms: median, p99_ms: high } = SERVICES[index] as (typeof SERVICES)[number]
  return Array.from({ length: points }, (_, at) => {
    const isIdle = at > points * 0.3 && at < points * 0.36
    const isBad = at > points * 0.7 && at < points * 0.8
    const calls = isIdle ? 0 : wave(index, at, rate, rate / 5)
    return {
      timestamp: ago((points - 1 - at) * seconds),
      calls_per_s: calls,
      errors_per_s: isBad ? calls * 0.3 : 0,
      p50_ms: isIdle ? null : wave(index, at, median ?? 2, (median ?? 2) / 5),
      p99_ms: isIdle ? null : wave(index, at, (high ?? 9) * (isBad ? 4 : 1), (high ?? 9) / 4),
    }
  })
}

function metricsOf(index: number) {
  const { cpu_percent, memory_percent, disk_percent, load_1 } = historyOf(index, 100, 4).at(-1) as ReturnType<
    typeof historyOf
  >[number]
  const used = (32 * GIB * memory_percent) / 100
  return {
    cpu_percent,
    cpu_count: 8,
    memory: { percent: memory_percent, available: 32 * GIB - used, used, total: 32 * GIB },
    disk: { percent: disk_percent, free: 300 * GIB, used: 200 * GIB, total: 500 * GIB },
    load_average: [load_1, load_1 * 0.9, load_1 * 0.8],
    process_count: 212,
    timestamp: ago(0),
  }
}

const figures = (calls: number, errors: number, p50: number, p99: number) => ({
  calls_per_s: calls,
  error_ratio: errors,
  p50_ms: p50,
  p99_ms: p99,
})
const ALL = NODES.map(({ node_id }) => node_id)
const SERVICES = [
  {
    name: 'inventory',
    wanted: 1,
    running: 1,
    healthy: 1,
    versions: ['1.3.0'],
    nodes: ALL.slice(0, 1),
    ...figures(3.2, 0, 1.8, 9.4),
  },
  {
    name: 'log_collector',
    wanted: 6,
    running: 5,
    healthy: 5,
    versions: ['3.0.0'],
    nodes: ALL,
    ...figures(0.3, 0, 0.9, 2),
  },
  {
    name: 'payments',
    wanted: 1,
    running: 1,
    healthy: 0,
    versions: ['5.0.2'],
    nodes: ['worker-oslo-1'],
    ...figures(0.8, 0.31, 84, 1900),
  },
  {
    name: 'search',
    wanted: 4,
    running: 3,
    healthy: 3,
    versions: ['1.12.0'],
    nodes: ALL.slice(1, 5),
    ...figures(212, 0.001, 6.1, 44),
  },
  {
    name: 'shop',
    wanted: 4,
    running: 4,
    healthy: 4,
    versions: ['2.4.1', '2.5.0'],
    nodes: ALL.slice(1, 5),
    ...figures(1840, 0, 3.4, 21),
  },
  {
    name: 'reports',
    wanted: 0,
    running: 0,
    healthy: 0,
    versions: ['0.9.0'],
    nodes: [],
    calls_per_s: 0,
    error_ratio: 0,
    p50_ms: null,
    p99_ms: null,
  },
  {
    name: HOSTILE,
    wanted: 1,
    running: 1,
    healthy: 1,
    versions: ['0.0.1'],
    nodes: ['worker-berlin-2'],
    ...figures(0, 0, 0, 0),
  },
]

const CALLS = [
  { from: 'worker-berlin-1', to: 'worker-berlin-2', calls_per_s: 212 },
  { from: 'worker-berlin-2', to: 'worker-oslo-2', calls_per_s: 1_340 },
  { from: 'worker-oslo-2', to: 'worker-berlin-1', calls_per_s: 87 },
  { from: 'worker-berlin-1', to: 'coordinator-1', calls_per_s: 3.2 },
  { from: 'worker-berlin-2', to: 'worker-oslo-1', calls_per_s: 0.8 },
  { from: 'worker-oslo-2', to: 'worker-berlin-2', calls_per_s: 410 },
]

const ALERTS = [
  {
    id: 'node/worker-lisbon-1',
    rule: 'node',
    state: 'firing',
    severity: 'error',
    title: 'worker-lisbon-1 is down',
    detail: 'No node has reached it for 95 s.',
    node_id: 'worker-lisbon-1',
    remedy: 'See whether the machine runs; it comes back by itself when it does.',
    since: ago(95),
    fired_at: ago(85),
    is_flapping: false,
  },
  {
    id: 'service/payments',
    rule: 'service',
    state: 'firing',
    severity: 'error',
    title: 'payments fails on worker-oslo-1',
    detail: 'connect ECONNREFUSED 10.20.0.40:5432',
    service: 'payments',
    remedy: 'See its log; roll back if the last deploy brought it.',
    since: ago(420),
    fired_at: ago(405),
    is_flapping: true,
    acknowledged: { by: 'person:grace', at: ago(300), note: 'on my way' },
    silenced_until: ago(-3_600),
  },
  {
    id: 'disk/worker-madrid-2',
    rule: 'disk',
    state: 'resolved',
    severity: 'warning',
    title: 'The disk of worker-madrid-2 is 91 % full',
    detail: '',
    node_id: 'worker-madrid-2',
    since: ago(9_000),
    fired_at: ago(8_800),
    resolved_at: ago(4_000),
    is_flapping: false,
  },
]
const SILENCES = [
  { id: '3f0a9c21b7d4', alert_id: 'service/payments', until: ago(-3_600), by: 'person:grace', reason: 'new database' },
]
const TARGETS = [
  { name: 'webhook hooks.example.org', waiting: 0, lost: 0, last_sent: ago(85) },
  { name: 'e-mail mail.example.org', waiting: 2, lost: 0, failure: 'connect ECONNREFUSED 10.20.0.9:587' },
]
const WHY_SHOP = {
  kind: 'service',
  name: 'shop',
  state: 'degraded',
  summary: 'shop: 4 of 5 run and are healthy. It began 2 minutes after this: ada deployed shop 2.5.0.',
  cause: { what: 'out-of-memory', text: 'On worker-oslo-1: it ran out of memory.', since: ago(240) },
  before: [
    {
      id: '2',
      time: ago(240),
      kind: 'health',
      severity: 'error',
      title: 'shop was given up on worker-oslo-1',
      service: 'shop',
    },
    { id: '1', time: ago(360), kind: 'deploy', severity: 'info', title: 'ada deployed shop 2.5.0', service: 'shop' },
  ],
  logs: [
    {
      timestamp: ago(241),
      node_id: 'worker-oslo-1',
      level: 'ERROR',
      logger_name: 'shop',
      message: 'heap out of memory',
    },
  ],
  remedy: 'Raise limits.memoryMb in its manifest.json and deploy it again.',
}
const ATTENTION = [
  {
    severity: 'error',
    title: 'worker-lisbon-1 is down',
    detail: 'No node has reached it for 95 s.',
    node_id: 'worker-lisbon-1',
    remedy: 'See whether the machine runs; it comes back by itself when it does.',
    since: ago(95),
  },
  {
    severity: 'error',
    title: 'payments fails on worker-oslo-1',
    detail: 'connect ECONNREFUSED 10.20.0.40:5432',
    service: 'payments',
    remedy: 'See its log; roll back if the last deploy brought it.',
    since: ago(420),
  },
  {
    severity: 'warning',
    title: 'worker-oslo-1 answers late',
    detail: 'Under suspicion.',
    node_id: 'worker-oslo-1',
    since: ago(6),
  },
]

const WORDS = [
  ['INFO', 'Shop', 'order 48213 placed, 3 items, 129.90 EUR'],
  ['INFO', 'Gossip', 'push-pull with coordinator-1 in 4 ms'],
  ['INFO', 'Search', 'index of 48,112 products refreshed in 212 ms'],
  ['WARNING', 'Gossip', 'worker-oslo-1 did not answer a probe; asking three others'],
  ['INFO', 'Http', 'GET /services 200 in 2 ms'],
  ['ERROR', 'Payments', 'connect ECONNREFUSED 10.20.0.40:5432'],
  ['INFO', 'Renewal', 'certificate is good for another 16 h'],
] as const

/** So many lines of ordinary work, a few of them bad, oldest first, the last one now. */
export function stubLines(count: number): StubLine[] {
  return Array.from({ length: count }, (_, index) => {
    const [level, logger, message] = WORDS[(index * 5 + (index >> 3)) % WORDS.length] as (typeof WORDS)[number]
    const nodeIndex = (index * 7) % 5
    return {
      timestamp: new Date(NOW_MS - (count - index) * 130).toISOString(),
      node_id: ALL[nodeIndex] as string,
      level,
      logger_name: logger,
      message,
      fields: { took_ms: index % 40 },
      ...(level === 'ERROR' && { trace_id: 'c0ffee'.repeat(5) + String(10 + (index % 90)) }),
      seq: index + 1,
    }
  })
}

const DAY_MS = 86_400_000
const PENDING = {
  request_id: 'r-1',
  node_id: 'worker-madrid-1',
  role: 'worker',
  fingerprint: '4f1c9a07b2d3e8566a90cf1122aa87ee0b4d5c6f7081929394a5b6c7d8e9f012',
  remote_address: '10.20.4.7',
  ip_addresses: ['10.20.4.7'],
  dns_names: ['worker-madrid-1'],
  requested_at_ms: NOW_MS - 40_000,
}

const user = (name: string, role: string, rest: object) => ({
  name,
  role,
  created_at_ms: NOW_MS - 40 * DAY_MS,
  created_by: 'person:operator',
  has_password: true,
  has_code: false,
  passkeys: 0,
  sessions: 0,
  ...rest,
})
const USERS = [
  user('ada', 'admin', { has_code: true, sessions: 2 }),
  user('grace@example.org', 'operator', { sessions: 1 }),
  user('linus', 'viewer', {}),
  user('margaret', 'operator', { has_password: false, invitation_ends_ms: NOW_MS + 2 * DAY_MS }),
]
const RECOVERY = Array.from({ length: 10 }, (_, index) => `aaaa-bbbb-cccc-ddd${'abcdefghij'[index]}`)
const userSession = (id: string, kind: string, from: string, hours: number) => ({
  id,
  kind,
  from,
  created_at_ms: NOW_MS - hours * 3_600_000,
  ends_at_ms: NOW_MS + (12 - hours) * 3_600_000,
  is_current: id === 's-1',
})
const ACCOUNT = {
  name: 'ada',
  role: 'admin',
  is_user: true,
  has_code: false,
  passkeys: [
    {
      id: 'pk-1',
      label: 'Laptop',
      host: 'harbour.example.org',
      created_at_ms: NOW_MS - 9 * DAY_MS,
      used_at_ms: NOW_MS - 7_200_000,
    },
  ],
  sessions: [userSession('s-1', 'browser', '10.20.7.31', 1), userSession('s-2', 'program', '10.20.7.31', 5)],
}

const deployment = (generation: number, version: string, secondsAgo: number, reason: string) => ({
  service: 'shop',
  generation,
  artifact: generation === 7 ? 'b'.repeat(64) : 'a'.repeat(64),
  version,
  count: 4,
  is_stopped: false,
  by: 'operator',
  at_ms: NOW_MS - secondsAgo * 1000,
  reason,
})
const SHOP_STATUS = {
  deployment: deployment(7, '2.5.0', 50, 'faster cart'),
  healthy: 4,
  running: 4,
  wanted: 4,
  instances: ALL.slice(1, 5).map((nodeId, index) => ({
    node_id: nodeId,
    id: `shop-${index}`,
    version: index < 1 ? '2.5.0' : '2.4.1',
    generation: index < 1 ? 7 : 6,
    state: 'running',
    health: 'healthy',
    restarts: index === 3 ? 2 : 0,
  })),
  rollout: {
    generation: 7,
    from_version: '2.4.1',
    to_version: '2.5.0',
    state: 'running',
    done: 1,
    wanted: 4,
    started_at_ms: NOW_MS - 50_000,
    nodes: ALL.slice(1, 5).map((nodeId, index) => ({
      node_id: nodeId,
      state: ['done', 'starting', 'waiting', 'waiting'][index],
    })),
  },
  problems: [],
}

const PAYMENTS_STATUS = {
  ...SHOP_STATUS,
  deployment: {
    ...deployment(3, '5.0.2', 86_400, 'new bank'),
    service: 'payments',
    artifact: 'c'.repeat(64),
    count: 1,
    by: 'person:grace',
  },
  healthy: 0,
  running: 1,
  wanted: 1,
  instances: [],
  rollout: { generation: 3, from_version: '5.0.1', to_version: '5.0.2', state: 'succeeded', done: 1, wanted: 1 },
}
const LEDGER_STATUS = {
  ...PAYMENTS_STATUS,
  deployment: { ...PAYMENTS_STATUS.deployment, service: 'ledger', generation: 1, version: '0.1.0', reason: '' },
  wanted: 0,
  running: 0,
  rollout: {
    generation: 1,
    to_version: '0.1.0',
    state: 'failed',
    reason: 'worker-oslo-2: it ended: Cannot find module "./books.js" (main.js:1:1)',
    done: 0,
    wanted: 1,
  },
}
const artifact = (service: string, version: string, digit: string, secondsAgo: number, kib: number) => ({
  digest: digit.repeat(64),
  size_bytes: kib * 1_024,
  service,
  version,
  stored_at_ms: NOW_MS - secondsAgo * 1_000,
})
const ARTIFACTS = [
  artifact('shop', '2.5.0', 'b', 55, 412),
  artifact('payments', '5.0.2', 'c', 86_400, 96),
  artifact('shop', '2.4.1', 'a', 90_000, 408),
  artifact('reports', '0.9.0', 'd', 400_000, 1_730),
]
const PLAN = {
  service: 'shop',
  from_version: '2.5.0',
  to_version: '2.4.1',
  changes: [{ path: 'version', from: '2.5.0', to: '2.4.1' }],
  nodes: ALL.slice(1, 5).map((nodeId) => ({ node_id: nodeId, from: 1, to: 1, replaces: true })),
  incompatible: [],
  refusals: [],
  warnings: [],
}

const STRING = { type: 'string' }
const SHOP_DETAILS = {
  status: 'running',
  health: 'healthy',
  info: { name: 'shop', version: '2.4.1', description: 'Orders and carts', metadata: { failure: null } },
  method_details: [
    {
      name: 'list_orders',
      description: 'Orders, newest first',
      params: {
        type: 'object',
        properties: {
          customer: { ...STRING, description: 'Only of this customer' },
          state: { enum: ['open', 'paid', 'sent'] },
          limit: { type: 'integer', default: 20, minimum: 1 },
          with_items: { type: 'boolean' },
          between: { type: 'object' },
        },
        required: ['customer'],
      },
      result: null,
      required_role: 'viewer',
    },
    { name: 'cancel_all', description: 'Cancels every order', params: null, result: null, required_role: 'admin' },
  ],
}

const EVENTS = [
  ['info', 'deploy', 'shop 2.5.0 is rolled out', 50, { service: 'shop', detail: 'by operator: faster cart' }],
  ['error', 'member', 'worker-lisbon-1 is dead', 95, { node_id: 'worker-lisbon-1' }],
  ['error', 'health', 'payments is failing', 420, { service: 'payments', node_id: 'worker-oslo-1' }],
  ['info', 'certificate', 'worker-berlin-2 renewed its certificate', 3_600, { node_id: 'worker-berlin-2' }],
  ['info', 'person', 'operator approved worker-oslo-2', 7_200, { node_id: 'worker-oslo-2' }],
  ['warning', 'member', HOSTILE, 9_000, {}],
] as const

/** A root such as a cluster makes; nobody has its key. */
const STUB_ROOT_PEM = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUeCqVeF//R2fR8U8j8GhnczKjuPEwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAxMQUDJQIENvcmUgcm9vdCBDQTAeFw0yNjExMjMxMzQxMzFaFw0z
NjExMjAxMzQ2MzFaMBsxGTAXBgNVBAMTEFAyUCBDb3JlIHJvb3QgQ0EwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAATOBABaUOLqNF49rGbGfNJmgH9In6YtniU4+JM6
ivjyJvRe/KKcMDgz0DkcUQAFvI624uUWbgtUknDlfeO+cmLao1EwTzASBgNVHRMB
Af8ECDAGAQH/AgEBMA4GA1UdDwEB/wQEAwIBBjApBgNVHQ4EIgQg8l4yZluxeBB7
ctoHfSZMIdQd0T5xqHmXFOY9hFY3WGgwCgYIKoZIzj0EAwIDSAAwRQIhANLYQrek
K448qyXc0T42nkmx/RD1V94Nb4kEZaZKFC5gAiBG3PKgv3TM5hQRg+isPoCYC+NC
n9G4KHlld8RqD1H7cw==
-----END CERTIFICATE-----
`

const certificate = (nodeId: string, index: number) => ({
  serial: `5b${index}d0c19a7e4f2063c1`,
  node_id: nodeId,
  role: nodeId.startsWith('coordinator') ? 'coordinator' : 'worker',
  not_before_ms: NOW_MS - (index === 4 ? 0.95 : 0.3) * DAY_MS,
  not_after_ms: NOW_MS + (index === 4 ? 0.05 : 0.7) * DAY_MS,
  ...(index === 5 && { revoked_at_ms: NOW_MS - 60_000 }),
})

/** The GET routes. Everything else is an act and answers an empty object. */
function answersOf(options: StubOptions): Record<string, unknown> {
  return {
    '/cluster/nodes': { nodes: NODES },
    '/api/status': { node_id: 'coordinator-1', cluster: 'harbour', version: '3.0.0', role: 'coordinator' },
    '/api/deployments': { deployments: [LEDGER_STATUS, PAYMENTS_STATUS, SHOP_STATUS] },
    '/api/artifacts': { artifacts: ARTIFACTS },
    '/api/ca/rotation': { rotation: null },
    '/api/nodes/banned': {
      banned: [
        { node_id: 'worker-porto-9', reason: 'lost in a train', key_fingerprints: [], banned_at_ms: NOW_MS - DAY_MS },
      ],
    },
    '/services': Object.fromEntries(
      ['system', 'log_collector'].map((name) => [name, { info: { name, metadata: { builtin: true } } }]),
    ),
    '/api/deployments/shop': SHOP_STATUS,
    '/api/deployments/shop/history': {
      history: [
        { deployment: deployment(7, '2.5.0', 50, 'faster cart'), state: 'running' },
        { deployment: deployment(6, '2.4.1', 90_000, 'fixes totals'), state: 'succeeded' },
        {
          deployment: deployment(5, '2.4.0', 180_000, ''),
          state: 'rolled-back',
          reason: '3 of 4 were not healthy in time',
        },
      ],
    },
    '/api/users': { users: USERS },
    '/auth/account': { ...ACCOUNT, role: options.role },
    '/api/ca': {
      cluster: 'harbour',
      ca_certificate: STUB_ROOT_PEM,
      issuing_certificate: STUB_ROOT_PEM,
      ca_fingerprint: 'a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90',
      not_after_ms: NOW_MS + 3_600 * DAY_MS,
      leaf_lifetime_ms: DAY_MS,
      issued: ALL.map(certificate),
    },
    '/api/nodes/pending': { pending: [PENDING] },
    '/api/tokens': { tokens: [{ token_id: 't-19ac', role: 'worker', uses_left: 3, expires_at_ms: NOW_MS + 540_000 }] },
    '/api/alerts': { alerts: ALERTS, silences: SILENCES, targets: TARGETS },
    '/api/why/service/shop': WHY_SHOP,
    '/api/events': {
      events: EVENTS.map(([severity, kind, title, s, more], id) => ({
        id: String(id),
        time: ago(s),
        kind,
        severity,
        title,
        ...more,
      })),
    },
    '/api/audit': {
      records: [
        {
          seq: 12,
          time: ago(50),
          phase: 'outcome',
          act: 'PUT /api/deployments/{service}',
          who: 'operator',
          target: 'shop',
          outcome: 'succeeded',
          detail: '202',
        },
        {
          seq: 11,
          time: ago(50),
          phase: 'intent',
          act: 'PUT /api/deployments/{service}',
          who: 'operator',
          target: 'shop',
        },
        {
          seq: 10,
          time: ago(900),
          phase: 'outcome',
          act: 'DELETE /api/logs',
          who: 'viewer',
          outcome: 'refused',
          detail: 'P2P_RPC_ACCESS_DENIED',
        },
      ],
    },
    ...Object.fromEntries(
      ALL.map((nodeId, index) => [
        `/api/dashboard/history/${nodeId}`,
        { node_id: nodeId, history: historyOf(index, 220, 4) },
      ]),
    ),
    ...Object.fromEntries(
      SERVICES.map(({ name }, index) => [
        `/api/dashboard/services/${name}/history`,
        { service: name, history: callsOf(index, 220, 4) },
      ]),
    ),
  }
}

function initialOf(options: StubOptions): object {
  const [coordinator, ...workers] = ALL
  return {
    me: { name: 'operator', role: options.role },
    cluster: { name: 'harbour', node_id: coordinator, version: '3.0.0', coordinators: [coordinator] },
    metrics: {
      coordinator: { node_id: coordinator, metrics: metricsOf(0), services: {} },
      workers: Object.fromEntries(
        workers.slice(0, 4).map((nodeId, index) => [nodeId, { metrics: metricsOf(index + 1) }]),
      ),
    },
    nodes: NODES,
    history: Object.fromEntries(ALL.slice(0, 5).map((nodeId, index) => [nodeId, historyOf(index, 100, 4)])),
    services: SERVICES,
    calls: CALLS,
    attention: ATTENTION,
    logs: { logs: options.lines.slice(-100).reverse() },
    log_sources: { nodes: ALL, loggers: WORDS.map(([, logger]) => logger) },
  }
}

/** Starts the stub; it ends with the test. */
export async function startDashboardStub(t: Cleanup, chosen: Partial<StubOptions> = {}): Promise<DashboardStub> {
  const options: StubOptions = {
    hasSocket: true,
    hasSessions: true,
    pushes: true,
    role: 'admin',
    lines: stubLines(300),
    ...chosen,
  }
  const answers = answersOf(options)
  const acts: string[] = []
  const subscriptions: DashboardStub['subscriptions'] = []
  /** Oldest first. */
  const written = [...options.lines]
  let isDown = false

  const server = createServer((request, response) => {
    if (isDown) request.socket.destroy()
    else void answer(request, response)
  })
  const sockets = new WebSocketServer({ noServer: true })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://stub')
    const json = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(status === 204 ? '' : JSON.stringify(body))
    }
    if (pathname.startsWith('/dashboard')) return sendPage(request, response, pathname)
    const body = await textOf(request)
    if (options.hasSessions && pathname === '/auth/session') return session(request, body, json)
    if (pathname === '/auth/methods')
      return json(200, { password: true, passkey: true, oidc: { issuer: 'https://id.example.org/team' } })
    if (pathname === '/auth/invitation') {
      if (body.includes('password')) acts.push(`POST ${pathname}`)
      return body.includes(STUB_INVITATION)
        ? json(200, { name: 'ada', role: 'operator' })
        : json(401, { code: 'P2P_AUTH_CREDENTIAL_INVALID', detail: 'The invitation was used already, or is too old' })
    }
    if (pathname === '/auth/token') {
      return body.includes(STUB_CREDENTIAL)
        ? json(200, { access_token: tokenOf(options.role), token_type: 'bearer', expires_in: 600, role: options.role })
        : json(401, { code: 'P2P_AUTH_CREDENTIAL_INVALID', detail: 'The credential is not the one of this cluster' })
    }
    if (!isKnown(request)) return json(401, { code: 'P2P_RPC_AUTHENTICATION_REQUIRED', detail: 'Run "p2p login"' })
    if (request.method !== 'GET') {
      if (!isQuestion(pathname, body)) acts.push(`${request.method} ${pathname} ${body}`.trim())
      if (pathname === '/rpc') return json(200, { jsonrpc: '2.0', id: 1, result: rpcResult(body) })
      if (pathname.endsWith('/plan')) return json(200, PLAN)
      if (pathname === '/auth/totp') {
        return json(200, {
          secret: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',
          address: 'otpauth://totp/x',
          recovery_codes: RECOVERY,
        })
      }
      if (pathname === '/api/users' || pathname.endsWith('/reset')) {
        return json(201, { user: USERS[3], invitation: { secret: 'x'.repeat(43), ends_at_ms: NOW_MS + 3 * DAY_MS } })
      }
      if (pathname === '/api/alerts/test') {
        const results = TARGETS.map(({ name, failure }) => ({ target: name, sent: !failure, duration_ms: 84, failure }))
        return json(200, { results })
      }
      if (pathname === '/api/tokens') return json(201, { token: 'P2PJ1-join-token', facts: {} })
      return json(200, {})
    }
    if (pathname === '/api/logs') return json(200, logPage(written, searchParams))
    const known = answers[decodeURIComponent(pathname)]
    return known === undefined
      ? json(404, { code: 'P2P_HTTP_NOT_FOUND', detail: `There is no ${pathname}` })
      : json(200, known)
  }

  function session(
    request: IncomingMessage,
    body: string,
    json: (status: number, body: unknown, headers?: Record<string, string>) => void,
  ): void {
    if (request.method === 'DELETE') return json(204, undefined, { 'set-cookie': 'p2p_session=; Path=/; Max-Age=0' })
    if (request.method === 'POST') {
      const { name, code } = JSON.parse(body) as { name?: string; code?: string }
      const isPerson = body.includes(STUB_PASSWORD)
      if (isPerson && name === 'grace' && code === undefined) {
        return json(401, { code: 'P2P_AUTH_CODE_REQUIRED', detail: 'The code of the authenticator is needed too' })
      }
      const isRight =
        body.includes(STUB_CREDENTIAL) ||
        body.includes(STUB_LINK) ||
        (isPerson && (code === undefined || code === STUB_CODE))
      const cookie = { 'set-cookie': 'p2p_session=yes; Path=/; HttpOnly; SameSite=Strict' }
      return isRight
        ? json(200, {}, cookie)
        : json(401, { code: 'P2P_AUTH_CREDENTIAL_INVALID', detail: 'The credential is not the one of this cluster' })
    }
    return isKnown(request)
      ? json(200, { name: 'operator', role: options.role, expires_at: ago(-600) })
      : json(401, { code: 'P2P_RPC_AUTHENTICATION_REQUIRED', detail: 'No session' })
  }

  server.on('upgrade', (request, socket, head) => {
    if (isDown || !options.hasSocket || !isKnown(request)) {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => serve(webSocket))
  })
  function serve(webSocket: WebSocket): void {
    webSocket.send(JSON.stringify({ type: 'initial', timestamp: ago(0), data: initialOf(options), cursor: 'c1' }))
    webSocket.on('message', (data) => {
      const text = (data as Buffer).toString()
      if (text === 'ping') {
        webSocket.send('{"type":"pong"}')
        return
      }
      const asked = JSON.parse(text) as Record<string, unknown>
      subscriptions.push(asked)
      if (!options.pushes) return
      if (asked['alerts'] === true) webSocket.send(JSON.stringify({ type: 'alerts', data: answers['/api/alerts'] }))
      if (asked['events']) webSocket.send(JSON.stringify({ type: 'new_events', events: [], cursor: '1' }))
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const client of sockets.clients) client.terminate()
    server.closeAllConnections()
  }
  t.after(() => {
    cut()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    acts,
    subscriptions,
    push: (message) => {
      if ('logs' in message) for (const line of message.logs as StubLine[]) written.push(line)
      for (const client of sockets.clients) client.send(JSON.stringify(message))
    },
    fail: () => {
      isDown = true
      cut()
    },
    recover: () => {
      isDown = false
    },
  }
}

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']

/** As `GET /api/logs` answers, with a line's place as the cursor. */
function logPage(written: readonly StubLine[], query: URLSearchParams): object {
  const least = LEVELS.indexOf(query.get('level') ?? 'DEBUG')
  const words = (query.get('search') ?? '').toLowerCase().split(' ').filter(Boolean)
  const limit = Number(query.get('limit') ?? 100)
  const [since, until] = [query.get('since') ?? '', query.get('until') ?? '9']
  const logs: StubLine[] = []
  let at = Math.min(written.length, Number(query.get('cursor') ?? written.length)) - 1
  for (; at >= 0 && logs.length < limit; at--) {
    const line = written[at] as StubLine
    const isChosen =
      LEVELS.indexOf(line.level) >= least &&
      line.timestamp >= since &&
      line.timestamp <= until &&
      [null, line.node_id].includes(query.get('node_id')) &&
      [null, line.trace_id].includes(query.get('trace_id')) &&
      words.every((word) => `${line.message} ${JSON.stringify(line.fields ?? {})}`.toLowerCase().includes(word))
    if (isChosen) logs.push(line)
  }
  return { logs, total: logs.length, next_cursor: at >= 0 ? at + 1 : null }
}

/** Asked by POST, but changes nothing. */
function isQuestion(pathname: string, body: string): boolean {
  return pathname.endsWith('/plan') || (pathname === '/rpc' && /get_upgrade|describe_service/.test(body))
}

function rpcResult(body: string): unknown {
  if (body.includes('get_upgrade')) return null
  if (body.includes('describe_service')) return SHOP_DETAILS
  return { orders: [{ id: 48_213, total: 129.9 }] }
}

async function sendPage(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<void> {
  const isAsset = pathname.startsWith('/dashboard/assets/')
  const path = isAsset ? pathname.slice('/dashboard/'.length) : 'index.html'
  const accepted = request.headers['accept-encoding']
  const file = await readDashboardFile(
    { files: systemFiles, assetsDirectory: join(assetsDirectory) },
    path,
    typeof accepted === 'string' ? accepted : '',
  )
  response.writeHead(200, {
    'content-type': file.contentType,
    'content-security-policy': DASHBOARD_POLICY,
    ...(file.encoding !== undefined && { 'content-encoding': file.encoding }),
  })
  response.end(file.body)
}

function isKnown({ headers }: IncomingMessage): boolean {
  return headers.cookie?.includes('p2p_session=yes') || headers.authorization?.startsWith('Bearer stub.') || false
}

function tokenOf(role: string): string {
  return `stub.${Buffer.from(JSON.stringify({ sub: 'operator', role })).toString('base64url')}.sig`
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
