import type { NodeId } from '../../base/identity.ts'
import type { Awareness } from './awareness.ts'
import type { BroadcastQueue } from './broadcast-queue.ts'
import { encodeMessage } from './codec.ts'
import { type Claim, isGone, type MemberState, type Members, outranks } from './members.ts'
import type { Alive, Dead, DigestEntry, Rumour, SignedRecord, Suspect } from './message.ts'
import type { SwimOutput } from './output.ts'
import type { SwimProfile } from './profile.ts'
import { Suspicion, suspicionTimes } from './suspicion.ts'

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
  isConnected: (nodeId: NodeId) => boolean
  emit: (output: ClaimOutput) => void
}

/** A member heard on an open channel within so many periods is not dead because another one says so. */
const IN_TOUCH_PERIODS = 3

/**
 * About so many others look themselves when one suspects a member: a real death is confirmed at once, from several
 * sides, not when their turn comes. Twice as many as the fastest verdict needs, since chance chooses them.
 */
const LOOKS_WANTED = 8

/**
 * What is claimed of members and what becomes of it: alive, suspect, dead and left claims, running suspicions, verdicts,
 * and the refutation of claims about this node (SWIM section 4.2; memberlist aliveNode, suspectNode, deadNode).
 */
export class Claims {
  readonly #members: Members
  readonly #queue: BroadcastQueue
  readonly #awareness: Awareness
  readonly #profile: SwimProfile
  readonly #isConnected: (nodeId: NodeId) => boolean
  readonly #emit: (output: ClaimOutput) => void
  readonly #selfId: NodeId
  readonly #suspicions = new Map<NodeId, Suspicion>()
  #refutations = 0

  constructor(needs: ClaimsNeeds, selfId: NodeId) {
    this.#members = needs.members
    this.#queue = needs.queue
    this.#awareness = needs.awareness
    this.#profile = needs.profile
    this.#isConnected = needs.isConnected
    this.#emit = needs.emit
    this.#selfId = selfId
  }

  get refutations(): number {
    return this.#refutations
  }

  get suspects(): number {
    return this.#suspicions.size
  }

