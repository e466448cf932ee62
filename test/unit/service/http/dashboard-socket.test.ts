import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { RpcError } from '../../../../src/base/errors.ts'
import type { TimelineEvent } from '../../../../src/base/timeline.ts'
import { WAITING_BYTES_MAX } from '../../../../src/service/http/websocket/dashboard-socket.ts'
import { StubAudit } from './stub-audit.ts'
import { historyPoint, INVENTORY_FIGURES, StubDashboard } from './stub-dashboard.ts'
import { StubAlerts } from './stub-alerts.ts'
import { StubDeployments } from './stub-deployments.ts'
import { MemoryLogs } from './stub-logs.ts'
import { type Json, jsonBody, nodeConnection, type StubNode, startStubNode, strangerConnection } from './stub-node.ts'
import { happened, stubTimeline } from './stub-timeline.ts'

/** Whether and how a page offers compression. */
type Deflate = boolean | { serverMaxWindowBits: number }

/** A dashboard's end of the socket: its messages in order, each awaited. */
class Page {
  readonly webSocket: WebSocket
  readonly messages: Json[] = []
  readonly closed: Promise<number>
  readonly opened: Promise<unknown>
  #wake: () => void = () => {}

  constructor(url: string, headers: Record<string, string>, perMessageDeflate: Deflate) {
    this.webSocket = new WebSocket(`${url.replace('http', 'ws')}/ws/dashboard`, { headers, perMessageDeflate })
    this.webSocket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString('utf8')))
      this.#wake()
    })
    this.webSocket.on('error', () => {})
    this.opened = once(this.webSocket, 'open')
    this.closed = new Promise((resolve) => this.webSocket.on('close', (code) => resolve(code)))
  }

  /** The next message of that type; those before it are passed over. */
  async next(type: string): Promise<Json> {
    for (;;) {
      const found = this.messages.findIndex((message) => message.type === type)
      if (found !== -1) return this.messages.splice(0, found + 1).at(-1)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  send(message: object | string): void {
    this.webSocket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }
}

interface Dashboard extends AsyncDisposable {
  node: StubNode
  source: StubDashboard
  logs: MemoryLogs
  alerts: StubAlerts
  timeline: ReturnType<typeof stubTimeline>
  open: (headers?: Record<string, string>, isCompressing?: Deflate) => Promise<Page>
}

async function startDashboard(
  events: readonly TimelineEvent[] = [],
  deployments = new StubDeployments(),
): Promise<Dashboard> {
  const source = new StubDashboard()
  const logs = new MemoryLogs()
  const alerts = new StubAlerts()
  const timeline = stubTimeline(events)
  const node = await startStubNode({ dashboard: source, logs, alerts, timeline: timeline.timeline, deployments })
  const pages: Page[] = []
  return {
    node,
    source,
    logs,
    alerts,
    timeline,
    async open(headers, isCompressing = true) {
      const opener = headers ?? { authorization: `Bearer ${await node.tokenFor('viewer')}` }
      const page = new Page(node.url, opener, isCompressing)
      pages.push(page)
      await page.opened
      return page
    },
    async [Symbol.asyncDispose]() {
      for (const page of pages) page.webSocket.terminate()
      await node[Symbol.asyncDispose]()
    },
  }
}

/** Sends a page's turn round: when the answer is here, what was sent before has been read. */
async function settled(page: Page): Promise<void> {
  page.send('ping')
  await page.next('pong')
}

/** Lets the clock come to the next update and waits for it. */
async function update({ node }: Dashboard, page: Page): Promise<Json> {
  // Pages are told on the clock's turn, which the node sets when it has told the first one everything.
  node.clock.advance(4_000)
  return page.next('update')
}

/** The status and the code with which an upgrade is refused. */
async function refusal(node: StubNode, headers: Record<string, string>, path = '/ws/dashboard') {
  const webSocket = new WebSocket(`${node.url.replace('http', 'ws')}${path}`, { headers })
  webSocket.on('error', () => {})
  const [, response] = (await once(webSocket, 'unexpected-response')) as [unknown, IncomingMessage]
  const body = Buffer.concat(await response.toArray()).toString('utf8')
  webSocket.terminate()
  return [response.statusCode, JSON.parse(body).code]
}

test('the first message has everything a page shows', async () => {
  await using dashboard = await startDashboard()
  dashboard.logs.add(120)
  const { data, cursor, timestamp } = await (await dashboard.open()).next('initial')
  assert.equal(cursor, '120')
  assert.match(timestamp, /^2026-/)
  assert.deepEqual(data.me, { name: 'operator', role: 'viewer' })
  assert.deepEqual(data.cluster, {
    name: 'blue',
    node_id: 'coordinator-1',
    version: '3.0.0',
    coordinators: ['coordinator-1'],
  })
  assert.deepEqual(data.metrics, dashboard.source.metrics())
  assert.deepEqual(
    data.nodes.map((known: Json) => [known.node_id, known.status]),
    [
      ['coordinator-1', 'alive'],
      ['worker-1', 'suspected'],
    ],
  )
  assert.deepEqual(data.history, Object.fromEntries(dashboard.source.points))
  assert.deepEqual(data.services, [INVENTORY_FIGURES])
  assert.deepEqual(data.calls, dashboard.source.edges)
  assert.deepEqual(data.attention, [])
  assert.equal(data.logs.logs.length, 100)
  assert.deepEqual([data.logs.logs[0].message, data.logs.total, data.logs.limit], ['line 120', 120, 100])
  assert.deepEqual(data.log_sources.loggers, ['Test'])
  assert.equal(data.cursor, '120')
})

test('a node that is drained is told so, and told anew when it is used again', async () => {
  const deployments = new StubDeployments()
  deployments.drained.set('worker-1', 'drained')
  await using dashboard = await startDashboard([], deployments)
  const page = await dashboard.open()
  const { data } = await page.next('initial')
  assert.deepEqual(
    data.nodes.map(({ drain }: Json) => drain),
    [undefined, 'drained'],
  )
  deployments.drained.clear()
  const told = await update(dashboard, page)
  assert.deepEqual(
    told.data.nodes.map((known: Json) => [known.node_id, known.drain]),
    [['worker-1', undefined]],
  )
})

test('who is not known, not allowed, or brought by a page of another origin gets no socket', async () => {
  await using dashboard = await startDashboard()
  const { node } = dashboard
  const authorization = `Bearer ${await node.tokenFor('viewer')}`
  const cookie = `p2p_session=${await node.tokenFor('admin')}`
  const own = `https://${new URL(node.url).host}`
  assert.deepEqual(await refusal(node, {}), [401, 'P2P_RPC_AUTHENTICATION_REQUIRED'])
  assert.deepEqual(await refusal(node, { authorization: 'Bearer nonsense' }), [401, 'P2P_AUTH_TOKEN_INVALID'])
  assert.deepEqual(await refusal(node, { cookie, origin: 'https://evil.example' }), [
    401,
    'P2P_RPC_AUTHENTICATION_REQUIRED',
  ])
  assert.deepEqual(await refusal(node, { cookie, origin: 'null' }), [401, 'P2P_RPC_AUTHENTICATION_REQUIRED'])
  assert.deepEqual(await refusal(node, { cookie, 'sec-fetch-site': 'same-site' }), [
    401,
    'P2P_RPC_AUTHENTICATION_REQUIRED',
  ])
  assert.deepEqual(await refusal(node, { authorization, origin: 'https://evil.example' }), [
    403,
    'P2P_RPC_ACCESS_DENIED',
  ])
  assert.deepEqual(await refusal(node, { authorization }, '/ws/other'), [404, 'P2P_HTTP_NOT_FOUND'])
  await (await dashboard.open({ cookie, origin: own })).next('initial')
  node.transport.connection = nodeConnection('worker')
  assert.deepEqual(await refusal(node, {}), [403, 'P2P_RPC_ACCESS_DENIED'])
})

test('a page of another origin that tries is recorded, and a forged token, and nothing else', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit })
  const cookie = `p2p_session=${await node.tokenFor('admin')}`
  await refusal(node, { cookie, origin: 'https://evil.example' })
  await refusal(node, { authorization: 'Bearer nonsense' })
  await refusal(node, {})
  assert.deepEqual(audit.written, [
    'refused GET /ws/dashboard anonymous P2P_RPC_AUTHENTICATION_REQUIRED',
    'refused GET /ws/dashboard anonymous P2P_AUTH_TOKEN_INVALID',
  ])
  assert.equal(audit.acts[0]?.target, 'https://evil.example')
})

