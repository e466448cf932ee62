import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeRole } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { type Caller, NODE_REPORT, type NodeReport } from '../../../../src/service/index.ts'
import { createClusterMetrics } from '../../../../src/telemetry/metrics/cluster-metrics.ts'
import { createMachineSampler } from '../../../../src/telemetry/metrics/machine-sampler.ts'
import { createMetricsDashboardService } from '../../../../src/telemetry/metrics/metrics-dashboard.ts'
import { createMetricsReporter } from '../../../../src/telemetry/metrics/metrics-reporter.ts'
import { machineMetrics } from '../../service/http/stub-dashboard.ts'
import { ManualClock } from '../../service/support/manual-clock.ts'
import { ADMIN, countingRandom, StubMembership, TRACE } from '../../service/support/node.ts'

const identity = (nodeId: string, role: NodeRole) => ({ cluster: 'blue', role, nodeId })

function report(nodeId: string, more: Partial<NodeReport> = {}): NodeReport {
  return {
    worker_id: nodeId,
    sent_at: 0,
    seconds: 4,
    metrics: machineMetrics(),
    services: {},
    called_by: {},
    ...more,
  }
}

const SHOP = {
  status: 'running',
  version: '1.0.0',
  wanted: 1,
  running: 1,
  healthy: 1,
  restarts: 0,
  calls: 8,
  errors: 2,
  durations: [
    [1, 0],
    [10, 8],
  ] as [number, number][],
}

function startCluster(wanted?: () => Map<string, number>) {
  const clock = new ManualClock()
  const membership = new StubMembership('c1')
  membership.set(identity('c1', 'coordinator'), [])
  membership.set(identity('w1', 'worker'), [
    { name: 'shop', version: '1.0.0', description: 'Sells', health: 'healthy', methods: [] },
  ])
  membership.set(identity('w2', 'worker'), [])
  const metrics = createClusterMetrics({ clock, membership, ...(wanted && { wanted }) })
  return { clock, membership, metrics }
}

test('what nodes report is told with the field names of the Python program', () => {
  const { metrics } = startCluster()
  metrics.report('c1', report('c1'))
  metrics.report('w1', report('w1', { services: { shop: SHOP } }))
  const { coordinator, workers, stats } = metrics.metrics()
  assert.deepEqual(coordinator.metrics, machineMetrics())
  assert.deepEqual(coordinator.cluster_state, {
    total_workers: 2,
    connected_workers: 2,
    total_nodes: 3,
    nodes: ['c1', 'w1', 'w2'],
  })
  assert.deepEqual(Object.keys(workers), ['w1'])
  assert.deepEqual(workers['w1']?.services['shop'], {
    status: 'running',
    installed: true,
    description: 'Sells',
    version: '1.0.0',
    wanted: 1,
    running: 1,
    healthy: 1,
    restarts: 0,
    calls_per_s: 2,
    error_ratio: 0.25,
    p50_ms: 5.5,
    p99_ms: 9.91,
  })
  assert.deepEqual(
    [stats.active_workers, stats.total_updates, stats.total_services, stats.active_services],
    [1, 2, 1, 1],
  )
})

test('a service is the sum of the nodes that are alive; calls of a node that went silent are none', () => {
  const { clock, membership, metrics } = startCluster()
  metrics.report('w1', report('w1', { services: { shop: SHOP } }))
  metrics.report('w2', report('w2', { services: { shop: { ...SHOP, version: '2.0.0', healthy: 0 } } }))
  const [shop] = metrics.services()
  assert.deepEqual(
    [shop?.wanted, shop?.running, shop?.healthy, shop?.versions, shop?.nodes, shop?.calls_per_s, shop?.error_ratio],
    [2, 2, 1, ['1.0.0', '2.0.0'], ['w1', 'w2'], 4, 0.25],
  )
  membership.set(identity('w2', 'worker'), [], 'dead')
  assert.deepEqual(metrics.services()[0]?.nodes, ['w1'])
  clock.advance(15_000)
  assert.equal(metrics.services()[0]?.calls_per_s, 0)
  assert.equal(metrics.services()[0]?.running, 1)
})

