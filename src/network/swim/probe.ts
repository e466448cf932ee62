import type { NodeId } from '../../base/identity.ts'
import type { Awareness } from './awareness.ts'
import { LIMITS } from './limits.ts'
import type { Message } from './message.ts'
import type { SwimProfile } from './profile.ts'

/** `periodic`: the round robin's; `second-look`: a hint asked for it; `last`: right before a verdict. */
export type ProbeKind = 'periodic' | 'second-look' | 'last'

export type ProbeOutput =
  | { type: 'send'; to: NodeId; message: Message }
  /** `isPathSilent`: the answer came only through others, the direct ping has none since `startedMs`. */
  | { type: 'answered'; target: NodeId; kind: ProbeKind; startedMs: number; isPathSilent: boolean }
  /** `isRefused`: nobody listens at the member's addresses, on two tries. */
  | { type: 'unanswered'; target: NodeId; kind: ProbeKind; isRefused: boolean }

interface Pending {
  readonly target: NodeId
  readonly kind: ProbeKind
  readonly startedMs: number
  /** When others are asked, infinite once they were. */
  indirectMs: number
  /** When the dial that was refused is tried again, infinite before and after. */
  redialMs: number
  deadlineMs: number
  refusedMs: number | undefined
  isRefusedAgain: boolean
  readonly helpers: Set<NodeId>
  nacks: number
  isAnsweredIndirectly: boolean
}

/** A ping on behalf of another member. */
interface Relay {
  readonly target: NodeId
  readonly requester: NodeId
  readonly requesterSeq: number
  /** Infinite once the nack left; a later ack is still passed on. */
  nackMs: number
  readonly expiresMs: number
}

/**
 * Probes under way, this node's own and those it relays for others (SWIM section 3.1; memberlist probeNode). It does not
 * choose targets. Answers count only from the member that was asked.
 */
export class Probe {
  readonly #profile: SwimProfile
  readonly #awareness: Awareness
  readonly #chooseHelpers: (target: NodeId, count: number) => NodeId[]
  readonly #pending = new Map<number, Pending>()
  readonly #relays = new Map<number, Relay>()
  #nextSeq = 1

  constructor(profile: SwimProfile, awareness: Awareness, chooseHelpers: (target: NodeId, count: number) => NodeId[]) {
    this.#profile = profile
    this.#awareness = awareness
    this.#chooseHelpers = chooseHelpers
  }

  isProbing(target: NodeId): boolean {
    return this.#find(target) !== undefined
  }

