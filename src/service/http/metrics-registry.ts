import { Counter, Gauge, type Metric, Registry } from 'prom-client'
import { EVENT_SEVERITIES } from '../../base/timeline.ts'
import type { MethodMetrics } from '../definition/descriptor.ts'
import type { DashboardSource } from './dashboard-source.ts'
import type { MachineMetrics, ServiceFigures } from './dashboard-wire.ts'
import { healthOf } from './health.ts'
import type { RouteNeeds } from './http-needs.ts'
import type { DashboardCounts, LogStats } from './telemetry-stats.ts'
import { memberCounts } from './node-view.ts'

type Labels = Record<string, string | number>
type Sample = [labels: Labels, value: number]

/**
 * The node's metrics as a Prometheus registry. Nothing is counted twice: every metric reads, when scraped, the plain
 * numbers that the parts of the node keep anyway; so the library is loaded only where somebody scrapes.
 */
export function createMetricsRegistry(needs: RouteNeeds): Registry {
  const registry = new Registry()
  addNodeMetrics(registry, needs)
  addServiceMetrics(registry, needs)
  addMethodMetrics(registry, needs)
  if (needs.machines) addMachineMetrics(registry, needs.machines)
  if (needs.dashboard) addClusterServices(registry, needs.dashboard)
  if (needs.logStats) addLogMetrics(registry, needs.logStats)
  if (needs.alerts) addAlertMetrics(registry, needs.alerts)
  if (needs.dashboard) addDashboardMetrics(registry, needs.dashboards)
  if (needs.gossipStats) addGossipMetrics(registry, needs.gossipStats)
  if (needs.dnsStats) addDnsMetrics(registry, needs.dnsStats)
  for (const collect of needs.collectors ?? []) collect(registry)
  return registry
}

function addNodeMetrics(registry: Registry, needs: RouteNeeds): void {
  const { membership, counts, clock, services } = needs
  gauge(registry, 'p2p_node_info', 'This node; always 1', ['node_id', 'role', 'cluster', 'version'], () => {
    const { nodeId, role, cluster, softwareVersion } = membership.self().record
    return [[{ node_id: nodeId, role, cluster, version: softwareVersion }, 1]]
  })
  gauge(registry, 'p2p_node_start_time_seconds', 'Start of the node, Unix time', [], () => [
    [{}, membership.self().record.startedAtMs / 1000],
  ])
  gauge(registry, 'p2p_node_healthy', '1 while no service of the node has failed', [], () => [
    [{}, healthOf({ clock, services, nodeId: () => '' }).status === 'healthy' ? 1 : 0],
  ])
  gauge(registry, 'p2p_cluster_members', 'Members by status, as this node sees them', ['status'], () =>
    Object.entries(memberCounts(membership)).map(([status, count]): Sample => [{ status }, count]),
  )
  counter(registry, 'p2p_http_requests_total', 'HTTP requests answered', ['route', 'status'], () =>
    counts.list().map(({ route, status, count }): Sample => [{ route, status }, count]),
  )
}

