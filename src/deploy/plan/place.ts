import type { NodeId } from '../../base/identity.ts'
import type { Deployment } from '../../base/deployment.ts'
import { NodeRoom } from './node-room.ts'
import { AWAY_GRACE_MS, isGone, isPresent, type PlanNode } from './plan-node.ts'
import { compareBest, compareRank, type Ranked, RankedQueue } from './ranked-queue.ts'
import { shortage } from './shortage.ts'
import { tieBreak } from './tie-break.ts'

export interface PlacementInput {
  /** One a service. */
  deployments: readonly Deployment[]
  nodes: readonly PlanNode[]
  /** What the nodes' plans say now. */
  placed: readonly { service: string; nodeId: NodeId; instances: number }[]
}

export interface ServicePlacement {
  service: string
  /** By node, where there is at least one. */
  nodes: ReadonlyMap<NodeId, number>
  wanted: number
  /** Why fewer than `wanted` are placed, with the remedy; empty: all are. */
  problems: string[]
}

export interface Placement {
  /** In the order of the deployments. */
  services: ServicePlacement[]
  /** After this time a node that is away loses what it has; undefined: none is away. */
  nextMs: number | undefined
}

/**
 * Says where instances go. What runs is never moved without need: an instance stays while its node is there (or has been away for
 * less than the grace), has the labels, is not being drained and has the room. Missing ones go where the spread is best, then to
 * the least loaded node. The same input always has the same answer, and the answer given back as `placed` changes nothing.
 */
export function place({ deployments, nodes, placed }: PlacementInput): Placement {
  const rooms = new Map(nodes.map((node) => [node.nodeId, new NodeRoom(node)]))
  const before = Map.groupBy(placed, ({ service }) => service)
  const drafts = deployments.map((deployment) => new Draft(deployment, rooms))
  const inTurn = [...drafts].sort((a, b) => compareNeed(a.deployment, b.deployment))
  for (const draft of inTurn) draft.keep(before.get(draft.deployment.service) ?? [])
  for (const draft of inTurn) draft.fill()
  const gracesMs = nodes
    .filter((node) => !isPresent(node) && !isGone(node))
    .map((node) => AWAY_GRACE_MS - node.statusForMs)
  return {
    services: drafts.map((draft) => draft.result()),
    nextMs: gracesMs.length > 0 ? Math.min(...gracesMs) : undefined,
  }
}

/** Who has the least choice goes first: one on every node, then the large, then by name. */
function compareNeed(a: Deployment, b: Deployment): number {
  return (
    Number(b.count === 'every') - Number(a.count === 'every') ||
    b.reserve.memoryMb - a.reserve.memoryMb ||
    b.reserve.cpus - a.reserve.cpus ||
    (a.service < b.service ? -1 : 1)
  )
}

/** One service's placement while it is made. */
class Draft {
  readonly deployment: Deployment
  readonly #rooms: ReadonlyMap<NodeId, NodeRoom>
  readonly #counts = new Map<NodeId, number>()
  /** Instances by value of the `spreadBy` label. */
  readonly #groups = new Map<string, number>()
  readonly #perNodeMax: number
  #total = 0
  #wanted = 0

  constructor(deployment: Deployment, rooms: ReadonlyMap<NodeId, NodeRoom>) {
    this.deployment = deployment
    this.#rooms = rooms
    // A job's instances are its runs: one on a node.
    const isOne = deployment.count === 'every' || deployment.job !== undefined
    this.#perNodeMax = isOne ? 1 : (deployment.placement.perNodeMax ?? Number.POSITIVE_INFINITY)
  }