test('a node that is no coordinator says who is', async () => {
  await using node = await startStubNode()
  const authorization = `Bearer ${await node.tokenFor('viewer')}`
  assert.deepEqual(await refusal(node, { authorization }), [403, 'P2P_HTTP_COORDINATOR_ONLY'])
})

test('both forms of ping are answered; anything unknown ends the socket', async () => {
  await using dashboard = await startDashboard()
  const page = await dashboard.open()
  await page.next('initial')
  page.send('ping')
  await page.next('pong')
  page.send({ type: 'ping' })
  await page.next('pong')
  page.send({ type: 'subscribe', nodes: 'all' })
  assert.equal(await page.closed, 1008)
})

test('a message that is too large, binary, or one of too many ends the socket', async () => {
  await using dashboard = await startDashboard()
  const large = await dashboard.open()
  await large.next('initial')
  large.send('x'.repeat(70_000))
  assert.equal(await large.closed, 1009)
  const binary = await dashboard.open()
  await binary.next('initial')
  binary.webSocket.send(Buffer.from('ping'), { binary: true })
  assert.equal(await binary.closed, 1008)
  const many = await dashboard.open()
  await many.next('initial')
  for (let i = 0; i < 70; i++) many.send('ping')
  assert.equal(await many.closed, 1008)
})