/** This machine's, and on a coordinator those of all nodes that report to it: one scrape shows the cluster. */
function addMachineMetrics(registry: Registry, machines: NonNullable<RouteNeeds['machines']>): void {
  const add = (name: string, help: string, read: (metrics: MachineMetrics) => number | undefined): void =>
    gauge(registry, name, help, ['node_id'], () =>
      machines().flatMap(({ nodeId, metrics }): Sample[] => {
        const value = read(metrics)
        return value === undefined ? [] : [[{ node_id: nodeId }, value]]
      }),
    )
  add('p2p_machine_cpu_ratio', 'Share of all processors in use', (metrics) => metrics.cpu_percent / 100)
  add('p2p_machine_memory_used_bytes', 'Memory in use', ({ memory }) => memory.used)
  add('p2p_machine_memory_bytes', 'Memory there is', ({ memory }) => memory.total)
  add('p2p_machine_disk_used_bytes', "Space in use on the file system of the node's state", ({ disk }) => disk.used)
  add('p2p_machine_disk_bytes', "Size of the file system of the node's state", ({ disk }) => disk.total)
  add('p2p_machine_load1', 'Load average over one minute', (metrics) => metrics.load_average[0])
  add('p2p_machine_received_bytes_per_second', 'Network traffic in', ({ network_io: io }) => io?.rx_bytes_s)
  add('p2p_machine_sent_bytes_per_second', 'Network traffic out', ({ network_io: io }) => io?.tx_bytes_s)
  add('p2p_machine_process_memory_bytes', 'Memory of the node', (metrics) => metrics.memory_usage_mb * 1_048_576)
  add('p2p_machine_loop_lag_seconds', 'Longest delay of the event loop', (metrics) => metrics.loop_lag_ms / 1000)
  add('p2p_machine_metrics_time_seconds', "Unix time of these numbers, the node's clock", (metrics) => {
    return Date.parse(metrics.timestamp) / 1000
  })
}

/** Series of one metric at most: names of services are their authors', and one who makes them up must not fill a server. */
const CLUSTER_SERVICES_MAX = 1_000

/** Every service over all nodes, on a coordinator; what one node makes of it is in that node's own answer. */
function addClusterServices(registry: Registry, dashboard: DashboardSource): void {
  const shown = (): ServiceFigures[] => dashboard.services().slice(0, CLUSTER_SERVICES_MAX)
  const add = (name: string, help: string, read: (service: ServiceFigures) => number | null): void =>
    gauge(registry, name, help, ['service'], () =>
      shown().flatMap((service): Sample[] => {
        const value = read(service)
        return value === null ? [] : [[{ service: service.name }, value]]
      }),
    )
  gauge(registry, 'p2p_cluster_service_instances', 'Instances on all nodes', ['service', 'state'], () =>
    shown().flatMap(({ name, wanted, running, healthy }): Sample[] => [
      [{ service: name, state: 'wanted' }, wanted],
      [{ service: name, state: 'running' }, running],
      [{ service: name, state: 'healthy' }, healthy],
    ]),
  )
  add('p2p_cluster_service_calls_per_second', 'Calls finished on all nodes', (service) => service.calls_per_s)
  add('p2p_cluster_service_error_ratio', 'Share of them that failed', (service) => service.error_ratio)
  const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1000)
  add('p2p_cluster_service_p50_seconds', 'Median of their durations', (service) => seconds(service.p50_ms))
  add('p2p_cluster_service_p99_seconds', 'What 99 of 100 did not exceed', (service) => seconds(service.p99_ms))
  gauge(registry, 'p2p_cluster_services_left_out', 'Services that are too many to be shown', [], () => [
    [{}, Math.max(0, dashboard.services().length - CLUSTER_SERVICES_MAX)],
  ])
}

/** What of the log waits, is kept, and was lost. */
function addLogMetrics(registry: Registry, stats: () => LogStats): void {
  const spool = () => stats().spool
  gauge(registry, 'p2p_log_spool_lines', 'Log lines of this node that no coordinator has yet', [], () => [
    [{}, spool().waiting],
  ])
  gauge(registry, 'p2p_log_spool_bytes', 'What they take on disk', [], () => [[{}, spool().bytesOnDisk]])
  counter(registry, 'p2p_log_spool_lost_total', 'Log lines of this node that went for want of room', [], () => [
    [{}, spool().lost],
  ])
  if (!stats().store) return
  type Store = NonNullable<LogStats['store']>
  const ofStore = (add: typeof gauge, name: string, help: string, read: (store: Store) => number): void =>
    add(registry, `p2p_log_store_${name}`, help, [], () => {
      const { store } = stats()
      return store ? [[{}, read(store)]] : []
    })
  ofStore(gauge, 'lines', 'Log lines of all nodes that are kept', ({ total }) => total)
  ofStore(gauge, 'failing', '1 while no lines can be stored', ({ isFailing }) => Number(isFailing))
  ofStore(counter, 'added_total', 'Log lines stored', ({ added }) => added)
  ofStore(counter, 'duplicates_total', 'Log lines sent again, and stored once', ({ duplicates }) => duplicates)
  ofStore(counter, 'lost_total', 'Log lines that nodes said they had lost', ({ lost }) => lost)
  ofStore(counter, 'removed_total', 'Log lines removed for their age or want of room', ({ removed }) => removed)
}

