import type { NodeId } from '../../base/identity.ts'
import type { MemberEvent, Membership } from '../../base/member.ts'
import type { DrainState, Orchestrator } from '../../base/orchestrator.ts'
import type { Clock } from '../../base/time.ts'

/** One change of the membership, numbered. */
export interface MemberChange extends MemberEvent {
  index: number
  /** When this node saw it. */
  wallMs: number
  /** As it was then, on a coordinator. */
  drain: DrainState | undefined
}

/** Every change of the membership, and on a coordinator of the drains, in one row, and the latest of them kept: what long polls and event streams stand on. */
export interface MemberFeed {
  /**
   * Number of the latest change. The first is the Unix time of the start in milliseconds, so that a number from before a
   * restart, or from another node, is not taken for one of these.
   */
  readonly index: number
  /** The change that came next after `index`, if it has come and is still kept. */
  after(index: number): MemberChange | undefined
  /** Whether every change after `index` is still kept; false also for numbers this feed never gave. */
  reachesBackTo(index: number): boolean
  /** @returns a function that unregisters the listener */
  onChange(listener: () => void): () => void
  /** Aborted by `stop`: nobody needs to wait for changes any more. */
  readonly stopped: AbortSignal
  start(): void
  stop(): void
}

/** What a reader may have missed and still catch up with; about 1 MB of records where all of them differ. */
export const CHANGES_MAX = 1_000

interface MemberFeedNeeds {
  membership: Membership
  clock: Clock
  /** Of a coordinator. */
  deployments?: Pick<Orchestrator, 'drains' | 'onChange'>
}

export function createMemberFeed(needs: MemberFeedNeeds): MemberFeed {
  return new NumberedChanges(needs)
}

class NumberedChanges implements MemberFeed {
  readonly #needs: MemberFeedNeeds
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly stopped = this.#stop.signal
  /** Their numbers follow on each other; the last one's is `index`. */
  readonly #changes: MemberChange[] = []
  readonly #unlisten: (() => void)[] = []
  #drains: ReadonlyMap<NodeId, DrainState> = new Map()
  index = 0

  constructor(needs: MemberFeedNeeds) {
    this.#needs = needs
  }

  start(): void {
    const { membership, clock, deployments } = this.#needs
    this.index = Math.floor(clock.wallMs())
    this.#unlisten.push(membership.onChange((event) => this.#onEvent(event)))
    if (!deployments) return
    this.#drains = deployments.drains()
    this.#unlisten.push(deployments.onChange(() => this.#onDrains(deployments.drains())))
  }

  stop(): void {
    for (const unlisten of this.#unlisten.splice(0)) unlisten()
    this.#stop.abort()
  }

  after(index: number): MemberChange | undefined {
    return this.reachesBackTo(index) ? this.#changes[index - this.#indexBefore] : undefined
  }

  reachesBackTo(index: number): boolean {
    return index >= this.#indexBefore && index <= this.index
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Number of the change before the oldest one kept. */
  get #indexBefore(): number {
    return this.index - this.#changes.length
  }

  /** A member whose drain began, went on or ended is told again, as one whose record changed. */
  #onDrains(drains: ReadonlyMap<NodeId, DrainState>): void {
    const before = this.#drains
    this.#drains = drains
    for (const nodeId of new Set([...before.keys(), ...drains.keys()])) {
      const member = before.get(nodeId) === drains.get(nodeId) ? undefined : this.#needs.membership.get(nodeId)
      if (member) this.#onEvent({ member, previous: member.status })
    }
  }

  #onEvent(event: MemberEvent): void {
    this.index++
    const drain = this.#drains.get(event.member.record.nodeId)
    this.#changes.push({ ...event, index: this.index, wallMs: this.#needs.clock.wallMs(), drain })
    if (this.#changes.length > CHANGES_MAX) this.#changes.shift()
    for (const listener of this.#listeners) listener()
  }
}