  /** Probes under way of one kind. */
  count(kind: ProbeKind): number {
    let count = 0
    for (const pending of this.#pending.values()) if (pending.kind === kind) count++
    return count
  }

  /**
   * Pings the target. Does nothing while a probe of it is under way, but for the last one before a verdict.
   * @param isConnected without an open channel a periodic probe gets one period more, for the dial
   */
  begin(nowMs: number, target: NodeId, kind: ProbeKind, isConnected: boolean): ProbeOutput[] {
    const running = this.#find(target)
    if (running && kind !== 'last') return []
    if (running) this.#pending.delete(running.seq)
    const seq = this.#nextSeq++
    const periodMs = this.#profile.protocolPeriodMs
    const dialMs = isConnected ? 0 : periodMs
    const answerMs = kind === 'periodic' ? this.#awareness.scaleTimeout(periodMs) + dialMs : periodMs
    this.#pending.set(seq, {
      target,
      kind,
      startedMs: nowMs,
      indirectMs: nowMs + this.#profile.probeTimeoutMs,
      redialMs: Number.POSITIVE_INFINITY,
      deadlineMs: nowMs + answerMs,
      refusedMs: undefined,
      isRefusedAgain: false,
      helpers: new Set(),
      nacks: 0,
      isAnsweredIndirectly: false,
    })
    return [{ type: 'send', to: target, message: { type: 'ping', seq } }]
  }

  /** Forgets the probe of a member that is gone. */
  abandon(target: NodeId): void {
    const running = this.#find(target)
    if (running) this.#pending.delete(running.seq)
  }

  onPingReq(nowMs: number, from: NodeId, requesterSeq: number, target: NodeId): ProbeOutput[] {
    if (this.#relays.size >= LIMITS.relaysMax) return []
    const seq = this.#nextSeq++
    this.#relays.set(seq, {
      target,
      requester: from,
      requesterSeq,
      // The nack must be back before the requester's period ends, so it leaves a little before our own timeout.
      nackMs: nowMs + this.#profile.probeTimeoutMs * 0.8,
      expiresMs: nowMs + this.#profile.protocolPeriodMs * 2,
    })
    return [{ type: 'send', to: target, message: { type: 'ping', seq } }]
  }

  onAck(from: NodeId, seq: number): ProbeOutput[] {
    const relay = this.#relays.get(seq)
    if (relay?.target === from) {
      this.#relays.delete(seq)
      return [{ type: 'send', to: relay.requester, message: { type: 'ack', seq: relay.requesterSeq } }]
    }
    const pending = this.#pending.get(seq)
    if (pending?.target === from) {
      this.#pending.delete(seq)
      if (!pending.isAnsweredIndirectly) this.#awareness.applyDelta(-1)
      return [{ type: 'answered', target: from, kind: pending.kind, startedMs: pending.startedMs, isPathSilent: false }]
    }
    if (pending?.helpers.has(from) && !pending.isAnsweredIndirectly) {
      // Kept until its deadline, to see whether the direct path answers as well.
      pending.isAnsweredIndirectly = true
      this.#awareness.applyDelta(-1)
    }
    return []
  }

  onNack(from: NodeId, seq: number): void {
    const pending = this.#pending.get(seq)
    if (pending?.helpers.has(from)) pending.nacks++
  }

  /** A dial to the target failed. */
  onUnreachable(nowMs: number, target: NodeId, isRefused: boolean): ProbeOutput[] {
    const outputs: ProbeOutput[] = []
    for (const relay of this.#relays.values()) {
      if (relay.target === target) outputs.push(...this.#sendNack(relay))
    }
    const running = this.#find(target)
    if (!running) return outputs
    const { seq, pending } = running
    outputs.push(...this.#askOthers(seq, pending))
    if (!isRefused) return outputs
    if (pending.refusedMs === undefined) {
      pending.refusedMs = nowMs
      pending.redialMs = nowMs + this.#profile.redialMs
    } else if (nowMs >= pending.refusedMs + this.#profile.redialMs) {
      // Dials for others may be refused sooner: what counts is that nobody listens a moment later either.
      pending.isRefusedAgain = true
      if (!pending.isAnsweredIndirectly) outputs.push(this.#conclude(seq, pending))
    }
    return outputs
  }

  /** What is due by now. */
  due(nowMs: number): ProbeOutput[] {
    const outputs: ProbeOutput[] = []
    for (const [seq, pending] of this.#pending) {
      if (nowMs >= pending.deadlineMs) {
        outputs.push(this.#conclude(seq, pending))
        continue
      }
      if (nowMs >= pending.indirectMs) outputs.push(...this.#askOthers(seq, pending))
      if (nowMs >= pending.redialMs) {
        pending.redialMs = Number.POSITIVE_INFINITY
        outputs.push({ type: 'send', to: pending.target, message: { type: 'ping', seq } })
      }
    }
    for (const [seq, relay] of this.#relays) {
      if (nowMs >= relay.nackMs) outputs.push(...this.#sendNack(relay))
      if (nowMs >= relay.expiresMs) this.#relays.delete(seq)
    }
    return outputs
  }

  get nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY
    for (const { deadlineMs, indirectMs, redialMs } of this.#pending.values()) {
      nextMs = Math.min(nextMs, deadlineMs, indirectMs, redialMs)
    }
    for (const { nackMs, expiresMs } of this.#relays.values()) nextMs = Math.min(nextMs, nackMs, expiresMs)
    return nextMs
  }

  #find(target: NodeId): { seq: number; pending: Pending } | undefined {
    for (const [seq, pending] of this.#pending) if (pending.target === target) return { seq, pending }
    return undefined
  }

  #askOthers(seq: number, pending: Pending): ProbeOutput[] {
    if (pending.indirectMs === Number.POSITIVE_INFINITY) return []
    pending.indirectMs = Number.POSITIVE_INFINITY
    // The last probe is the direct one that no other member can fail for us.
    if (pending.kind === 'last') return []
    return this.#chooseHelpers(pending.target, this.#profile.indirectChecks).map((helper) => {
      pending.helpers.add(helper)
      return { type: 'send', to: helper, message: { type: 'ping-req', seq, target: pending.target } }
    })
  }

  #conclude(seq: number, pending: Pending): ProbeOutput {
    this.#pending.delete(seq)
    const { target, kind, startedMs } = pending
    if (pending.isAnsweredIndirectly) return { type: 'answered', target, kind, startedMs, isPathSilent: true }
    const isRefused = pending.isRefusedAgain
    if (kind === 'periodic' && !isRefused) {
      // Missing nacks say that our own network is at fault; without helpers it may as well be us as the target.
      const missing = pending.helpers.size - pending.nacks
      this.#awareness.applyDelta(pending.helpers.size > 0 ? missing : 1)
    }
    return { type: 'unanswered', target, kind, isRefused }
  }

  #sendNack(relay: Relay): ProbeOutput[] {
    if (relay.nackMs === Number.POSITIVE_INFINITY) return []
    relay.nackMs = Number.POSITIVE_INFINITY
    return [{ type: 'send', to: relay.requester, message: { type: 'nack', seq: relay.requesterSeq } }]
  }
}