function addAlertMetrics(registry: Registry, alerts: NonNullable<RouteNeeds['alerts']>): void {
  gauge(registry, 'p2p_alerts_firing', 'Alerts that fire', ['severity'], () => {
    const firing = alerts.list().alerts.filter(({ state }) => state === 'firing')
    return EVENT_SEVERITIES.map(
      (severity): Sample => [{ severity }, firing.filter((alert) => alert.severity === severity).length],
    )
  })
  gauge(registry, 'p2p_alert_messages_waiting', 'Messages that a target has not taken yet', ['target'], () =>
    alerts.list().targets.map(({ name, waiting }): Sample => [{ target: name }, waiting]),
  )
  counter(registry, 'p2p_alert_messages_lost_total', 'Messages given up', ['target'], () =>
    alerts.list().targets.map(({ name, lost }): Sample => [{ target: name }, lost]),
  )
}

function addDashboardMetrics(registry: Registry, dashboards: DashboardCounts): void {
  gauge(registry, 'p2p_dashboards_open', 'Open WebSockets of dashboards', [], () => [[{}, dashboards.open]])
  counter(registry, 'p2p_dashboards_cut_total', 'WebSockets cut because they were read too slowly', [], () => [
    [{}, dashboards.cut],
  ])
}

function addGossipMetrics(registry: Registry, stats: NonNullable<RouteNeeds['gossipStats']>): void {
  const bothWays = (sent: 'framesSent' | 'bytesSent', received: 'framesReceived' | 'bytesReceived') => (): Sample[] => {
    const { [sent]: out, [received]: into } = stats()
    return [
      [{ direction: 'sent' }, out],
      [{ direction: 'received' }, into],
    ]
  }
  counter(
    registry,
    'p2p_gossip_bytes_total',
    'Bytes of gossip as they go over the channels',
    ['direction'],
    bothWays('bytesSent', 'bytesReceived'),
  )
  counter(
    registry,
    'p2p_gossip_frames_total',
    'Frames of gossip',
    ['direction'],
    bothWays('framesSent', 'framesReceived'),
  )
  counter(registry, 'p2p_gossip_dropped_total', 'Gossip received and not used', ['reason'], () =>
    Object.entries(stats().dropped).map(([reason, count]): Sample => [{ reason }, count]),
  )
  counter(registry, 'p2p_gossip_probes_failed_total', 'Probes that nobody answered', [], () => [
    [{}, stats().probesFailed],
  ])
  gauge(registry, 'p2p_gossip_rumours_queued', 'Rumours waiting to be passed on', [], () => [
    [{}, stats().rumoursQueued],
  ])
  gauge(registry, 'p2p_gossip_health_score', 'Local health, 0 healthy to 7', [], () => [[{}, stats().healthScore]])
  gauge(registry, 'p2p_gossip_interval_seconds', 'Time between two state exchanges', [], () => [
    [{}, stats().intervalMs / 1000],
  ])
}