test('the calls of a service over time are those of all nodes, taken when the coordinator reports itself', async () => {
  const { clock, metrics } = startCluster()
  metrics.report('w1', report('w1', { services: { shop: SHOP } }))
  metrics.report('w2', report('w2', { services: { shop: SHOP } }))
  assert.deepEqual(await metrics.serviceHistory('shop', '15m', 10), [], 'known, and nothing measured yet')
  assert.equal(await metrics.serviceHistory('none', '15m', 10), undefined)
  metrics.report('c1', report('c1'))
  const timestamp = new Date(Math.floor(clock.wallMs() / 1_000) * 1_000).toISOString()
  assert.deepEqual(await metrics.serviceHistory('shop', '15m', 10), [
    { timestamp, calls_per_s: 4, errors_per_s: 1, p50_ms: 5.5, p99_ms: 9.91 },
  ])
  clock.advance(20_000)
  metrics.report('c1', report('c1'))
  const [, silent] = (await metrics.serviceHistory('shop', '15m', 10)) ?? []
  assert.deepEqual([silent?.calls_per_s, silent?.p99_ms], [0, null], 'nobody tells of calls any more')
  assert.equal(await metrics.clear(), 3)
  assert.deepEqual(await metrics.serviceHistory('shop', '15m', 10), [])
})

test('services with a history are so many at most; one that is silent for an hour makes room', async () => {
  const { clock, metrics } = startCluster()
  const named = (from: number) =>
    Object.fromEntries(Array.from({ length: 512 }, (_, index) => [`s${from + index}`, SHOP]))
  const hasHistory = async (name: string) => ((await metrics.serviceHistory(name, '1d', 10))?.length ?? 0) > 0
  const tell = (services: NodeReport['services']) => {
    metrics.report('w1', report('w1', { services }))
    metrics.report('c1', report('c1', { services: { honest: SHOP } }))
  }
  tell({})
  tell(named(0))
  assert.deepEqual([await hasHistory('s510'), await hasHistory('s511')], [true, false])
  for (let minute = 0; minute < 62; minute++) {
    clock.advance(60_000)
    tell({})
  }
  tell(named(1_000))
  assert.deepEqual([await hasHistory('honest'), await hasHistory('s1000'), await hasHistory('s0')], [true, true, false])
})

test('whoever knows how many there should be is believed', () => {
  const { metrics } = startCluster(() => new Map([['shop', 3]]))
  metrics.report('w1', report('w1', { services: { shop: SHOP } }))
  assert.equal(metrics.services()[0]?.wanted, 3)
})

test('calls between nodes are edges, from the caller to the called', () => {
  const { clock, metrics } = startCluster()
  metrics.report('w1', report('w1', { called_by: { c1: 10, w2: 2 } }))
  assert.deepEqual(metrics.calls(), [
    { from: 'c1', to: 'w1', calls_per_s: 2.5 },
    { from: 'w2', to: 'w1', calls_per_s: 0.5 },
  ])
  clock.advance(15_000)
  assert.deepEqual(metrics.calls(), [])
})

test('a dead node keeps its history, one that left has none, and is forgotten', async () => {
  const { clock, membership, metrics } = startCluster()
  metrics.report('w1', report('w1'))
  metrics.report('w2', report('w2'))
  membership.set(identity('w1', 'worker'), [], 'dead')
  membership.set(identity('w2', 'worker'), [], 'left')
  assert.equal((await metrics.history('w1', '15m', 100))?.length, 1)
  assert.equal(await metrics.history('w2', '15m', 100), undefined)
  assert.deepEqual(metrics.recent('w2', 0, 100), [])
  const before = metrics.nodeHistories.bytes
  clock.advance(15_000)
  for (let i = 0; i < 64; i++) metrics.report('c1', report('c1'))
  assert.equal(metrics.nodeHistories.bytes, before, 'the coordinator has come, the one that left has gone')
  assert.notEqual(metrics.stats().last_cleanup, null)
})

