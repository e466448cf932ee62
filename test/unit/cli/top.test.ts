import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import { bar, sparkline, spans } from '../../../src/cli/output/graph.ts'
import { type FakeUser, fakeUser, NOW_MS } from './fake-host.ts'
import { problem, type StubNode, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const iso = (ageS: number): string => new Date(NOW_MS - ageS * 1_000).toISOString()

const machine = (cpu: number, memory: number) => ({
  cpu_percent: cpu,
  memory: { percent: memory },
  disk: { percent: 50 },
  network_io: { rx_bytes_s: 2_048, tx_bytes_s: 1_024 },
  load_average: [1.25, 1, 1],
  loop_lag_ms: 2.4,
})

const service = (more: object = {}) => ({
  wanted: 1,
  running: 1,
  healthy: 1,
  restarts: 0,
  calls_per_s: 0,
  error_ratio: 0,
  p50_ms: null,
  p99_ms: null,
  ...more,
})

const METRICS = {
  timestamp: iso(0),
  coordinator: {
    node_id: 'c1',
    timestamp: iso(1),
    metrics: machine(10, 80),
    services: { shop: service({ calls_per_s: 5, p99_ms: 3, memory_bytes: 1_024, cpu_percent: 1 }) },
    cluster_state: { total_nodes: 3, nodes: ['c1', 'w1', 'w2'] },
  },
  workers: {
    w1: {
      metrics: machine(95, 20),
      timestamp: iso(70),
      services: {
        shop: service({ calls_per_s: 1, error_ratio: 0.5, p99_ms: 9, healthy: 0, memory_bytes: 1_024 }),
        system: service({ calls_per_s: 9 }),
      },
    },
  },
}

async function cluster(t: TestContext): Promise<[FakeUser, StubNode]> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = {
    body: { access_token: 't', token_type: 'bearer', expires_in: 43_200, role: 'admin' },
  }
  node.answers['GET /api/dashboard/metrics'] = { body: METRICS }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const credential = { cluster: 'c1', credential: 'P2PO1-x', url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(credential))
  return [user, node]
}

