import type { MemberEvent, Membership } from '../../base/member.ts'
import type { Clock } from '../../base/time.ts'

/** One change of the membership, numbered. */
export interface MemberChange extends MemberEvent {
  index: number
  /** When this node saw it. */
  wallMs: number
}

/** Every change of the membership in one row, and the latest of them kept: what long polls and event streams stand on. */
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

export function createMemberFeed(needs: { membership: Membership; clock: Clock }): MemberFeed {
  return new NumberedChanges(needs)
}

class NumberedChanges implements MemberFeed {
  readonly #membership: Membership
  readonly #clock: Clock
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()
  readonly stopped = this.#stop.signal
  /** Their numbers follow on each other; the last one's is `index`. */
  readonly #changes: MemberChange[] = []
  #unlisten: (() => void) | undefined
  index = 0

  constructor({ membership, clock }: { membership: Membership; clock: Clock }) {
    this.#membership = membership
    this.#clock = clock
  }

  start(): void {
    this.index = Math.floor(this.#clock.wallMs())
    this.#unlisten = this.#membership.onChange((event) => this.#onEvent(event))
  }

  stop(): void {
    this.#unlisten?.()
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

  #onEvent(event: MemberEvent): void {
    this.index++
    this.#changes.push({ ...event, index: this.index, wallMs: this.#clock.wallMs() })
    if (this.#changes.length > CHANGES_MAX) this.#changes.shift()
    for (const listener of this.#listeners) listener()
  }
}