test('an update has what has changed, the new points and what is gone, and nothing else', async () => {
  await using dashboard = await startDashboard()
  const { source } = dashboard
  const page = await dashboard.open()
  await page.next('initial')
  const quiet = (await update(dashboard, page)).data
  assert.deepEqual(Object.keys(quiet), ['metrics'])
  assert.deepEqual(Object.keys(quiet.metrics), ['timestamp', 'workers', 'stats'])
  assert.deepEqual(quiet.metrics.workers, {})

  source.cpuPercent = 80
  source.points.set('worker-1', [...(source.points.get('worker-1') ?? []), historyPoint(9_000, 80)])
  source.figures = [{ ...INVENTORY_FIGURES, name: 'shop' }]
  source.edges = []
  const { data } = await update(dashboard, page)
  assert.equal(data.metrics.workers['worker-1'].metrics.cpu_percent, 80)
  assert.deepEqual(data.history, { 'worker-1': [historyPoint(9_000, 80)] })
  assert.deepEqual(
    data.services.map(({ name }: Json) => name),
    ['shop'],
  )
  assert.deepEqual(data.calls, [])
  assert.deepEqual(data.removed, { nodes: [], services: ['inventory'] })
  assert.equal('nodes' in data, false)
})

test('a page gets the machines it asked for only', async () => {
  await using dashboard = await startDashboard()
  const page = await dashboard.open()
  await page.next('initial')
  page.send({ type: 'subscribe', nodes: ['coordinator-1'], logs: null })
  await settled(page)
  dashboard.source.cpuPercent = 80
  dashboard.source.points.set('worker-1', [historyPoint(9_000)])
  const { data } = await update(dashboard, page)
  assert.deepEqual(data.metrics.workers, {})
  assert.equal('history' in data, false)
})

test('a page that comes later begins where the next update goes on', async () => {
  await using dashboard = await startDashboard()
  const first = await dashboard.open()
  await first.next('initial')
  dashboard.source.points.set('worker-1', [historyPoint(1_000), historyPoint(5_000), historyPoint(9_000)])
  const second = await dashboard.open()
  const { data } = await second.next('initial')
  const after = (await update(dashboard, second)).data
  const seen = [...data.history['worker-1'], ...after.history['worker-1']]
  assert.deepEqual(seen, dashboard.source.points.get('worker-1'))
})

test('log lines come at once, by node, to all pages, each line once', async () => {
  await using dashboard = await startDashboard()
  const { logs } = dashboard
  const pages = [await dashboard.open(), await dashboard.open()]
  for (const page of pages) await page.next('initial')
  for (const page of pages) await settled(page)
  logs.add(2)
  for (const page of pages) {
    const { node_id: nodeId, logs: lines, cursor } = await page.next('new_logs')
    assert.deepEqual([nodeId, cursor], ['worker-1', '2'])
    assert.deepEqual(
      lines.map(({ message, cursor: at }: Json) => [message, at]),
      [
        ['line 1', 1],
        ['line 2', 2],
      ],
    )
  }
  assert.equal(logs.open, 1, 'pages that want the same share one reader')
})