function addDnsMetrics(registry: Registry, stats: NonNullable<RouteNeeds['dnsStats']>): void {
  counter(registry, 'p2p_dns_queries_total', 'DNS messages received', ['transport'], () => [
    [{ transport: 'udp' }, stats().udpQueries],
    [{ transport: 'tcp' }, stats().tcpQueries],
  ])
  counter(registry, 'p2p_dns_answers_total', 'DNS answers by response code', ['rcode'], () =>
    Object.entries(stats().answers).map(([rcode, count]): Sample => [{ rcode }, count]),
  )
  counter(registry, 'p2p_dns_sent_to_tcp_total', 'DNS answers cut so that the asker comes by TCP', ['reason'], () => [
    [{ reason: 'length' }, stats().truncated],
    [{ reason: 'rate' }, stats().limited],
  ])
  counter(registry, 'p2p_dns_dropped_total', 'DNS messages that were no queries', [], () => [[{}, stats().dropped]])
}

function addServiceMetrics(registry: Registry, { services, serviceMetrics }: RouteNeeds): void {
  gauge(registry, 'p2p_service_up', '1 while the service runs and says it is healthy', ['service', 'version'], () =>
    services.list().map(({ name, version, status, health }): Sample => {
      return [{ service: name, version }, status === 'running' && health !== 'failing' ? 1 : 0]
    }),
  )
  const own = (pick: 'counters' | 'gauges'): Sample[] =>
    [...serviceMetrics.serviceMetrics()].flatMap(([service, snapshot]) =>
      Object.entries(snapshot[pick]).map(([name, value]): Sample => [{ service, name }, value]),
    )
  counter(registry, 'p2p_service_count_total', 'Counters that services keep', ['service', 'name'], () =>
    own('counters'),
  )
  gauge(registry, 'p2p_service_value', 'Gauges that services set', ['service', 'name'], () => own('gauges'))
}

function addMethodMetrics(registry: Registry, { serviceMetrics }: RouteNeeds): void {
  const labels = ['service', 'method']
  const each = (pick: 'errors' | 'inFlight'): Sample[] =>
    serviceMetrics.methodMetrics().map((method): Sample => [labelsOf(method), method[pick]])
  counter(registry, 'p2p_rpc_errors_total', 'Calls of methods here that failed or were refused', labels, () =>
    each('errors'),
  )
  gauge(registry, 'p2p_rpc_in_flight', 'Calls of methods here that are running', labels, () => each('inFlight'))
  // A Histogram of the library only counts what it observes itself; this one shows the buckets the runtime keeps.
  const histogram = {
    name: 'p2p_rpc_duration_seconds',
    help: 'Duration of finished calls of methods here',
    type: 'histogram',
    aggregator: 'sum',
    get: async () => ({ ...histogram, values: serviceMetrics.methodMetrics().flatMap(histogramSamples) }),
  }
  registry.registerMetric(histogram as unknown as Metric)
}

/** Cumulated buckets, sum and count, in seconds (Prometheus text format, "Histograms and summaries"). */
function histogramSamples(method: MethodMetrics): { metricName: string; labels: Labels; value: number }[] {
  const name = 'p2p_rpc_duration_seconds'
  const labels = labelsOf(method)
  let cumulated = 0
  const buckets = method.durations.map(({ upToMs, count }) => {
    cumulated += count
    const le = Number.isFinite(upToMs) ? upToMs / 1000 : '+Inf'
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulated }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: method.durationMsTotal / 1000 },
    { metricName: `${name}_count`, labels, value: method.calls },
  ]
}

function labelsOf({ service, method }: MethodMetrics): Labels {
  return { service, method }
}

function gauge(registry: Registry, name: string, help: string, labelNames: string[], read: () => Sample[]): void {
  const metric = new Gauge({
    name,
    help,
    labelNames,
    registers: [],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.set(labels, value)
    },
  })
  registry.registerMetric(metric)
}

function counter(registry: Registry, name: string, help: string, labelNames: string[], read: () => Sample[]): void {
  const metric = new Counter({
    name,
    help,
    labelNames,
    registers: [],
    collect() {
      this.reset()
      for (const [labels, value] of read()) this.inc(labels, value)
    },
  })
  registry.registerMetric(metric)
}
