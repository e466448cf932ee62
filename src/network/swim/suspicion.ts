import type { NodeId } from '../../base/identity.ts'
import type { SwimProfile } from './profile.ts'

export interface SuspicionTimes {
  /** Independent confirmations after which the suspicion lasts `minMs`. */
  k: number
  minMs: number
  maxMs: number
  /** Independent confirmations after which it lasts only `witnessedMs`; infinity where there are not so many others. */
  witnesses: number
  witnessedMs: number
  /** Members whose dial must have been refused for the fastest verdict, and what is then left of the suspicion. */
  refusalsForVerdict: number
  refusedMs: number
}

/** `mult * log10(members)` periods, at least `mult`: a rumour needs that long to reach all and its refutation to come back. */
export function suspicionTimeout(mult: number, members: number, periodMs: number): number {
  return mult * Math.max(1, Math.log10(Math.max(1, members))) * periodMs
}

/** @param members the living, this node and the suspect included */
export function suspicionTimes(profile: SwimProfile, members: number): SuspicionTimes {
  const { suspicionMult, witnessedSuspicionMult, protocolPeriodMs } = profile
  const k = suspicionMult - 2
  const others = members - 2
  const minMs = suspicionTimeout(suspicionMult, members, protocolPeriodMs)
  return {
    // With too few others to confirm, nobody waits for them.
    k: others < k ? 0 : k,
    minMs,
    maxMs: minMs * profile.suspicionMaxTimeoutMult,
    witnesses: others < profile.witnesses ? Number.POSITIVE_INFINITY : profile.witnesses,
    witnessedMs: suspicionTimeout(witnessedSuspicionMult, members, protocolPeriodMs),
    refusalsForVerdict: Math.max(1, Math.min(profile.refusalsForVerdict, members - 1)),
    refusedMs: profile.refusedSuspicionMs,
  }
}

/**
 * One running suspicion. It begins long and gets shorter with each member that confirms it independently (Lifeguard
 * section 4.2): a node that is alone with its suspicion has to wait. When several more have looked for themselves and
 * got no answer either, what is left to wait for is the refutation.
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
    const { k, witnesses } = this.#times
    const wanted = witnesses === Number.POSITIVE_INFINITY ? k : witnesses
    if (this.#confirmers.size >= wanted || from === this.#accuser || this.#confirmers.has(from)) return false
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
    const { k, minMs, maxMs, witnesses, witnessedMs } = this.#times
    const confirmations = this.#confirmers.size
    const shrink = k > 0 ? Math.log(confirmations + 1) / Math.log(k + 1) : 1
    const timeoutMs = confirmations >= witnesses ? witnessedMs : Math.max(minMs, maxMs - shrink * (maxMs - minMs))
    return Math.max(Math.min(this.startedMs + timeoutMs, this.#fastMs), this.#extendedToMs)
  }
}