test('a message goes compressed, once for all, to those that agreed to that, and as it is to others', async () => {
  await using dashboard = await startDashboard()
  const { logs } = dashboard
  const pages = [await dashboard.open(), await dashboard.open(), await dashboard.open(undefined, false)]
  for (const page of pages) await page.next('initial')
  for (const page of pages) await settled(page)
  const bytesOf = ({ webSocket }: Page): number => (webSocket as unknown as { _socket: Socket })._socket.bytesRead
  const before = pages.map(bytesOf)
  logs.add(200, 'worker-1', 'Grüße, 日本 and the same again')
  for (const page of pages) {
    const { logs: lines } = await page.next('new_logs')
    assert.deepEqual([lines.length, lines[199].message], [200, 'Grüße, 日本 and the same again 200'])
  }
  const [first = 0, second = 0, plain = 0] = pages.map((page, index) => bytesOf(page) - (before[index] ?? 0))
  assert.equal(first, second)
  assert.ok(plain > 30_000 && first < plain / 5, `${first} of ${plain} bytes`)
})

test('who can only read what a smaller window compressed gets it as it is', async () => {
  await using dashboard = await startDashboard()
  const page = await dashboard.open(undefined, { serverMaxWindowBits: 9 })
  assert.equal(page.webSocket.extensions, '')
  await page.next('initial')
  await settled(page)
  dashboard.logs.add(100)
  assert.equal((await page.next('new_logs')).logs.length, 100)
})

test('a page that asks for none, or for those of one node, is given that', async () => {
  await using dashboard = await startDashboard()
  const { logs } = dashboard
  const page = await dashboard.open()
  page.send({ type: 'subscribe', nodes: ['*'], logs: { node_id: 'worker-2' }, resume: null })
  await page.next('initial')
  const silent = await dashboard.open()
  await silent.next('initial')
  silent.send({ type: 'subscribe', nodes: ['*'], logs: null })
  await settled(silent)
  await settled(page)
  logs.add(1, 'worker-1')
  logs.add(1, 'worker-2')
  assert.deepEqual((await page.next('new_logs')).logs[0].message, 'line 2')
  const { cursor } = await update(dashboard, silent)
  assert.equal(cursor, '2', 'where lines would be resumed')
  assert.deepEqual(silent.messages, [])
})

test('a page resumes by its cursor: no line is missed, none comes twice, and then it is level with the others', async () => {
  await using dashboard = await startDashboard()
  const { logs, node } = dashboard
  const other = await dashboard.open()
  await other.next('initial')
  await settled(other)
  logs.add(1_200)
  const page = await dashboard.open()
  page.send({ type: 'subscribe', nodes: ['*'], logs: {}, resume: '100' })
  await page.next('initial')
  const cursors: number[] = []
  while ((cursors.at(-1) ?? 0) < 1_200) {
    const { logs: lines } = await page.next('new_logs')
    cursors.push(...lines.map(({ cursor }: Json) => cursor))
  }
  logs.add(3)
  while ((cursors.at(-1) ?? 0) < 1_203) {
    node.clock.advance(10)
    const { logs: lines } = await page.next('new_logs')
    cursors.push(...lines.map(({ cursor }: Json) => cursor))
  }
  assert.deepEqual(
    cursors,
    Array.from({ length: 1_103 }, (_, index) => 101 + index),
  )
})

test('a cursor that is too old begins later, and the page is told how much it missed', async () => {
  await using dashboard = await startDashboard()
  dashboard.logs.add(25_000)
  const page = await dashboard.open()
  page.send({ type: 'subscribe', nodes: ['*'], logs: {}, resume: '10' })
  await page.next('initial')
  assert.equal((await page.next('dropped')).count, 4_990)
  assert.equal((await page.next('new_logs')).logs[0].cursor, 5_001)
})

