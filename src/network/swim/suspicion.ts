import type { NodeId } from '../../base/identity.ts'

export interface SuspicionTimes {
  /** Independent confirmations after which the suspicion is as short as it gets. */
  k: number
  minMs: number
  maxMs: number
  /** Members whose dial must have been refused for the fast verdict, and what is then left of the suspicion. */
  refusalsForVerdict: number
  refusedMs: number
}

/** `mult * log10(members)` periods, at least `mult`: a rumour needs that long to reach all and its refutation to come back. */
export function suspicionTimeout(mult: number, members: number, periodMs: number): number {
  return mult * Math.max(1, Math.log10(Math.max(1, members))) * periodMs
}

/**
 * One running suspicion. It begins long and gets shorter with each member that confirms it independently (Lifeguard
 * section 4.2): a node that is alone with its suspicion has to wait.
 */
export class Suspicion {
  readonly incarnation: number
  readonly startedMs: number
  /** When the last direct ping before the verdict left; undefined before that. */
  lastProbeMs: number | undefined
  readonly #times: SuspicionTimes
  readonly #accuser: NodeId
  readonly #confirmers = new Set<NodeId>()
  readonly #refused = new Set<NodeId>()
  #fastMs = Number.POSITIVE_INFINITY
  #extendedToMs = 0

  constructor(nowMs: number, incarnation: number, accuser: NodeId, times: SuspicionTimes) {
    this.startedMs = nowMs
    this.incarnation = incarnation
    this.#accuser = accuser
    this.#times = times
  }

  get confirmations(): number {
    return this.#confirmers.size
  }

  /** Whether another member's suspicion was new and still counts: then it is worth passing on. */
  confirm(from: NodeId): boolean {
    const { k } = this.#times
    if (this.#confirmers.size >= k || from === this.#accuser || this.#confirmers.has(from)) return false
    this.#confirmers.add(from)
    return true
  }

  /** Notes that `from` found nobody listening; the same rule as {@link confirm} says whether that was news. */
  confirmRefused(nowMs: number, from: NodeId): boolean {
    const { refusalsForVerdict, refusedMs } = this.#times
    if (this.#refused.size >= refusalsForVerdict || this.#refused.has(from)) return false
    this.#refused.add(from)
    if (this.#refused.size === refusalsForVerdict) this.#fastMs = nowMs + refusedMs
    return true
  }

  /** The member was heard although it did not refute: it gets another shortest suspicion. */
  extend(nowMs: number): void {
    this.#extendedToMs = nowMs + this.#times.minMs
    this.#fastMs = Number.POSITIVE_INFINITY
    this.lastProbeMs = undefined
  }

  /** When the verdict is due. */
  get deadlineMs(): number {
    const { k, minMs, maxMs } = this.#times
    const shrink = k > 0 ? Math.log(this.#confirmers.size + 1) / Math.log(k + 1) : 1
    const timeoutMs = Math.max(minMs, maxMs - shrink * (maxMs - minMs))
    return Math.max(Math.min(this.startedMs + timeoutMs, this.#fastMs), this.#extendedToMs)
  }
}
