import type { NodeId } from '../../../base/identity.ts'
import type { Member, Membership } from '../../../base/member.ts'
import type { Orchestrator } from '../../../base/orchestrator.ts'
import type { Clock } from '../../../base/time.ts'
import type { DashboardSource } from '../dashboard-source.ts'
import type { HistoryPoint } from '../dashboard-wire.ts'
import { clusterNode, isoTime } from '../node-view.ts'
import { pointsPerNode } from '../routes/dashboard-routes.ts'

export interface DashboardStateNeeds {
  clock: Clock
  membership: Membership
  dashboard: DashboardSource
  deployments?: Pick<Orchestrator, 'drains'>
}

/** Parts that are small and told whole whenever anything in them is new. */
const WHOLE_PARTS = ['cluster', 'calls', 'attention'] as const
type WholePart = (typeof WHOLE_PARTS)[number]

/** Everything shown at one moment, as JSON texts that can be compared and put together. */
interface Texts {
  timestamp: string
  whole: Record<WholePart, string>
  coordinator: string
  stats: string
  /** By node id. */
  members: Map<NodeId, string>
  workers: Map<NodeId, string>
  /** By service name. */
  services: Map<string, string>
  /** All points an `initial` shows, and those that were not in the texts before. */
  history: Map<NodeId, HistoryPoint[]>
  newPoints: Map<NodeId, HistoryPoint[]>
}

/** What is different from the texts before. */
interface Changes {
  whole: WholePart[]
  isCoordinatorNew: boolean
  members: Set<NodeId>
  workers: Set<NodeId>
  services: Set<string>
  removed: { nodes: NodeId[]; services: string[] }
}

/**
 * What all dashboards show, made once for all of them: `initial` tells the state as of the last `refresh`, `update` what that
 * one changed, so that whoever had an `initial` in between gets exactly what follows on it.
 */
export class DashboardState {
  readonly #needs: DashboardStateNeeds
  #now: Texts | undefined
  #changes: Changes | undefined

  constructor(needs: DashboardStateNeeds) {
    this.#needs = needs
  }

  /** Looks at everything anew. */
  refresh(): void {
    const before = this.#now
    this.#now = this.#read(before)
    this.#changes = before && changesBetween(before, this.#now)
  }

  /** The inner text of `data`, without its braces: of an `initial`. Needs a `refresh` before. */
  initial(nodes: readonly string[]): string {
    const now = this.#now as Texts
    const isShown = chooser(nodes)
    const shown = <T>(table: ReadonlyMap<NodeId, T>): [NodeId, T][] => [...table].filter(([id]) => isShown(id))
    const workers = shown(now.workers).map(([nodeId, text]) => member(nodeId, text))
    const history = shown(now.history).map(([nodeId, points]) => member(nodeId, JSON.stringify(points)))
    return [
      ...WHOLE_PARTS.map((part) => member(part, now.whole[part])),
      member('metrics', metricsText(now, { coordinator: now.coordinator, workers })),
      member(
        'nodes',
        `[${shown(now.members)
          .map(([, text]) => text)
          .join()}]`,
      ),
      member('services', `[${[...now.services.values()].join()}]`),
      member('history', `{${history.join()}}`),
    ].join()
  }

  /** The same of an `update`. */
  update(nodes: readonly string[]): string {
    const now = this.#now as Texts
    const changes = this.#changes
    if (!changes) return ''
    const isShown = chooser(nodes)
    const workers = [...changes.workers]
      .filter(isShown)
      .map((nodeId) => member(nodeId, now.workers.get(nodeId) as string))
    const members = [...changes.members].filter(isShown).map((nodeId) => now.members.get(nodeId) as string)
    const services = [...changes.services].map((name) => now.services.get(name) as string)
    const history = [...now.newPoints].filter(([nodeId, points]) => points.length > 0 && isShown(nodeId))
    const parts = changes.whole.map((part) => member(part, now.whole[part]))
    const coordinator = changes.isCoordinatorNew ? now.coordinator : undefined
    parts.push(member('metrics', metricsText(now, { coordinator, workers })))
    if (members.length > 0) parts.push(member('nodes', `[${members.join()}]`))
    if (services.length > 0) parts.push(member('services', `[${services.join()}]`))
    if (history.length > 0) {
      const points = history.map(([nodeId, added]) => member(nodeId, JSON.stringify(added)))
      parts.push(member('history', `{${points.join()}}`))
    }
    const removed = { nodes: changes.removed.nodes.filter(isShown), services: changes.removed.services }
    if (removed.nodes.length + removed.services.length > 0) parts.push(member('removed', JSON.stringify(removed)))
    return parts.join()
  }