suite('p2p top', () => {
  test('in a pipe the state is shown once, sorted', async (t) => {
    const [user] = await cluster(t)
    const { code, output, talk } = await user.run('top')
    assert.equal(code, 0, talk)
    assert.equal(
      output,
      `03:04:05 UTC  1 of 3 nodes, 2 services, 15.0 calls/s  by cpu
NODE  CPU▼            MEMORY         DISK        LOAD     IN/S    OUT/S   LAG  CALLS/S  TOLD
w1    ███████▋  95 %  █▋       20 %  ████  50 %  1.25  2.0 KiB  1.0 KiB  2 ms     10.0  1 min ago
c1    ▊         10 %  ██████▍  80 %  ████  50 %  1.25  2.0 KiB  1.0 KiB  2 ms      5.0  now
w2                 -              -           -     -        -        -     -        -  never

SERVICE  HEALTHY  NODES  CALLS/S  ERRORS/S  P50     P99   CPU▼   MEMORY  RESTARTS
shop      1 of 2      2      6.0       0.5    -  9.0 ms  1.0 %  2.0 KiB         0
system    1 of 1      1      9.0         0    -       -      -        -         0
`,
    )
  })

  test('programs get the figures, in the order asked for', async (t) => {
    const [user] = await cluster(t)
    const { output } = await user.run('top', '--sort', 'calls', '--output', 'json')
    const data = JSON.parse(output) as { nodes: { node_id: string }[]; services: { name: string }[] }
    assert.deepEqual(
      data.nodes.map(({ node_id: id }) => id),
      ['w1', 'c1', 'w2'],
    )
    assert.deepEqual(data.services[0], {
      name: 'system',
      nodes: 1,
      wanted: 1,
      running: 1,
      healthy: 1,
      restarts: 0,
      calls_per_s: 9,
      errors_per_s: 0,
      p50_ms: null,
      p99_ms: null,
      cpu_percent: null,
      memory_bytes: null,
    })
  })

  test('on a terminal it goes on, a key sorts and q ends it', async (t) => {
    const [user, node] = await cluster(t)
    user.terminal = { columns: 140, rows: 40 }
    user.environment = { NO_COLOR: '1' }
    user.keys = ['m', 'q']
    const { code, output } = await user.run('top')
    assert.equal(code, 0)
    assert.equal(node.requests.filter(({ path }) => path === '/api/dashboard/metrics').length, 2)
    const byMemory = output.slice(output.indexOf('by memory'))
    assert.ok(byMemory.indexOf('\nc1') < byMemory.indexOf('\nw1'), 'the one with more memory in use stands first')
    assert.ok(output.endsWith('\u001B[?25h'), 'the cursor is there again')
  })

  test('Ctrl-C ends it though the keyboard is read raw', async (t) => {
    const [user] = await cluster(t)
    user.terminal = { columns: 100, rows: 20 }
    user.keys = ['\u0003']
    assert.equal((await user.run('top')).code, 0)
  })

  test('a node that is away for a moment is asked again; what trying again cannot mend ends it', async (t) => {
    const [user, node] = await cluster(t)
    user.terminal = { columns: 140, rows: 40 }
    let asked = 0
    node.answers['GET /api/dashboard/metrics'] = () => {
      asked++
      if (asked === 2) return problem('P2P_RPC_OVERLOADED', 503)
      return asked < 4 ? { body: METRICS } : problem('P2P_RPC_ACCESS_DENIED', 403)
    }
    const { code, output } = await user.run('top')
    assert.equal(code, 77)
    assert.match(output, /refused with P2P_RPC_OVERLOADED; trying again/)
  })

  test('more lines than the terminal has are counted', async (t) => {
    const [user, node] = await cluster(t)
    const names = Array.from({ length: 50 }, (_, index) => `s${index}`)
    const services = Object.fromEntries(names.map((name) => [name, service()]))
    node.answers['GET /api/dashboard/metrics'] = {
      body: { ...METRICS, coordinator: { ...METRICS.coordinator, services } },
    }
    user.terminal = { columns: 140, rows: 24 }
    user.environment = { NO_COLOR: '1' }
    user.keys = ['q']
    const { output } = await user.run('top')
    assert.match(output, /… and \d+ more/)
    assert.match(output, /\[q\]uit/)
    assert.ok(output.split('\n').length <= 25)
  })

  test('a terminal of 80 columns shows names whole, and fewer columns', async (t) => {
    const [user] = await cluster(t)
    user.terminal = { columns: 80, rows: 24 }
    user.environment = { NO_COLOR: '1', TERM: 'dumb' }
    const { output } = await user.run('top')
    assert.match(output, /^SERVICE {2}HEALTHY {2}CALLS\/S {2}ERRORS\/S {5}P99 {3}CPU▼ {3}MEMORY$/m)
    assert.match(output, /^w1 {4}95 % {4}20 % {2}50 %/m)
    assert.ok(output.split('\n').every((line) => line.length <= 80))
  })

  test('an unknown key to sort by is a mistake', async (t) => {
    const [user] = await cluster(t)
    assert.equal((await user.run('top', '--sort', 'mood')).code, 2)
  })

  test('names of nodes cannot steer the terminal', async (t) => {
    const [user, node] = await cluster(t)
    const evil = 'w\u001b[2J\nx'
    node.answers['GET /api/dashboard/metrics'] = {
      body: { ...METRICS, workers: { [evil]: METRICS.workers.w1 } },
    }
    const { output } = await user.run('top')
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(output, /\u001b/)
  })
})