test('a page that does not read is cut with 1013 and told so; the others go on', async () => {
  await using dashboard = await startDashboard()
  const { logs, node } = dashboard
  // Ten thousand times the same letter would be nothing to wait for.
  const slow = await dashboard.open(undefined, false)
  await slow.next('initial')
  const page = await dashboard.open()
  await page.next('initial')
  await settled(slow)
  await settled(page)
  slow.webSocket.pause()
  const message = 'x'.repeat(10_000)
  // More than the bound and all that the system's own buffers take.
  for (let sent = 0; sent < 24 * WAITING_BYTES_MAX; sent += 200 * message.length) {
    logs.add(200, 'worker-1', message)
    const last = logs.lines.length
    for (let got = 0; got < last; got = (await page.next('new_logs')).logs.at(-1).cursor) node.clock.advance(10)
  }
  slow.webSocket.resume()
  const { count, reason } = await slow.next('dropped')
  assert.ok(count > 0)
  assert.match(reason, /resume by cursor/)
  assert.equal(await slow.closed, 1013)
  await settled(page)
  const { text } = await node.ask('/metrics', { token: await node.tokenFor('viewer') })
  assert.match(text, /^p2p_dashboards_open 1\np2p_dashboards_cut_total 1$|^p2p_dashboards_cut_total 1$/m)
})

test('a store with too many questions is asked again: nothing is missed or comes twice', async () => {
  await using dashboard = await startDashboard()
  const { logs, node } = dashboard
  const page = await dashboard.open()
  await page.next('initial')
  await settled(page)
  logs.failure = new RpcError('P2P_RPC_OVERLOADED', 'busy')
  logs.add(2)
  await settled(page)
  logs.failure = undefined
  node.clock.advance(250)
  assert.deepEqual(
    (await page.next('new_logs')).logs.map(({ cursor }: Json) => cursor),
    [1, 2],
  )
})

test('while the log cannot be read all else is shown; lines come once it can', async () => {
  await using dashboard = await startDashboard()
  const { logs } = dashboard
  logs.add(3)
  logs.failure = new Error('disk')
  const page = await dashboard.open()
  const { data } = await page.next('initial')
  assert.deepEqual([data.logs.logs, data.services.length], [[], 1])
  logs.failure = undefined
  assert.equal((await update(dashboard, page)).cursor, '3')
  logs.add(1)
  assert.deepEqual((await page.next('new_logs')).logs[0].cursor, 4)
})

test('a log that cannot be read ends the sockets that want it, which come back for it', async () => {
  await using dashboard = await startDashboard()
  const page = await dashboard.open()
  await page.next('initial')
  await settled(page)
  dashboard.logs.failure = new Error('disk')
  dashboard.logs.add(1)
  assert.equal(await page.closed, 1011)
  const again = await dashboard.open()
  assert.deepEqual((await again.next('initial')).data.logs.logs, [])
})

test('alerts come whole when they are asked for, and again whenever they change', async () => {
  await using dashboard = await startDashboard()
  const { alerts, node } = dashboard
  const page = await dashboard.open()
  page.send({ type: 'subscribe', alerts: true })
  await page.next('initial')
  assert.deepEqual((await page.next('alerts')).data, alerts.list())
  const other = await dashboard.open()
  await other.next('initial')
  await settled(other)
  for (const title of ['worse', 'and worse']) {
    alerts.title = title
    for (const listener of alerts.listeners) listener()
  }
  node.clock.advance(50)
  assert.deepEqual((await page.next('alerts')).data.alerts[0].title, 'and worse', 'changes are told together')
  for (const listener of alerts.listeners) listener()
  await update(dashboard, page)
  await settled(page)
  await settled(other)
  assert.deepEqual([page.messages, other.messages], [[], []], 'nothing is told that is not new, nobody who did not ask')
  // As a silence that ends: nobody says so.
  alerts.title = 'silenced no more'
  await update(dashboard, page)
  assert.deepEqual((await page.next('alerts')).data.alerts[0].title, 'silenced no more')
  await node.api.stop()
  assert.equal(alerts.listeners.size, 0)
})