test('more nodes than a membership can have are not kept', () => {
  const { metrics, membership } = startCluster()
  for (let i = 0; i < 4_096; i++) {
    membership.set(identity(`n${i}`, 'worker'), [])
    assert.equal(metrics.report(`n${i}`, report(`n${i}`)), true)
  }
  assert.equal(metrics.report('one-more', report('one-more')), false)
  assert.equal(metrics.report('n7', report('n7')), true)
})

test('clearing forgets the past and keeps the present', async () => {
  const { metrics } = startCluster()
  metrics.report('w1', report('w1'))
  assert.equal(await metrics.clear('nobody'), 0)
  assert.equal(await metrics.clear(), 1)
  assert.deepEqual(await metrics.history('w1', '1h', 10), [])
  assert.deepEqual(Object.keys(metrics.metrics().workers), ['w1'])
})

test('a node that makes names up fills neither the map of calls nor the list of services', () => {
  const { metrics } = startCluster()
  metrics.report('c1', report('c1', { services: { honest: SHOP } }))
  for (const nodeId of ['w1', 'w2']) {
    const names = Array.from({ length: 1_500 }, (_, index) => `${nodeId}-${index}`)
    const services = Object.fromEntries(names.map((name) => [name, SHOP]))
    const callers = Object.fromEntries(names.map((name) => [name, 1]))
    metrics.report(nodeId, report(nodeId, { services, called_by: { ...callers, c1: 4 } }))
  }
  assert.deepEqual(metrics.calls(), [
    { from: 'c1', to: 'w1', calls_per_s: 1 },
    { from: 'c1', to: 'w2', calls_per_s: 1 },
  ])
  const services = metrics.services()
  assert.equal(services.length, 2_048)
  assert.ok(services.some(({ name }) => name === 'honest'))
})

test('names that no service and no node can have make a report unusable', () => {
  for (const name of ['a\nb', '<b>', '\u202e']) {
    const services = Object.fromEntries([[name, SHOP]])
    assert.equal(NODE_REPORT.safeParse(report('w1', { services })).success, false, name)
    const callers = Object.fromEntries([[name, 1]])
    assert.equal(NODE_REPORT.safeParse(report('w1', { called_by: callers })).success, false, name)
  }
  assert.equal(NODE_REPORT.safeParse(report('w1', { services: { shop: SHOP }, called_by: { w2: 1 } })).success, true)
})

test('trouble in the reports is what somebody should look at', () => {
  const { clock, metrics } = startCluster()
  const failing = { ...SHOP, status: 'error', running: 0, healthy: 0, reason: 'no disk' }
  metrics.report('w1', report('w1', { sent_at: clock.wallMs() - 70_000, services: { shop: failing } }))
  metrics.report('w2', report('w2', { sent_at: clock.wallMs() }))
  assert.deepEqual(
    metrics.attention().map(({ id, severity, detail }) => [id, severity, detail]),
    [
      ['clock/w1', 'error', "Compared with this coordinator's clock. Certificates and tokens are checked by it."],
      ['service/shop', 'error', 'no disk'],
    ],
  )
})

const nobody: Caller = { call: () => Promise.reject(new Error('nobody is called')) }

/** What a method of the service answers to a caller. */
function ask(service: ReturnType<typeof createMetricsDashboardService>, name: string, params: object, caller: object) {
  const method = service.methods[name] as unknown as { params: { parse(value: unknown): object }; handler: Function }
  return method.handler(method.params.parse(params), { caller, traceId: TRACE })
}

