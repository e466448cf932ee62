import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gauge, type Registry } from 'prom-client'
import type { ServiceMetricsSource } from '../../../../src/service/definition/descriptor.ts'
import { startStubNode } from './stub-node.ts'
import { StubDashboard } from './stub-dashboard.ts'
import { StubAlerts } from './stub-alerts.ts'

const serviceMetrics: ServiceMetricsSource = {
  methodMetrics: () => [
    {
      service: 'inventory',
      method: 'list',
      calls: 4,
      errors: 1,
      inFlight: 2,
      durationMsTotal: 26,
      durations: [
        { upToMs: 1, count: 1 },
        { upToMs: 10, count: 2 },
        { upToMs: Infinity, count: 1 },
      ],
    },
  ],
  serviceMetrics: () =>
    new Map([
      [
        'inventory',
        {
          counters: { scans: 7 },
          gauges: { hosts: 3 },
          timers: { scan: { count: 2, avg_ms: 1.5, min_ms: 1, max_ms: 2 } },
        },
      ],
    ]),
}

test('gossip and DNS are told as metrics by a node that has them', async () => {
  const gossip = {
    framesSent: 10,
    bytesSent: 5_000,
    framesReceived: 8,
    bytesReceived: 1_000,
    bytesSaved: 0,
    dropped: { malformed: 1, oversized: 0, version: 0, cluster: 0, record: 2 },
    unsent: 0,
    rumoursQueued: 3,
    rumoursDropped: 0,
    healthScore: 1,
    suspects: 0,
    probesFailed: 4,
    refutations: 0,
    stateExchanges: 6,
    intervalMs: 7_500,
    intervalReason: 'growing',
  }
  const answers = { NOERROR: 5, FORMERR: 0, NXDOMAIN: 2, NOTIMP: 0, REFUSED: 1, BADVERS: 0 }
  const dns = { udpQueries: 9, tcpQueries: 1, answers, truncated: 3, limited: 4, dropped: 2 }
  await using node = await startStubNode({ gossipStats: () => gossip, dnsStats: () => dns })
  const lines = (await node.ask('/metrics', { token: await node.tokenFor('viewer') })).text.split('\n')
  for (const expected of [
    'p2p_gossip_bytes_total{direction="sent"} 5000',
    'p2p_gossip_frames_total{direction="received"} 8',
    'p2p_gossip_dropped_total{reason="record"} 2',
    'p2p_gossip_probes_failed_total 4',
    'p2p_gossip_rumours_queued 3',
    'p2p_gossip_health_score 1',
    'p2p_gossip_interval_seconds 7.5',
    'p2p_dns_queries_total{transport="udp"} 9',
    'p2p_dns_answers_total{rcode="NXDOMAIN"} 2',
    'p2p_dns_sent_to_tcp_total{reason="rate"} 4',
    'p2p_dns_dropped_total 2',
  ]) {
    assert.ok(lines.includes(expected), expected)
  }
  await using plain = await startStubNode()
  const { text } = await plain.ask('/metrics', { token: await plain.tokenFor('viewer') })
  assert.doesNotMatch(text, /p2p_gossip|p2p_dns/)
})

test('the log, the alerts and the dashboards are among the metrics: what waits, what was lost, what was cut', async () => {
  const spool = { waiting: 7, unwritten: 0, bytesOnDisk: 900, lost: 2 }
  const store = { total: 50, added: 60, duplicates: 3, lost: 4, removed: 5, isFailing: true }
  const more = { dashboard: new StubDashboard(), alerts: new StubAlerts() }
  await using node = await startStubNode({ ...more, logStats: () => ({ spool, store }) })
  const lines = (await node.ask('/metrics', { token: await node.tokenFor('viewer') })).text.split('\n')
  for (const expected of [
    'p2p_log_spool_lines 7',
    'p2p_log_spool_bytes 900',
    'p2p_log_spool_lost_total 2',
    'p2p_log_store_lines 50',
    'p2p_log_store_failing 1',
    'p2p_log_store_added_total 60',
    'p2p_log_store_duplicates_total 3',
    'p2p_log_store_lost_total 4',
    'p2p_log_store_removed_total 5',
    'p2p_alerts_firing{severity="error"} 1',
    'p2p_alerts_firing{severity="warning"} 0',
    'p2p_alert_messages_waiting{target="webhook a.example"} 0',
    'p2p_alert_messages_lost_total{target="webhook a.example"} 0',
    'p2p_dashboards_open 0',
    'p2p_dashboards_cut_total 0',
  ]) {
    assert.ok(lines.includes(expected), expected)
  }
  await using worker = await startStubNode({ logStats: () => ({ spool }) })
  const { text } = await worker.ask('/metrics', { token: await worker.tokenFor('viewer') })
  assert.match(text, /^p2p_log_spool_lines 7$/m)
  assert.doesNotMatch(text, /^p2p_(log_store|alert|dashboards)/m)
})