  #read(before: Texts | undefined): Texts {
    const { clock, membership, dashboard, deployments } = this.#needs
    const { record } = membership.self()
    const { timestamp, coordinator, workers, stats } = dashboard.metrics()
    const members = membership.members()
    const drains = deployments?.drains()
    const nodeText = (known: Member): string =>
      memberText(clusterNode(known, clock.wallMs(), drains?.get(known.record.nodeId)))
    const coordinators = members.filter((known) => known.record.role === 'coordinator')
    const nodeIds = dashboard.machines().map(({ nodeId }) => nodeId)
    const points = pointsPerNode(nodeIds.length)
    const history = new Map(nodeIds.map((nodeId) => [nodeId, dashboard.recent(nodeId, 0, points)]))
    const cluster = {
      name: record.cluster,
      node_id: record.nodeId,
      version: record.softwareVersion,
      coordinators: coordinators.map((known) => known.record.nodeId),
    }
    return {
      timestamp,
      whole: {
        cluster: JSON.stringify(cluster),
        calls: JSON.stringify(dashboard.calls()),
        attention: JSON.stringify(dashboard.attention()),
      },
      coordinator: JSON.stringify(coordinator),
      stats: JSON.stringify(stats),
      members: new Map(members.map((known) => [known.record.nodeId, nodeText(known)])),
      workers: new Map(Object.entries(workers).map(([nodeId, worker]) => [nodeId, JSON.stringify(worker)])),
      services: new Map(dashboard.services().map((service) => [service.name, JSON.stringify(service)])),
      history,
      newPoints: new Map(
        [...history].map(([nodeId, found]) => [nodeId, laterThan(found, before?.history.get(nodeId)?.at(-1))]),
      ),
    }
  }
}

/** A member that is there was seen now, which is no news. */
function memberText(node: ReturnType<typeof clusterNode>): string {
  return JSON.stringify(node.status === 'alive' ? { ...node, last_seen: undefined } : node)
}

function laterThan(points: HistoryPoint[], last: HistoryPoint | undefined): HistoryPoint[] {
  return last ? points.filter(({ timestamp }) => timestamp > last.timestamp) : points
}

function changesBetween(before: Texts, now: Texts): Changes {
  const changed = <K>(old: ReadonlyMap<K, string>, current: ReadonlyMap<K, string>): Set<K> =>
    new Set([...current].filter(([key, text]) => old.get(key) !== text).map(([key]) => key))
  const gone = <K>(old: ReadonlyMap<K, string>, current: ReadonlyMap<K, string>): K[] =>
    [...old.keys()].filter((key) => !current.has(key))
  return {
    whole: WHOLE_PARTS.filter((part) => before.whole[part] !== now.whole[part]),
    isCoordinatorNew: before.coordinator !== now.coordinator,
    members: changed(before.members, now.members),
    workers: changed(before.workers, now.workers),
    services: changed(before.services, now.services),
    removed: { nodes: gone(before.members, now.members), services: gone(before.services, now.services) },
  }
}

function metricsText(
  { timestamp, stats }: Texts,
  { coordinator, workers }: { coordinator: string | undefined; workers: readonly string[] },
): string {
  const parts = [
    member('timestamp', JSON.stringify(timestamp)),
    ...(coordinator === undefined ? [] : [member('coordinator', coordinator)]),
    member('workers', `{${workers.join()}}`),
    member('stats', stats),
  ]
  return `{${parts.join()}}`
}

function member(name: string, text: string): string {
  return `${JSON.stringify(name)}:${text}`
}

function chooser(nodes: readonly string[]): (nodeId: NodeId) => boolean {
  if (nodes.includes('*')) return () => true
  const chosen = new Set(nodes)
  return (nodeId) => chosen.has(nodeId)
}

/** A moment, as messages tell it. */
export function messageTime(clock: Clock): string {
  return isoTime(clock.wallMs())
}