test('a node reports itself only; no service and no person does', () => {
  const { clock, metrics } = startCluster()
  const service = createMetricsDashboardService(
    { clock, calls: nobody, metrics, nodeId: 'c1' },
    { softwareVersion: '3.0.0' },
  )
  const w1 = { kind: 'node', nodeId: 'w1', role: 'worker' }
  const answer = ask(service, 'report_metrics', { ...report('w1'), unknown_key: 1 }, w1)
  assert.deepEqual([answer.status, answer.worker_id, answer.next_report_interval], ['received', 'w1', 4])
  for (const caller of [{ ...w1, nodeId: 'w2' }, { ...w1, service: 'shop' }, ADMIN]) {
    assert.throws(() => ask(service, 'report_metrics', report('w1'), caller), { code: 'P2P_RPC_ACCESS_DENIED' })
  }
  assert.throws(() =>
    ask(service, 'report_metrics', { ...report('w1'), metrics: { ...machineMetrics(), cpu_percent: 101 } }, w1),
  )
  const many = Object.fromEntries(Array.from({ length: 513 }, (_, index) => [`s${index}`, SHOP]))
  assert.throws(() => ask(service, 'report_metrics', report('w1', { services: many }), w1), /512/)
})

test('the methods of the Python program answer from what was reported', async () => {
  const { clock, metrics } = startCluster()
  const service = createMetricsDashboardService(
    { clock, calls: nobody, metrics, nodeId: 'c1' },
    { softwareVersion: '3.0.0' },
  )
  metrics.report('c1', report('c1', { services: { shop: SHOP } }))
  const call = (name: string, params = {}) => ask(service, name, params, ADMIN)
  assert.equal(call('get_cluster_metrics').coordinator.node_id, 'c1')
  assert.equal((await call('get_metrics_history', { node_id: 'coordinator' })).count, 1)
  await assert.rejects(call('get_metrics_history', { node_id: 'w9' }), { code: 'P2P_NETWORK_NODE_UNKNOWN' })
  assert.equal(call('get_dashboard_stats').total_updates, 1)
  assert.equal(call('get_cluster_services').total, 1)
  assert.equal(call('get_service_metrics', { node_id: 'c1', service_name: 'shop' }).metrics.version, '1.0.0')
  for (const name of ['toString', 'none']) {
    assert.throws(() => call('get_service_metrics', { node_id: 'c1', service_name: name }), {
      code: 'P2P_SERVICE_NOT_FOUND',
    })
  }
  assert.deepEqual(Object.keys(call('get_service_data').service_data), ['c1'])
  assert.deepEqual(await call('clear_metrics_history', { node_id: 'coordinator' }), { success: true, cleared: 1 })
})

test('a service is controlled on the node that is named, in the name of who asks', async () => {
  const { clock, metrics } = startCluster()
  const made: unknown[] = []
  const calls: Caller = {
    async call(method, params, { caller, traceId, parentSpanId, hops, deadlineMs }, target) {
      made.push({ method, params, caller, traceId, parentSpanId, hops, deadlineMs, target })
    },
  }
  const service = createMetricsDashboardService({ clock, calls, metrics, nodeId: 'c1' }, { softwareVersion: '3.0.0' })
  const { handler, params } = service.methods['control_service'] as unknown as {
    handler: Function
    params: { safeParse(value: unknown): { success: boolean } }
  }
  const call = { caller: ADMIN, traceId: TRACE, spanId: '00f067aa0ba902b7', deadlineMs: 7 }
  const asked = { worker_id: 'coordinator', service_name: 'shop', action: 'restart' }
  assert.deepEqual(await handler(asked, call), { ...asked, success: true, worker_id: 'c1' })
  assert.deepEqual(made, [
    {
      method: 'deploy_agent/control_service',
      params: { service_name: 'shop', action: 'restart' },
      caller: ADMIN,
      traceId: TRACE,
      parentSpanId: '00f067aa0ba902b7',
      hops: 1,
      deadlineMs: 7,
      target: 'c1',
    },
  ])
  assert.equal(params.safeParse({ ...asked, action: 'delete' }).success, false)
})