suite('p2p metrics', () => {
  const point = (ageS: number, cpu: number) => ({
    timestamp: iso(ageS),
    cpu_percent: cpu,
    memory_percent: 50,
    disk_percent: 100,
    network_rx_bytes_s: 1_024,
    network_tx_bytes_s: 0,
    load_1: 1,
    loop_lag_ms: 2,
  })

  test('draws each figure over the range, with nothing where nothing was told', async (t) => {
    const [user, node] = await cluster(t)
    const history = [point(450, 100), point(0, 25)]
    node.answers['GET /api/dashboard/history/w1'] = { body: { node_id: 'w1', history, count: 2 } }
    const { code, output } = await user.run('metrics', 'w1')
    assert.equal(code, 0)
    assert.match(node.requests.at(-1)?.path ?? '', /range=15m&points=1000$/)
    const cpu = output.split('\n').find((line) => line.startsWith('CPU')) ?? ''
    assert.equal(cpu, `CPU       ${' '.repeat(30)}█${' '.repeat(28)}▃          25.0 %          62.5 %         100.0 %`)
    assert.match(output, /^w1, now/)
  })

  test('a node that has told nothing yet is no failure', async (t) => {
    const [user, node] = await cluster(t)
    node.answers['GET /api/dashboard/history/w1'] = { body: { node_id: 'w1', history: [], count: 0 } }
    assert.match((await user.run('metrics', 'w1', '--range', '7d')).output, /told nothing yet of the last 7d/)
  })

  test('of a service it draws calls, failures and durations, with nothing where nothing was called', async (t) => {
    const [user, node] = await cluster(t)
    const calls = (ageS: number, more: object) => ({ timestamp: iso(ageS), errors_per_s: 0, ...more })
    const history = [
      calls(450, { calls_per_s: 12, p50_ms: 2, p99_ms: 40 }),
      calls(0, { calls_per_s: 0, p50_ms: null, p99_ms: null }),
    ]
    node.answers['GET /api/dashboard/services/shop/history'] = { body: { service: 'shop', history, count: 2 } }
    const { code, output } = await user.run('metrics', '--service', 'shop', '--range', '15m')
    assert.equal(code, 0)
    const line = (name: string) => output.split('\n').find((one) => one.startsWith(name)) ?? ''
    assert.match(output, /^shop, now/)
    assert.match(line('Calls'), /█ +▁ +0\.00\/s +6\.00\/s +12\/s$/)
    assert.match(line('99 % in'), /^99 % in {32}█ +– +40\.0 ms +40\.0 ms$/)
    assert.equal((await user.run('metrics')).code, 2)
    assert.equal((await user.run('metrics', 'w1', '--service', 'shop')).code, 2)
  })

  test('an unknown node, and an unknown range', async (t) => {
    const [user, node] = await cluster(t)
    node.answers['GET /api/dashboard/history/w9'] = problem('P2P_NETWORK_NODE_UNKNOWN', 404)
    assert.notEqual((await user.run('metrics', 'w9')).code, 0)
    assert.equal((await user.run('metrics', 'w1', '--range', '2d')).code, 2)
  })
})

suite('graphs of characters', () => {
  test('a bar is filled in eighths and stays within its bounds', () => {
    assert.equal(bar(0, 4), '')
    assert.equal(bar(50, 4), '██')
    assert.equal(bar(53.2, 4), '██▏')
    assert.equal(bar(250, 4), '████')
    assert.equal(bar(-5, 4), '')
  })

  test('a sparkline scales by its top, by default by the greatest value', () => {
    assert.equal(sparkline([0, 25, 50, 100], 100), '▁▃▅█')
    assert.equal(sparkline([1, undefined, 2]), '▅ █')
    assert.equal(sparkline([0, 0]), '▁▁')
    assert.equal(sparkline([]), '')
  })

  test('values are put into the spans of their time; those outside are left out', () => {
    const points = [
      { timeMs: 0, value: 9 },
      { timeMs: 100, value: 1 },
      { timeMs: 149, value: 3 },
      { timeMs: 200, value: 5 },
      { timeMs: 201, value: 7 },
    ]
    assert.deepEqual(spans(points, { endMs: 200, lengthMs: 100, width: 2 }), [2, 5])
  })
})