test('metrics in the Prometheus format: node, members, services, methods, requests', async () => {
  await using node = await startStubNode({ serviceMetrics })
  const token = await node.tokenFor('viewer')
  await node.ask('/nope')
  const answer = await node.ask('/metrics', { token })
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const lines = answer.text.split('\n')
  for (const expected of [
    'p2p_node_info{node_id="coordinator-1",role="coordinator",cluster="blue",version="3.0.0"} 1',
    'p2p_node_healthy 1',
    'p2p_cluster_members{status="alive"} 1',
    'p2p_cluster_members{status="suspected"} 1',
    'p2p_service_up{service="inventory",version="1.2.0"} 1',
    'p2p_service_count_total{service="inventory",name="scans"} 7',
    'p2p_service_value{service="inventory",name="hosts"} 3',
    'p2p_rpc_errors_total{service="inventory",method="list"} 1',
    'p2p_rpc_in_flight{service="inventory",method="list"} 2',
    '# TYPE p2p_rpc_duration_seconds histogram',
    'p2p_rpc_duration_seconds_bucket{service="inventory",method="list",le="0.001"} 1',
    'p2p_rpc_duration_seconds_bucket{service="inventory",method="list",le="0.01"} 3',
    'p2p_rpc_duration_seconds_bucket{service="inventory",method="list",le="+Inf"} 4',
    'p2p_rpc_duration_seconds_sum{service="inventory",method="list"} 0.026',
    'p2p_rpc_duration_seconds_count{service="inventory",method="list"} 4',
    'p2p_http_requests_total{route="unknown",status="401"} 1',
  ]) {
    assert.ok(lines.includes(expected), `${expected}\n${answer.text}`)
  }
})

test('a second scrape counts the first, and nothing twice', async () => {
  await using node = await startStubNode({ serviceMetrics })
  const token = await node.tokenFor('viewer')
  await node.ask('/metrics', { token })
  await node.ask('/health')
  const { text } = await node.ask('/metrics', { token })
  assert.match(text, /^p2p_http_requests_total\{route="GET \/metrics",status="200"\} 1$/m)
  assert.match(text, /^p2p_http_requests_total\{route="GET \/health",status="200"\} 1$/m)
  assert.match(text, /^p2p_service_count_total\{service="inventory",name="scans"\} 7$/m)
})

test('other parts of the node add metrics of their own, asked at every scrape', async () => {
  let value = 1
  const collector = (registry: Registry): void => {
    registry.registerMetric(
      new Gauge({
        name: 'p2p_test_queue',
        help: 'x',
        registers: [],
        collect() {
          this.set(value)
        },
      }),
    )
  }
  await using node = await startStubNode({ collectors: [collector] })
  const token = await node.tokenFor('viewer')
  assert.match((await node.ask('/metrics', { token })).text, /^p2p_test_queue 1$/m)
  value = 2
  assert.match((await node.ask('/metrics', { token })).text, /^p2p_test_queue 2$/m)
})

test('the JSON form has the shape of the Python program', async () => {
  await using node = await startStubNode({ serviceMetrics })
  const answer = await node.ask('/metrics?format=json', { token: await node.tokenFor('viewer') })
  const timestamp = '2026-01-01T00:00:00.000Z'
  assert.deepEqual(answer.json(), {
    system: { total_services: 1, alive_services: 1, dead_services: 0, timestamp },
    services: {
      inventory: {
        scans: { value: 7, timestamp, type: 'counter' },
        hosts: { value: 3, timestamp, type: 'gauge' },
        scan: { value: 1.5, timestamp, type: 'timer' },
        method_list_calls: { value: 4, timestamp, type: 'counter' },
        method_list_errors: { value: 1, timestamp, type: 'counter' },
        method_list_duration_ms: { value: 6.5, timestamp, type: 'timer' },
      },
    },
    health_summary: { inventory: { status: 'alive', last_seen: timestamp, uptime: 30, total_metrics: 6 } },
  })
})
