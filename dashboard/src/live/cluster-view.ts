import type {
  Attention,
  ClusterFacts,
  ClusterNode,
  HistoryPoint,
  HostMetrics,
  Me,
  ServiceSummary,
} from '../api/types.ts'

/** Points of history kept per node for the small graphs; longer ranges are asked for when they are shown. */
const HISTORY_POINTS_MAX = 300

/** How the page is kept up to date: pushed, asked for, or not at all. */
export type Connection = 'connecting' | 'live' | 'polling' | 'offline'

/** All that the page knows of the cluster now. Replaced, never changed. */
export interface ClusterView {
  connection: Connection
  /** There is something to show. */
  isLoaded: boolean
  cluster: ClusterFacts | undefined
  nodes: ClusterNode[]
  metrics: Record<string, HostMetrics>
  history: Record<string, HistoryPoint[]>
  services: ServiceSummary[]
  attention: Attention[]
  loggers: string[]
}

export const EMPTY_VIEW: ClusterView = {
  connection: 'connecting',
  isLoaded: false,
  cluster: undefined,
  nodes: [],
  metrics: {},
  history: {},
  services: [],
  attention: [],
  loggers: [],
}

interface NodeMetrics {
  metrics?: HostMetrics | null
}

/** The `data` of the messages `initial` and `update`; the second has only what changed. */
export interface ClusterData {
  me?: Me
  cluster?: ClusterFacts
  metrics?: {
    coordinator?: NodeMetrics & { node_id: string }
    workers?: Record<string, NodeMetrics>
  }
  nodes?: ClusterNode[]
  history?: Record<string, HistoryPoint[]>
  services?: ServiceSummary[]
  attention?: Attention[]
  log_sources?: { loggers?: string[] }
  removed?: { nodes?: string[]; services?: string[] }
}

/** A view of this data alone. */
export function viewOf(data: ClusterData, connection: Connection): ClusterView {
  return { ...merged(EMPTY_VIEW, data), connection, isLoaded: true }
}

/** The view with what changed. Lists are joined by name, history grows, everything else is replaced. */
export function merged(view: ClusterView, data: ClusterData): ClusterView {
  const goneNodes = new Set(data.removed?.nodes)
  const goneServices = new Set(data.removed?.services)
  return {
    ...view,
    cluster: data.cluster ?? view.cluster,
    nodes: joined(view.nodes, data.nodes, goneNodes, (node) => node.node_id),
    services: joined(view.services, data.services, goneServices, (service) => service.name),
    metrics: { ...view.metrics, ...metricsOf(data) },
    history: data.history ? grown(view.history, data.history, goneNodes) : view.history,
    attention: data.attention ?? view.attention,
    loggers: data.log_sources?.loggers ?? view.loggers,
  }
}

function joined<T>(known: T[], changed: T[] | undefined, gone: Set<string>, nameOf: (item: T) => string): T[] {
  if (!changed && gone.size === 0) return known
  const byName = new Map(known.map((item) => [nameOf(item), item]))
  for (const item of changed ?? []) byName.set(nameOf(item), item)
  for (const name of gone) byName.delete(name)
  return [...byName.values()].sort((a, b) => nameOf(a).localeCompare(nameOf(b), 'en', { numeric: true }))
}

function metricsOf({ metrics }: ClusterData): Record<string, HostMetrics> {
  const all: Record<string, HostMetrics> = {}
  if (metrics?.coordinator?.metrics) all[metrics.coordinator.node_id] = metrics.coordinator.metrics
  for (const [nodeId, worker] of Object.entries(metrics?.workers ?? {})) {
    if (worker.metrics) all[nodeId] = worker.metrics
  }
  return all
}

function grown(
  known: ClusterView['history'],
  added: ClusterView['history'],
  gone: Set<string>,
): ClusterView['history'] {
  const all = { ...known }
  for (const [nodeId, points] of Object.entries(added)) {
    all[nodeId] = [...(all[nodeId] ?? []), ...points].slice(-HISTORY_POINTS_MAX)
  }
  for (const nodeId of gone) delete all[nodeId]
  return all
}