/** A machine whose numbers the test sets. */
function startSampler(clock: ManualClock) {
  const facts = { received: 1_000, disk: async () => ({ totalBytes: 100, freeBytes: 40 }), warnings: [] as string[] }
  const log = { ...silentLogger, warning: (message: string) => void facts.warnings.push(message), child: () => log }
  const sampler = createMachineSampler(
    {
      clock,
      log,
      machine: {
        cpuCount: 2,
        cpuPercent: () => 12.345,
        memory: () => ({ totalBytes: 1_000, availableBytes: 250 }),
        loadAverage: () => [1, 2, 3],
        processMemoryBytes: () => 3 * 1_048_576,
        disk: () => facts.disk(),
      },
      io: {
        network: async () => ({ receivedBytes: facts.received, sentBytes: 0 }),
        disk: async () => undefined,
        processCount: async () => 7,
      },
      openLoopLag: () => ({ takeMaxMs: () => 2.5, stop: () => {} }),
    },
    { statePath: '/' },
  )
  return { sampler, facts }
}

/** Lets what was asked beside the tick be answered. */
const answered = () => new Promise((resolve) => setImmediate(resolve))

test('a machine is measured every second, and what moves is told a second', async () => {
  const clock = new ManualClock()
  const { sampler, facts } = startSampler(clock)
  assert.equal(sampler.latest(), undefined)
  await sampler.start(AbortSignal.timeout(5_000))
  const { timestamp: _timestamp, ...first } = sampler.latest() ?? {}
  assert.deepEqual(first, {
    cpu_percent: 12.35,
    cpu_count: 2,
    memory: { percent: 75, available: 250, used: 750, total: 1_000 },
    memory_usage_mb: 3,
    disk: { percent: 60, free: 40, used: 60, total: 100 },
    disk_io: null,
    network_io: { bytes_recv: 1_000, bytes_sent: 0, rx_bytes_s: 0, tx_bytes_s: 0 },
    load_average: [1, 2, 3],
    process_count: 7,
    loop_lag_ms: 2.5,
  })
  facts.received = 3_000
  clock.advance(1_000)
  await answered()
  clock.advance(1_000)
  assert.equal(sampler.latest()?.network_io?.rx_bytes_s, 2_000)
  assert.equal(sampler.samples(120).length, 3)
  facts.received = 5
  await answered()
  clock.advance(1_000)
  await answered()
  assert.ok((sampler.latest()?.network_io?.rx_bytes_s ?? -1) >= 0, 'a counter that began anew is no negative rate')
  await sampler.stop()
})

test('what cannot be read is said once and disturbs nothing else', async () => {
  const clock = new ManualClock()
  const { sampler, facts } = startSampler(clock)
  facts.disk = () => Promise.reject(new Error('gone'))
  await sampler.start(AbortSignal.timeout(5_000))
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000)
    await answered()
  }
  assert.deepEqual(facts.warnings, ['The disk space of this machine cannot be read'])
  assert.equal(sampler.latest()?.cpu_percent, 12.35)
  await sampler.stop()
})

function startReporter(role: NodeRole, calls: Caller) {
  const clock = new ManualClock()
  const membership = new StubMembership('n1')
  membership.set(identity('n1', role), [])
  membership.set(identity('c1', 'coordinator'), [])
  membership.set(identity('c2', 'coordinator'), [], 'dead')
  const own: NodeReport[] = []
  const callers = new Map([['c1', 5]])
  const { sampler } = startSampler(clock)
  const reporter = createMetricsReporter(
    {
      clock,
      random: countingRandom,
      log: silentLogger,
      membership,
      calls,
      services: { list: () => [], get: () => undefined, methodMetrics: () => [] },
      host: { states: () => [] },
      sampler,
      certificate: () => ({ notBeforeMs: 1, notAfterMs: 2 }),
      callsByNode: () => callers,
      ...(role === 'coordinator' && { own: { report: (_nodeId, told) => void own.push(told) } }),
    },
    { nodeId: 'n1', role, softwareVersion: '3.0.0' },
  )
  return { clock, reporter, sampler, own, callers }
}

