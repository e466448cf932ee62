import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus, NodeRecord } from '../../base/member.ts'
import type { Awareness } from './awareness.ts'
import type { BroadcastQueue } from './broadcast-queue.ts'
import { encodeMessage } from './codec.ts'
import { isGone, type MemberState, type Members, outranks } from './members.ts'
import type { Alive, Dead, DigestEntry, RecordEnvelope, Rumour, Suspect } from './message.ts'
import type { SwimOutput } from './output.ts'
import type { SwimProfile } from './profile.ts'
import { Suspicion, suspicionTimeout } from './suspicion.ts'

export type ClaimOutput =
  | Extract<SwimOutput, { type: 'changed' }>
  /** Somebody else got no answer: worth a look from about `wanted` others. */
  | { type: 'second-look'; nodeId: NodeId; wanted: number }
  /** One more direct ping before the verdict, over a new channel when `isPathSilent`. */
  | { type: 'last-probe'; nodeId: NodeId; isPathSilent: boolean }
  /** The member is to be told what is claimed of it, so that it can refute. */
  | { type: 'tell'; nodeId: NodeId }
  | { type: 'gone'; nodeId: NodeId }

export interface ClaimsNeeds {
  members: Members
  queue: BroadcastQueue
  awareness: Awareness
  profile: SwimProfile
  emit: (output: ClaimOutput) => void
}

/** A member heard on an open channel within so many periods is not dead because another one says so. */
const IN_TOUCH_PERIODS = 3

/** About so many others look themselves when one suspects a member: a real death is confirmed at once, not when their turn comes. */
const LOOKS_WHEN_SILENT = 3
/** The same when nobody listens at the member's addresses: such looks are cheap, and two of them make the verdict. */
const LOOKS_WHEN_REFUSED = 8

/**
 * What is claimed of members and what becomes of it: alive, suspect, dead and left claims, running suspicions, verdicts,
 * and the refutation of claims about this node (SWIM section 4.2; memberlist aliveNode, suspectNode, deadNode).
 */
export class Claims {
  readonly #members: Members
  readonly #queue: BroadcastQueue
  readonly #awareness: Awareness
  readonly #profile: SwimProfile
  readonly #emit: (output: ClaimOutput) => void
  readonly #self: MemberState
  readonly #suspicions = new Map<NodeId, Suspicion>()
  #refutations = 0

  constructor(needs: ClaimsNeeds, self: MemberState) {
    this.#members = needs.members
    this.#queue = needs.queue
    this.#awareness = needs.awareness
    this.#profile = needs.profile
    this.#emit = needs.emit
    this.#self = self
  }

  get refutations(): number {
    return this.#refutations
  }

  get suspects(): number {
    return this.#suspicions.size
  }