  alive({ nodeId, incarnation }: Pick<Alive, 'nodeId' | 'incarnation'>): void {
    const member = this.#members.get(nodeId)
    if (!member || incarnation <= member.incarnation) return
    // Only this node raises its incarnation; a higher one is left over from an earlier life or made up.
    if (nodeId === this.#selfId) this.#refute(incarnation)
    else this.#settle(member, incarnation, 'alive')
  }

  /** @param isWitness `claim.from` looked itself: its word confirms a suspicion that others began */
  suspect(nowMs: number, claim: Suspect, isWitness = true): void {
    const member = this.#members.get(claim.nodeId)
    if (!member || claim.incarnation < member.incarnation) return
    if (claim.nodeId === this.#selfId) {
      this.#refute(claim.incarnation)
      return
    }
    const isNew = outranks({ incarnation: claim.incarnation, status: 'suspect' }, member)
    if (isNew) this.#beginSuspicion(nowMs, member, claim)
    const suspicion = this.#suspicions.get(claim.nodeId)
    if (!suspicion) return
    const isConfirmed = isWitness && suspicion.confirm(claim.from)
    const isFoundRefused = claim.isRefused && suspicion.confirmRefused(nowMs, claim.from)
    if (isNew || isConfirmed || isFoundRefused) this.#broadcast(claim)
    if (claim.from === this.#selfId) return
    if (isFoundRefused || isNew) this.#emit({ type: 'second-look', nodeId: claim.nodeId, wanted: LOOKS_WANTED })
  }

  dead(nowMs: number, claim: Dead): void {
    const member = this.#members.get(claim.nodeId)
    if (!member || claim.incarnation < member.incarnation) return
    if (claim.nodeId === this.#selfId) {
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
    this.#settle(member, claim.incarnation, status)
  }

  /** This node's own probe of the member failed. */
  accuse(nowMs: number, nodeId: NodeId, isRefused: boolean): void {
    const member = this.#members.get(nodeId)
    if (!member || isGone(member.status)) return
    const { incarnation } = member
    this.suspect(nowMs, { type: 'suspect', nodeId, incarnation, from: this.#selfId, isRefused })
  }

  /**
   * What another node holds of a member. Its dead are only suspects here as long as they live in our view: after a
   * partition heals, each side holds the other for dead, and everybody must have time to say otherwise.
   */
  merge(nowMs: number, entry: Omit<DigestEntry, 'recordVersion'>, from: NodeId): void {
    const { nodeId, incarnation, status } = entry
    const member = this.#members.get(nodeId)
    if (status === 'alive') this.alive({ nodeId, incarnation })
    else if (status === 'left') this.dead(nowMs, { type: 'dead', nodeId, incarnation, from: nodeId })
    else if (status === 'dead' && member && isGone(member.status)) {
      this.dead(nowMs, { type: 'dead', nodeId, incarnation, from })
    } else this.suspect(nowMs, { type: 'suspect', nodeId, incarnation, from, isRefused: false }, false)
  }

  /** @returns false when the table has no room */
  addMember(signed: SignedRecord, { incarnation, status }: Readonly<Claim>): boolean {
    // A suspicion needs its timer: it is applied to the living member afterwards.
    if (!this.#members.add(signed, { incarnation, status: status === 'suspect' ? 'alive' : status })) return false
    const { nodeId } = signed.record
    this.#tellIfLiving(nodeId)
    this.#emit({ type: 'changed', nodeId, previous: undefined })
    return true
  }

  setRecord(nodeId: NodeId, signed: SignedRecord): void {
    this.#members.change(nodeId, { signed })
    this.#tellIfLiving(nodeId)
    this.#emit({ type: 'changed', nodeId, previous: this.#members.get(nodeId)?.status })
  }

  /** This node leaves: from now on it refutes nothing. */
  leave(): void {
    const self = this.#members.get(this.#selfId)
    if (self) this.#settle(self, self.incarnation, 'left')
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
      else this.#settle(member, suspicion.incarnation, 'dead')
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

  #beginSuspicion(nowMs: number, { nodeId, status }: MemberState, claim: Suspect): void {
    const times = suspicionTimes(this.#profile, this.#members.living)
    this.#suspicions.set(nodeId, new Suspicion(nowMs, claim.incarnation, claim.from, times))
    this.#members.change(nodeId, { status: 'suspect', incarnation: claim.incarnation })
    this.#emit({ type: 'changed', nodeId, previous: status })
  }

  /** Ends a suspicion if there is one, and tells of the new status. */
  #settle({ nodeId, status: previous }: MemberState, incarnation: number, status: 'alive' | 'dead' | 'left'): void {
    this.#suspicions.delete(nodeId)
    this.#members.change(nodeId, { incarnation, status })
    this.#broadcast(this.#rumourOf(this.#members.get(nodeId) as MemberState))
    this.#emit({ type: 'changed', nodeId, previous })
    if (isGone(status)) this.#emit({ type: 'gone', nodeId })
  }

  #refute(claimedIncarnation: number): void {
    const self = this.#members.get(this.#selfId) as MemberState
    if (self.status === 'left' || claimedIncarnation >= Number.MAX_SAFE_INTEGER) return
    this.#members.change(this.#selfId, { incarnation: Math.max(self.incarnation, claimedIncarnation) + 1 })
    this.#refutations++
    this.#awareness.applyDelta(1)
    this.#tellIfLiving(this.#selfId)
    this.#emit({ type: 'changed', nodeId: this.#selfId, previous: self.status })
  }

  #isInTouch(nowMs: number, { nodeId, status, heardMs }: MemberState): boolean {
    const quietMsMax = IN_TOUCH_PERIODS * this.#profile.protocolPeriodMs
    return !isGone(status) && this.#isConnected(nodeId) && nowMs - heardMs <= quietMsMax
  }

  /** Rumours of the dead are claims about their status; their records spread by the state exchange. */
  #tellIfLiving(nodeId: NodeId): void {
    const member = this.#members.get(nodeId)
    if (member && !isGone(member.status)) this.#broadcast(this.#aliveRumour(member))
  }

  #rumourOf(member: MemberState): Rumour {
    const { nodeId, incarnation, status } = member
    switch (status) {
      case 'alive':
        return this.#aliveRumour(member)
      case 'suspect':
        return { type: 'suspect', nodeId, incarnation, from: this.#selfId, isRefused: false }
      case 'dead':
        return { type: 'dead', nodeId, incarnation, from: this.#selfId }
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