test('a node reports to each coordinator that is alive, every four seconds, with the calls since the last time', async () => {
  const sent: { params: NodeReport; target: string | undefined }[] = []
  const started = startReporter('worker', {
    async call(method, params, { caller }, target) {
      assert.equal(method, 'metrics_dashboard/report_metrics')
      assert.deepEqual(caller, { kind: 'node', nodeId: 'n1', role: 'worker' })
      sent.push({ params: params as NodeReport, target })
      return {}
    },
  })
  await started.sampler.start(AbortSignal.timeout(5_000))
  await started.reporter.start(AbortSignal.timeout(5_000))
  started.clock.advance(2_000)
  await answered()
  started.callers.set('c1', 9)
  started.clock.advance(4_000)
  await answered()
  assert.deepEqual(
    sent.map(({ target, params }) => [target, params.called_by, params.seconds, params.certificate]),
    [
      ['c1', { c1: 5 }, 4, { not_before: 1, not_after: 2 }],
      ['c1', { c1: 4 }, 4, { not_before: 1, not_after: 2 }],
    ],
  )
  await started.reporter.stop()
  await started.sampler.stop()
  started.clock.advance(20_000)
  assert.equal(sent.length, 2)
})

test('a coordinator takes its own report without a call, also when others refuse theirs', async () => {
  const started = startReporter('coordinator', { call: () => Promise.reject(new Error('away')) })
  await started.sampler.start(AbortSignal.timeout(5_000))
  await started.reporter.start(AbortSignal.timeout(5_000))
  for (let round = 0; round < 3; round++) {
    started.clock.advance(4_000)
    await answered()
  }
  assert.equal(started.own.length, 3)
  const state = ask(started.reporter.service, 'get_stats', {}, ADMIN)
  assert.deepEqual([state.reports_sent, state.reports_failed, state.last_failure], [0, 3, 'away'])
  ask(started.reporter.service, 'control_reporter', { action: 'stop' }, ADMIN)
  started.clock.advance(20_000)
  assert.equal(started.own.length, 3)
  await ask(started.reporter.service, 'control_reporter', { action: 'report_now' }, ADMIN)
  assert.equal(started.own.length, 4)
  const { history } = ask(started.reporter.service, 'get_samples', { points: 5 }, ADMIN)
  assert.equal(history.length, 5)
  await started.reporter.stop()
  await started.sampler.stop()
})

test('reports are stopped, started, hurried and spaced by the methods of the Python program', async () => {
  let sent = 0
  const started = startReporter('worker', { call: async () => void sent++ })
  await started.sampler.start(AbortSignal.timeout(5_000))
  await started.reporter.start(AbortSignal.timeout(5_000))
  const methods = started.reporter.service.methods as unknown as Record<
    string,
    { handler: Function; params: { safeParse(value: unknown): { success: boolean } } }
  >
  const ask = async (name: string, params = {}) => methods[name]?.handler(params, { caller: ADMIN, traceId: TRACE })
  const pass = async (ms: number): Promise<number> => {
    started.clock.advance(ms)
    await answered()
    return sent
  }
  assert.equal(await pass(2_000), 1)
  assert.equal((await ask('control_reporter', { action: 'stop' })).running, false)
  assert.equal(await pass(60_000), 1)
  const { reports_sent: told, running } = await ask('control_reporter', { action: 'report_now' })
  assert.deepEqual([told, running], [2, false])
  assert.equal((await ask('control_reporter', { action: 'start' })).running, true)
  assert.equal(await pass(0), 3)
  assert.equal((await ask('set_interval', { interval: 30 })).interval_seconds, 30)
  assert.equal(await pass(29_000), 3)
  assert.equal(await pass(1_000), 4)
  const { reports_sent, reports_failed, coordinators } = await ask('get_stats')
  assert.deepEqual([reports_sent, reports_failed, coordinators], [4, 0, ['c1']])
  for (const interval of [0, 301, 1.5])
    assert.equal(methods['set_interval']?.params.safeParse({ interval }).success, false)
  await started.reporter.stop()
  await started.sampler.stop()
})
