import type { SortKey } from './sort-keys.ts'

/** What `p2p top` reads of `GET /api/dashboard/metrics`. */
export interface ClusterMetrics {
  timestamp: string
  coordinator: {
    node_id: string
    timestamp: string
    metrics: Machine | null
    services: Record<string, ServiceOnNode>
    cluster_state: { total_nodes: number; nodes: string[] }
  }
  workers: Record<string, { metrics: Machine; services: Record<string, ServiceOnNode>; timestamp: string }>
}

interface Machine {
  cpu_percent: number
  memory: { percent: number }
  disk: { percent: number }
  network_io: { rx_bytes_s: number; tx_bytes_s: number } | null
  load_average: number[]
  loop_lag_ms: number
}

interface ServiceOnNode {
  wanted: number
  running: number
  healthy: number
  restarts: number
  memory_bytes?: number
  cpu_percent?: number
  calls_per_s: number
  error_ratio: number
  p50_ms: number | null
  p99_ms: number | null
}

/** A line about a node; figures are null for one that does not report. */
export interface NodeRow {
  node_id: string
  cpu_percent: number | null
  memory_percent: number | null
  disk_percent: number | null
  load_1: number | null
  network_rx_bytes_s: number | null
  network_tx_bytes_s: number | null
  loop_lag_ms: number | null
  calls_per_s: number
  errors_per_s: number
  services: number
  /** Seconds since it last told of itself; null when it never did. */
  age_s: number | null
}

/** A line about a service over all nodes; of durations the longest of any node. */
export interface ServiceRow {
  name: string
  nodes: number
  wanted: number
  running: number
  healthy: number
  restarts: number
  calls_per_s: number
  errors_per_s: number
  p50_ms: number | null
  p99_ms: number | null
  /** Of its own processes; null when it runs in the nodes'. */
  cpu_percent: number | null
  memory_bytes: number | null
}

export interface TopData {
  timestamp: string
  nodes: NodeRow[]
  services: ServiceRow[]
}

/** The lines of `p2p top`, sorted. What has no such figure stands last, and ties go by name. */
export function topData({ timestamp, coordinator, workers }: ClusterMetrics, sort: SortKey): TopData {
  const nowMs = Date.parse(timestamp)
  const { node_id: own, cluster_state: cluster } = coordinator
  const told = new Map<string, { metrics: Machine | null; services: Record<string, ServiceOnNode>; timestamp: string }>(
    Object.entries(workers),
  )
  told.set(own, coordinator)
  const nodes = [...new Set([...cluster.nodes, ...told.keys()])].map((nodeId) =>
    nodeRow(nodeId, told.get(nodeId), nowMs),
  )
  const byName = new Map<string, ServiceOnNode[]>()
  for (const { services } of told.values()) {
    for (const [name, service] of Object.entries(services)) byName.set(name, [...(byName.get(name) ?? []), service])
  }
  return {
    timestamp,
    nodes: sorted(nodes, NODE_VALUES[sort], ({ node_id: nodeId }) => nodeId),
    services: sorted(
      [...byName].map(([name, parts]) => serviceRow(name, parts)),
      SERVICE_VALUES[sort],
      ({ name }) => name,
    ),
  }
}

type Value<Row> = ((row: Row) => number | null) | undefined

const NODE_VALUES: Record<SortKey, Value<NodeRow>> = {
  cpu: (row) => row.cpu_percent,
  memory: (row) => row.memory_percent,
  disk: (row) => row.disk_percent,
  load: (row) => row.load_1,
  network: (row) => (row.network_rx_bytes_s ?? -1) + (row.network_tx_bytes_s ?? 0),
  calls: (row) => row.calls_per_s,
  errors: (row) => row.errors_per_s,
  name: undefined,
}

/** By what a service has no figure of, it goes by the calls. */
const SERVICE_VALUES: Record<SortKey, Value<ServiceRow>> = {
  cpu: (row) => row.cpu_percent,
  memory: (row) => row.memory_bytes,
  disk: (row) => row.calls_per_s,
  load: (row) => row.calls_per_s,
  network: (row) => row.calls_per_s,
  calls: (row) => row.calls_per_s,
  errors: (row) => row.errors_per_s,
  name: undefined,
}

function sorted<Row>(rows: readonly Row[], value: Value<Row>, nameOf: (row: Row) => string): Row[] {
  const byName = (a: Row, b: Row): number => (nameOf(a) < nameOf(b) ? -1 : 1)
  if (!value) return rows.toSorted(byName)
  return rows.toSorted((a, b) => (value(b) ?? -1) - (value(a) ?? -1) || byName(a, b))
}

function nodeRow(
  nodeId: string,
  told: { metrics: Machine | null; services: Record<string, ServiceOnNode>; timestamp: string } | undefined,
  nowMs: number,
): NodeRow {
  const { metrics = null, services = {} } = told ?? {}
  const parts = Object.values(services)
  return {
    node_id: nodeId,
    cpu_percent: metrics?.cpu_percent ?? null,
    memory_percent: metrics?.memory.percent ?? null,
    disk_percent: metrics?.disk.percent ?? null,
    load_1: metrics?.load_average[0] ?? null,
    network_rx_bytes_s: metrics?.network_io?.rx_bytes_s ?? null,
    network_tx_bytes_s: metrics?.network_io?.tx_bytes_s ?? null,
    loop_lag_ms: metrics?.loop_lag_ms ?? null,
    calls_per_s: sum(parts, callsOf),
    errors_per_s: sum(parts, errorsOf),
    services: parts.length,
    age_s: told && metrics ? Math.max(0, Math.round((nowMs - Date.parse(told.timestamp)) / 1_000)) : null,
  }
}

function serviceRow(name: string, parts: readonly ServiceOnNode[]): ServiceRow {
  return {
    name,
    nodes: parts.length,
    wanted: sum(parts, ({ wanted }) => wanted),
    running: sum(parts, ({ running }) => running),
    healthy: sum(parts, ({ healthy }) => healthy),
    restarts: sum(parts, ({ restarts }) => restarts),
    calls_per_s: sum(parts, callsOf),
    errors_per_s: sum(parts, errorsOf),
    p50_ms: greatest(parts.map((part) => part.p50_ms)),
    p99_ms: greatest(parts.map((part) => part.p99_ms)),
    cpu_percent: sumKnown(parts.map((part) => part.cpu_percent)),
    memory_bytes: sumKnown(parts.map((part) => part.memory_bytes)),
  }
}

const callsOf = (service: ServiceOnNode): number => service.calls_per_s
const errorsOf = (service: ServiceOnNode): number => service.calls_per_s * service.error_ratio

function sum(parts: readonly ServiceOnNode[], value: (part: ServiceOnNode) => number): number {
  return rounded(parts.reduce((total, part) => total + value(part), 0))
}

function sumKnown(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? null : rounded(known.reduce((total, value) => total + value, 0))
}

function greatest(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : Math.max(...known)
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