test('events come as they are stored, and a page that was away goes on by their cursor', async () => {
  await using dashboard = await startDashboard([happened(1), happened(2)])
  const { timeline } = dashboard
  const page = await dashboard.open()
  page.send({ type: 'subscribe', logs: null, events: { kind: 'deploy', node_id: 'worker-1' } })
  await page.next('initial')
  const { events, cursor } = await page.next('new_events')
  assert.deepEqual([events, cursor], [[], '2'], 'from now on')
  await settled(page)
  timeline.add(happened(3))
  const next = await page.next('new_events')
  assert.deepEqual([next.cursor, next.events.map(({ id, title }: Json) => [id, title])], ['3', [['3', 'event 3']]])
  const asked = { filter: { nodeId: 'worker-1', service: undefined, kinds: ['deploy'] }, after: 2 }
  assert.partialDeepStrictEqual(timeline.asked.at(-1), asked)

  timeline.add(happened(4))
  const again = await dashboard.open()
  again.send({ type: 'subscribe', events: {}, resume_events: '1' })
  await again.next('initial')
  assert.deepEqual((await again.next('new_events')).cursor, '1')
  assert.deepEqual(
    (await again.next('new_events')).events.map(({ id }: Json) => id),
    ['2', '3', '4'],
  )
})

test('a page that was away for too many events is told to ask for them; one that asks for none gets none', async () => {
  await using dashboard = await startDashboard(Array.from({ length: 2_000 }, (_, index) => happened(index + 1)))
  const page = await dashboard.open()
  page.send({ type: 'subscribe', events: {}, resume_events: 10 })
  await page.next('initial')
  const { events, cursor, missed } = await page.next('new_events')
  assert.deepEqual([events, cursor, missed], [[], '2000', true])
  page.send({ type: 'subscribe', events: null })
  await settled(page)
  dashboard.timeline.add(happened(2_001))
  await update(dashboard, page)
  await settled(page)
  assert.deepEqual(page.messages, [])
})

test('a socket ends when its session does', async () => {
  await using dashboard = await startDashboard()
  const { node } = dashboard
  const opened = await node.ask('/auth/session', jsonBody({ credential: node.credential }))
  const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0] as string
  const page = await dashboard.open({ cookie })
  await page.next('initial')
  const closing = await node.ask('/auth/session', { method: 'DELETE', headers: { cookie } })
  assert.equal(closing.status, 204)
  await update(dashboard, page)
  assert.equal(await page.closed, 1008)
})

test('the number of sockets is limited for each person', async () => {
  await using dashboard = await startDashboard()
  const headers = { authorization: `Bearer ${await dashboard.node.tokenFor('viewer')}` }
  const pages = await Promise.all(Array.from({ length: 128 }, () => dashboard.open(headers)))
  await Promise.all(pages.map((page) => page.next('initial')))
  assert.deepEqual(await refusal(dashboard.node, headers), [429, 'P2P_HTTP_TOO_MANY_WATCHERS'])
  pages[0]?.webSocket.terminate()
  await pages[0]?.closed
  await settled(pages[1] as Page)
  await (await dashboard.open(headers)).next('initial')
})

test('of thousands of sockets as many are opened as there may be; the others are refused and counted', async () => {
  await using dashboard = await startDashboard()
  const { node } = dashboard
  const headers = { authorization: `Bearer ${await node.tokenFor('viewer')}` }
  const url = `${node.url.replace('http', 'ws')}/ws/dashboard`
  const statuses = new Map<number, number>()
  const attempt = async (): Promise<void> => {
    const webSocket = new WebSocket(url, { headers, perMessageDeflate: false })
    webSocket.on('error', () => {})
    const status = await new Promise<number>((resolve) => {
      webSocket.once('open', () => resolve(101))
      webSocket.once('unexpected-response', (_request, { statusCode = 0 }) => resolve(statusCode))
    })
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (status === 101) open.push(webSocket)
    else webSocket.terminate()
  }
  const open: WebSocket[] = []
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 100 }, attempt))
  assert.deepEqual([...statuses].sort(), [
    [101, 128],
    [429, 1_872],
  ])
  const metrics = (await node.ask('/metrics', { headers })).text
  assert.match(metrics, /route="GET \/ws\/dashboard".*status="429".* 1872\n/)
  await Promise.all(open.map((webSocket) => (webSocket.terminate(), once(webSocket, 'close'))))
})

test('a node that stops tells every page to come back', async () => {
  await using dashboard = await startDashboard()
  const page = await dashboard.open()
  await page.next('initial')
  await dashboard.node.api.stop()
  assert.equal(await page.closed, 1001)
  dashboard.node.transport.connection = strangerConnection()
})
