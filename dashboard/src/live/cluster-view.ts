import type {
  Alerts,
  Attention,
  CallEdge,
  ClusterFacts,
  ClusterNode,
  HistoryPoint,
  HostMetrics,
  Me,
  ServiceSummary,
  TimelineEvent,
} from '../api/types.ts'

/** Points of history kept per node for the small graphs; longer ranges are asked for when they are shown. */
const HISTORY_POINTS_MAX = 300
/** Figures of each service kept for its small graph: four minutes. */
const CALL_POINTS_MAX = 60
/** Events kept of those that were pushed. */
const EVENTS_MAX = 1_000

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
  /** Calls per second of each service since the page is open, oldest first. */
  callRates: Record<string, number[]>
  /** Calls that nodes make of one another's services, the busiest first. */
  calls: CallEdge[]
  attention: Attention[]
  loggers: string[]
  /** Pushed; undefined where nobody pushes them. */
  alerts: Alerts | undefined
  /** Events that were pushed since the page is open, newest first; undefined where nobody pushes them. */
  events: TimelineEvent[] | undefined
  /** Lines of the present reading that the node did not send: too far back, or more than the page took. */
  droppedLines: number
  /** When the last word of the node came, Unix milliseconds; 0 before the first. */
  heardAt: number
}

export const EMPTY_VIEW: ClusterView = {
  connection: 'connecting',
  isLoaded: false,
  cluster: undefined,
  nodes: [],
  metrics: {},
  history: {},
  services: [],
  callRates: {},
  calls: [],
  attention: [],
  loggers: [],
  alerts: undefined,
  events: undefined,
  droppedLines: 0,
  heardAt: 0,
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
  calls?: CallEdge[]
  attention?: Attention[]
  log_sources?: { loggers?: string[] }
  removed?: { nodes?: string[]; services?: string[] }
}

/** A view of this data, and of what else was pushed before. */
export function viewOf(data: ClusterData, before: ClusterView, connection: Connection): ClusterView {
  const { callRates, alerts, events, droppedLines } = before
  return { ...merged({ ...EMPTY_VIEW, callRates, alerts, events, droppedLines }, data), connection, isLoaded: true }
}

/** The view with events that were pushed, oldest first as they come. */
export function withEvents(view: ClusterView, pushed: readonly TimelineEvent[]): ClusterView {
  const newest = [...pushed].reverse()
  const ids = new Set(newest.map(({ id }) => id))
  const known = (view.events ?? []).filter(({ id }) => !ids.has(id))
  return { ...view, events: [...newest, ...known].slice(0, EVENTS_MAX) }
}

/** The view with what changed. Lists are joined by name, history grows, everything else is replaced. */
export function merged(view: ClusterView, data: ClusterData): ClusterView {
  const goneNodes = new Set(data.removed?.nodes)
  const goneServices = new Set(data.removed?.services)
  const services = joined(view.services, data.services, goneServices, (service) => service.name)
  return {
    ...view,
    heardAt: Date.now(),
    cluster: data.cluster ?? view.cluster,
    nodes: joined(view.nodes, data.nodes, goneNodes, (node) => node.node_id),
    services,
    callRates: ratesWith(view.callRates, services),
    calls: data.calls ? [...data.calls].sort((a, b) => b.calls_per_s - a.calls_per_s) : view.calls,
    metrics: { ...view.metrics, ...metricsOf(data) },
    history: data.history ? grown(view.history, data.history, goneNodes) : view.history,
    attention: data.attention ?? view.attention,
    loggers: data.log_sources?.loggers ?? view.loggers,
  }
}

function ratesWith(known: ClusterView['callRates'], services: ServiceSummary[]): ClusterView['callRates'] {
  return Object.fromEntries(
    services.map(({ name, calls_per_s: rate }) => [name, [...(known[name] ?? []), rate ?? 0].slice(-CALL_POINTS_MAX)]),
  )
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
