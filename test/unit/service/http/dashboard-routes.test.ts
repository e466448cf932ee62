import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pointsPerNode } from '../../../../src/service/http/routes/dashboard-routes.ts'
import { historyPoint, StubDashboard } from './stub-dashboard.ts'
import { startStubNode } from './stub-node.ts'

test('the answers have the field names of the Python program', async () => {
  const dashboard = new StubDashboard()
  await using node = await startStubNode({ dashboard })
  const token = await node.tokenFor('viewer')
  const ask = async (path: string) => (await node.ask(`/api/dashboard/${path}`, { token })).json()
  assert.deepEqual(await ask('metrics'), dashboard.metrics())
  assert.deepEqual(await ask('stats'), dashboard.stats())
  assert.deepEqual(await ask('full-data'), {
    timestamp: dashboard.metrics().timestamp,
    metrics: dashboard.metrics(),
    history: Object.fromEntries(dashboard.points),
  })
  assert.deepEqual(await ask('history/worker-1?points=1'), {
    node_id: 'worker-1',
    history: [historyPoint(5_000)],
    count: 1,
  })
  assert.equal((await ask('history/coordinator')).node_id, 'coordinator-1')
  const calls = await ask('services/inventory/history?range=7d&points=2')
  assert.deepEqual([calls.service, calls.count, calls.history[0].p99_ms], ['inventory', 2, null])
})

test('a node nobody has heard of, a range there is not, and too many points are refused', async () => {
  await using node = await startStubNode({ dashboard: new StubDashboard() })
  const token = await node.tokenFor('viewer')
  const status = async (path: string) => (await node.ask(`/api/dashboard/history/${path}`, { token })).json().code
  assert.equal(await status('worker-9'), 'P2P_NETWORK_NODE_UNKNOWN')
  assert.equal(await status('worker-1?range=2h'), 'P2P_HTTP_BODY_INVALID')
  assert.equal(await status('worker-1?points=1001'), 'P2P_HTTP_BODY_INVALID')
  assert.equal(await status('../services/none/history'), 'P2P_SERVICE_NOT_FOUND')
})

test('a node that is no coordinator says who is', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  for (const path of ['metrics', 'stats', 'full-data', 'history/worker-1', 'services/inventory/history']) {
    const answer = await node.ask(`/api/dashboard/${path}`, { token })
    assert.equal(answer.json().code, 'P2P_HTTP_COORDINATOR_ONLY', path)
  }
})

test('a large cluster is shown with fewer points of each node', () => {
  assert.deepEqual([0, 1, 100, 200, 1_000, 4_096].map(pointsPerNode), [100, 100, 100, 50, 10, 10])
})

test('one scrape of a coordinator has the machines of all its nodes', async () => {
  const dashboard = new StubDashboard()
  await using node = await startStubNode({ dashboard, machines: () => dashboard.machines() })
  const { text } = await node.ask('/metrics', { token: await node.tokenFor('viewer') })
  assert.match(text, /^p2p_machine_cpu_ratio\{node_id="worker-1"\} 0\.125$/m)
  assert.match(text, /^p2p_machine_memory_bytes\{node_id="coordinator-1"\} 1000$/m)
  assert.match(text, /^p2p_machine_metrics_time_seconds\{node_id="worker-1"\} 1767225600$/m)
})

test('one scrape of a coordinator has every service of the cluster, and only so many', async () => {
  const dashboard = new StubDashboard()
  const one = dashboard.services()[0]
  assert.ok(one)
  const many = Array.from({ length: 1_200 }, (_, index) => ({ ...one, name: `s${index}`, p99_ms: 250, p50_ms: null }))
  dashboard.services = () => many
  await using node = await startStubNode({ dashboard })
  const { text } = await node.ask('/metrics', { token: await node.tokenFor('viewer') })
  assert.match(text, /^p2p_cluster_service_instances\{service="s0",state="wanted"\} \d+$/m)
  assert.match(text, /^p2p_cluster_service_p99_seconds\{service="s0"\} 0\.25$/m)
  assert.doesNotMatch(text, /^p2p_cluster_service_p50_seconds\{/m)
  assert.equal(text.match(/^p2p_cluster_service_error_ratio\{/gm)?.length, 1_000)
  assert.match(text, /^p2p_cluster_services_left_out 200$/m)
})