  /** Takes over what may stay where it is. */
  keep(before: PlacementInput['placed']): void {
    const { count, isStopped } = this.deployment
    if (isStopped) return
    for (const { nodeId, instances } of before) {
      const room = this.#rooms.get(nodeId)
      if (!room || isGone(room.node)) continue
      const max = Math.min(instances, this.#perNodeMax - this.#countOn(room))
      for (let i = 0; i < max && this.#mayStay(room); i++) this.#put(room)
    }
    if (count === 'every') return
    this.#wanted = count
    while (this.#total > count) this.#remove(this.#leastNeeded())
  }

  /** Places what is missing. */
  fill(): void {
    const { count, isStopped, placement } = this.deployment
    if (isStopped) return
    const candidates = [...this.#rooms.values()]
      .filter(({ node }) => node.status === 'alive' && !node.isDraining)
      .filter((room) => room.hasLabels(placement.labels))
    if (count === 'every') this.#fillEvery(candidates)
    else this.#fillCount(candidates, count)
  }

  result(): ServicePlacement {
    const { service } = this.deployment
    const missing = this.#wanted - this.#total
    const problems =
      missing > 0 || (this.deployment.count === 'every' && this.#wanted === 0 && !this.deployment.isStopped)
        ? shortage({
            deployment: this.deployment,
            rooms: [...this.#rooms.values()],
            counts: this.#counts,
            perNodeMax: this.#perNodeMax,
            wanted: this.#wanted,
            missing,
          })
        : []
    return { service, nodes: this.#counts, wanted: this.#wanted, problems }
  }

  #fillEvery(candidates: readonly NodeRoom[]): void {
    this.#wanted = this.#total
    for (const room of candidates) {
      if (this.#countOn(room) > 0) continue
      this.#wanted++
      if (room.fits(this.deployment.reserve)) this.#put(room)
    }
  }

  #fillCount(candidates: readonly NodeRoom[], count: number): void {
    if (this.#total >= count) return
    const { placement } = this.deployment
    // Within a group only the node that has just got one changes its rank: it is put back where it belongs now.
    const groups = Map.groupBy(candidates, (room) => (placement.spreadBy ? (room.label(placement.spreadBy) ?? '') : ''))
    const queues = new Map(
      [...groups].map(([value, rooms]) => [value, new RankedQueue(rooms.map((room) => this.#rank(room)))]),
    )
    while (this.#total < count && queues.size > 0) {
      const value = this.#emptiestGroup(queues)
      const queue = queues.get(value) as RankedQueue
      const best = queue.take()
      if (!best) queues.delete(value)
      else if (this.#hasPlace(best.room)) {
        this.#put(best.room)
        queue.insert(this.#rank(best.room))
      }
    }
  }

  #hasPlace(room: NodeRoom): boolean {
    return this.#countOn(room) < this.#perNodeMax && room.fits(this.deployment.reserve)
  }

  #rank(room: NodeRoom): Ranked {
    return {
      room,
      count: this.#countOn(room),
      load: room.load,
      tie: tieBreak(this.deployment.service, room.node.nodeId),
    }
  }

  /** The value of the `spreadBy` label that has the fewest; of several, the one whose best node is the best. */
  #emptiestGroup(queues: ReadonlyMap<string, RankedQueue>): string {
    const [first, ...others] = queues.keys()
    return others.reduce((best, value) => {
      const order = (this.#groups.get(value) ?? 0) - (this.#groups.get(best) ?? 0)
      return order < 0 || (order === 0 && compareBest(queues.get(value), queues.get(best)) < 0) ? value : best
    }, first as string)
  }

  #mayStay(room: NodeRoom): boolean {
    // Of a node that is away nobody knows more than before.
    if (!isPresent(room.node)) return true
    if (room.node.isDraining || !room.hasLabels(this.deployment.placement.labels)) return false
    return room.fits(this.deployment.reserve)
  }

  /** Where one instance too many is missed least. */
  #leastNeeded(): NodeRoom {
    const [first, ...others] = [...this.#counts.keys()].map((nodeId) => this.#rooms.get(nodeId) as NodeRoom)
    return others.reduce((worst, room) => {
      const order =
        presence(room.node) - presence(worst.node) ||
        this.#groupOf(worst) - this.#groupOf(room) ||
        compareRank(this.#rank(worst), this.#rank(room))
      return order < 0 ? room : worst
    }, first as NodeRoom)
  }

  #countOn(room: NodeRoom): number {
    return this.#counts.get(room.node.nodeId) ?? 0
  }

  #groupOf(room: NodeRoom): number {
    const { spreadBy } = this.deployment.placement
    return spreadBy === undefined ? 0 : (this.#groups.get(room.label(spreadBy) ?? '') ?? 0)
  }

  #put(room: NodeRoom): void {
    this.#count(room, 1)
  }

  #remove(room: NodeRoom): void {
    this.#count(room, -1)
  }

  #count(room: NodeRoom, by: 1 | -1): void {
    const count = this.#countOn(room) + by
    if (count > 0) this.#counts.set(room.node.nodeId, count)
    else this.#counts.delete(room.node.nodeId)
    this.#total += by
    room.take(this.deployment.reserve, by)
    const { spreadBy } = this.deployment.placement
    if (spreadBy === undefined) return
    const value = room.label(spreadBy) ?? ''
    this.#groups.set(value, (this.#groups.get(value) ?? 0) + by)
  }
}

function presence(node: PlanNode): number {
  return node.status === 'alive' ? 2 : node.status === 'suspect' ? 1 : 0
}