  alive(nowMs: number, { nodeId, incarnation }: Pick<Alive, 'nodeId' | 'incarnation'>): void {
    const member = this.#members.get(nodeId)
    if (!member || incarnation <= member.incarnation) return
    // Only this node raises its incarnation; a higher one is left over from an earlier life or made up.
    if (member === this.#self) this.#refute(incarnation)
    else this.#settle(nowMs, member, incarnation, 'alive')
  }

  suspect(nowMs: number, claim: Suspect): void {
    const member = this.#members.get(claim.nodeId)
    if (!member || claim.incarnation < member.incarnation) return
    if (member === this.#self) {
      this.#refute(claim.incarnation)
      return
    }
    const isNew = outranks({ incarnation: claim.incarnation, status: 'suspect' }, member)
    if (isNew) this.#beginSuspicion(nowMs, member, claim)
    const suspicion = this.#suspicions.get(claim.nodeId)
    if (!suspicion) return
    const isConfirmed = suspicion.confirm(claim.from)
    const isFoundRefused = claim.isRefused && suspicion.confirmRefused(nowMs, claim.from)
    if (isNew || isConfirmed || isFoundRefused) this.#broadcast(claim)
    if (claim.from === this.#self.nodeId) return
    if (isFoundRefused) this.#emit({ type: 'second-look', nodeId: claim.nodeId, wanted: LOOKS_WHEN_REFUSED })
    else if (isNew) this.#emit({ type: 'second-look', nodeId: claim.nodeId, wanted: LOOKS_WHEN_SILENT })
  }

  dead(nowMs: number, claim: Dead): void {
    const member = this.#members.get(claim.nodeId)
    if (!member || claim.incarnation < member.incarnation) return
    if (member === this.#self) {
      this.#refute(claim.incarnation)
      return
    }
    const status = claim.from === claim.nodeId ? 'left' : 'dead'
    if (!outranks({ incarnation: claim.incarnation, status }, member)) return
    if (status === 'dead' && this.#isInTouch(nowMs, member)) {
      this.suspect(nowMs, { ...claim, type: 'suspect', isRefused: false })
      this.#emit({ type: 'tell', nodeId: claim.nodeId })
      return
    }
    this.#settle(nowMs, member, claim.incarnation, status)
  }

  /** This node's own probe of the member failed. */
  accuse(nowMs: number, nodeId: NodeId, isRefused: boolean): void {
    const member = this.#members.get(nodeId)
    if (!member || isGone(member.status)) return
    const { incarnation } = member
    this.suspect(nowMs, { type: 'suspect', nodeId, incarnation, from: this.#self.nodeId, isRefused })
  }

  /**
   * What another node holds of a member. Its dead are only suspects here as long as they live in our view: after a
   * partition heals, each side holds the other for dead, and everybody must have time to say otherwise.
   */
  merge(nowMs: number, entry: Omit<DigestEntry, 'recordVersion'>, from: NodeId): void {
    const { nodeId, incarnation, status } = entry
    const member = this.#members.get(nodeId)
    if (status === 'alive') this.alive(nowMs, { nodeId, incarnation })
    else if (status === 'left') this.dead(nowMs, { type: 'dead', nodeId, incarnation, from: nodeId })
    else if (status === 'dead' && member && isGone(member.status)) {
      this.dead(nowMs, { type: 'dead', nodeId, incarnation, from })
    } else this.suspect(nowMs, { type: 'suspect', nodeId, incarnation, from, isRefused: false })
  }

  /** @returns false when the table has no room */
  addMember(
    nowMs: number,
    record: NodeRecord,
    envelope: RecordEnvelope,
    claim: { incarnation: number; status: MemberStatus },
  ): boolean {
    const member: MemberState = {
      nodeId: record.nodeId,
      // A suspicion needs its timer: it is applied to the living member afterwards.
      status: claim.status === 'suspect' ? 'alive' : claim.status,
      incarnation: claim.incarnation,
      record,
      envelope,
      statusSinceMs: nowMs,
      heardMs: Number.NEGATIVE_INFINITY,
      isConnected: false,
    }
    if (!this.#members.add(member)) return false
    // The living are news to all; who is long gone is told by the state exchange.
    if (!isGone(member.status)) this.#broadcast(this.#aliveRumour(member))
    this.#emit({ type: 'changed', nodeId: member.nodeId, previous: undefined })
    return true
  }

  setRecord(member: MemberState, record: NodeRecord, envelope: RecordEnvelope): void {
    member.record = record
    member.envelope = envelope
    this.#members.changed()
    // Rumours of the dead are claims about their status; their records spread by the state exchange.
    if (!isGone(member.status)) this.#broadcast(this.#aliveRumour(member))
    this.#emit({ type: 'changed', nodeId: member.nodeId, previous: member.status })
  }

  /** This node leaves: from now on it refutes nothing. */
  leave(nowMs: number): void {
    this.#settle(nowMs, this.#self, this.#self.incarnation, 'left')
  }

  /** What the member has to know that is claimed of it; undefined when it is alive to us. */
  claimAgainst(nodeId: NodeId): Rumour | undefined {
    const member = this.#members.get(nodeId)
    return member && member.status !== 'alive' ? this.#rumourOf(member) : undefined
  }

  /** Last probes and verdicts that are due by now. */
  due(nowMs: number): void {
    for (const [nodeId, suspicion] of this.#suspicions) {
      const member = this.#members.get(nodeId)
      if (!member || nowMs < this.#dueOf(suspicion)) continue
      if (suspicion.lastProbeMs === undefined) {
        suspicion.lastProbeMs = nowMs
        this.#emit({ type: 'last-probe', nodeId, isPathSilent: member.heardMs < suspicion.startedMs })
      } else if (member.heardMs >= suspicion.lastProbeMs) suspicion.extend(nowMs)
      else this.#settle(nowMs, member, suspicion.incarnation, 'dead')
    }
  }

  get nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY
    for (const suspicion of this.#suspicions.values()) nextMs = Math.min(nextMs, this.#dueOf(suspicion))
    return nextMs
  }

  /** The last probe leaves a period before the verdict, and has at least the probe timeout. */
  #dueOf(suspicion: Suspicion): number {
    const { protocolPeriodMs, probeTimeoutMs } = this.#profile
    if (suspicion.lastProbeMs === undefined) return suspicion.deadlineMs - protocolPeriodMs
    return Math.max(suspicion.deadlineMs, suspicion.lastProbeMs + probeTimeoutMs)
  }

  #beginSuspicion(nowMs: number, member: MemberState, claim: Suspect): void {
    const { profile, members } = { profile: this.#profile, members: this.#members.living }
    const k = profile.suspicionMult - 2
    const minMs = suspicionTimeout(profile.suspicionMult, members, profile.protocolPeriodMs)
    const suspicion = new Suspicion(nowMs, claim.incarnation, claim.from, {
      // With too few others to confirm, nobody waits for them.
      k: members - 2 < k ? 0 : k,
      minMs,
      maxMs: minMs * profile.suspicionMaxTimeoutMult,
      refusalsForVerdict: Math.max(1, Math.min(profile.refusalsForVerdict, members - 1)),
      refusedMs: profile.refusedSuspicionMs,
    })
    const previous = member.status
    member.status = 'suspect'
    member.incarnation = claim.incarnation
    member.statusSinceMs = nowMs
    this.#suspicions.set(member.nodeId, suspicion)
    this.#members.changed()
    this.#emit({ type: 'changed', nodeId: member.nodeId, previous })
  }

  /** Ends a suspicion if there is one, and tells of the new status. */
  #settle(nowMs: number, member: MemberState, incarnation: number, status: 'alive' | 'dead' | 'left'): void {
    const previous = member.status
    this.#suspicions.delete(member.nodeId)
    member.incarnation = incarnation
    member.status = status
    if (previous !== status) member.statusSinceMs = nowMs
    this.#members.changed()
    this.#broadcast(this.#rumourOf(member))
    this.#emit({ type: 'changed', nodeId: member.nodeId, previous })
    if (isGone(status)) this.#emit({ type: 'gone', nodeId: member.nodeId })
  }

  #refute(claimedIncarnation: number): void {
    if (this.#self.status === 'left' || claimedIncarnation >= Number.MAX_SAFE_INTEGER) return
    this.#self.incarnation = Math.max(this.#self.incarnation, claimedIncarnation) + 1
    this.#refutations++
    this.#awareness.applyDelta(1)
    this.#members.changed()
    this.#broadcast(this.#aliveRumour(this.#self))
    this.#emit({ type: 'changed', nodeId: this.#self.nodeId, previous: this.#self.status })
  }

  #isInTouch(nowMs: number, member: MemberState): boolean {
    const quietMs = nowMs - member.heardMs
    return !isGone(member.status) && member.isConnected && quietMs <= IN_TOUCH_PERIODS * this.#profile.protocolPeriodMs
  }

  #rumourOf(member: MemberState): Rumour {
    const { nodeId, incarnation, status } = member
    switch (status) {
      case 'alive':
        return this.#aliveRumour(member)
      case 'suspect':
        return { type: 'suspect', nodeId, incarnation, from: this.#self.nodeId, isRefused: false }
      case 'dead':
        return { type: 'dead', nodeId, incarnation, from: this.#self.nodeId }
      case 'left':
        return { type: 'dead', nodeId, incarnation, from: nodeId }
    }
  }

  #aliveRumour({ nodeId, incarnation, record }: MemberState): Alive {
    return { type: 'alive', nodeId, incarnation, recordVersion: record.recordVersion }
  }

  #broadcast(rumour: Rumour): void {
    this.#queue.enqueue(rumour, encodeMessage(rumour).length)
  }
}
