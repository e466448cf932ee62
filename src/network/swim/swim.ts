import type { NodeId } from '../../base/identity.ts'
import { type Random, randomInt } from '../../base/random.ts'
import { ActiveTime } from './active-time.ts'
import { AdaptiveInterval } from './adaptive-interval.ts'
import { Awareness } from './awareness.ts'
import { BroadcastQueue, retransmitLimit } from './broadcast-queue.ts'
import { type ClaimOutput, Claims } from './claims.ts'
import { Exchange, type ExchangeOutput } from './exchange.ts'
import { LIMITS } from './limits.ts'
import { isGone, type MemberState, Members } from './members.ts'
import type { Message, RecordEnvelope, Rumour, SignedRecord } from './message.ts'
import type { SwimOutput } from './output.ts'
import { Probe, type ProbeKind, type ProbeOutput } from './probe.ts'
import { ProbeOrder } from './probe-order.ts'
import { LAN_PROFILE, type SwimProfile } from './profile.ts'
import type { ClaimHash } from './view-hash.ts'

/** With so many open channels, rumours and exchanges use them and open no others. */
const CONNECTED_ENOUGH = 8
/** With so many, most probes do too: a dial for each, with its handshake, would be most of what a large cluster costs. */
const CONNECTED_FOR_PROBES = 32
/** Every so many periods a probe goes to the next of all members, wherever a channel is open or not. */
const FAR_PROBE_PERIODS = 8
/** A node that has just joined looks soon whether it knows everybody: nodes that join together miss some of each other's rumours. */
const FIRST_EXCHANGE_MS = 1_500
/** Members of one kind that are tried in one interval, should this node be alone with hundreds of dead. */
const REJOINS_MAX = 8
/** A leaving node says goodbye to so many members itself. */
const GOODBYES_MAX = 128

export type SwimInput =
  /** {@link Swim.nextDueMs} has come. */
  | { type: 'tick' }
  /** A decoded frame from a verified peer. */
  | { type: 'receive'; from: NodeId; messages: readonly Message[] }
  | { type: 'channel-open'; nodeId: NodeId; isDialled: boolean }
  /** The last channel to the peer is closed; `isExpected` when this side closed it, or both took it out of use. */
  | { type: 'channel-closed'; nodeId: NodeId; isExpected: boolean }
  /** A dial failed; `isRefused` when the machine answered and nothing listens there. */
  | { type: 'unreachable'; nodeId: NodeId; isRefused: boolean }
  /** The own record changed. */
  | { type: 'publish'; signed: SignedRecord }
  | { type: 'leave' }

export interface SwimNeeds {
  random: Random
  /** Checks a record. @returns undefined for one that is not its node's own; what is returned does not point into the frame */
  open: (envelope: RecordEnvelope) => SignedRecord | undefined
}

export interface SwimOptions {
  signed: SignedRecord
  /** Above those of all earlier lives: wall milliseconds will do. */
  incarnation: number
  intervalMsMin: number
  intervalMsMax: number
  profile?: SwimProfile
  /** Instead of {@link LIMITS.membersMax}. */
  membersMax?: number
}

/** A member that is known without having been heard of. */
export interface Acquaintance {
  signed: SignedRecord
  incarnation: number
  /** Its {@link claimHash} as of one who is alive. */
  hash: ClaimHash
}

/**
 * SWIM with Lifeguard's extensions as a state machine: time and inputs in, outputs out, no clock and no I/O.
 * @see Das, Gupta, Motivala: SWIM (2002); Dadgar, Phillips, Currey: Lifeguard (2017); hashicorp/memberlist state.go
 */
export class Swim {
  readonly #random: Random
  readonly #profile: SwimProfile
  readonly #selfId: NodeId
  readonly #members: Members
  readonly #awareness: Awareness
  readonly #queue = new BroadcastQueue(LIMITS.rumoursMax)
  readonly #claims: Claims
  readonly #exchange: Exchange
  readonly #probe: Probe
  readonly #order: ProbeOrder
  /** Of the members with an open channel. */
  readonly #nearOrder: ProbeOrder
  readonly #interval: AdaptiveInterval
  readonly #time: ActiveTime
  /** Peers with an open channel, members or not yet. */
  readonly #connected = new Set<NodeId>()
  #outputs: SwimOutput[] = []
  #nowMs: number
  #dueMs: number
  #probeMs: number
  #gossipMs = 0
  #exchangeMs: number
  #rejoinMs: number
  #probePeriods = 0
  #isLeaving = false
  #probesFailed = 0
  #exchanges = 0

  constructor(nowMs: number, needs: SwimNeeds, options: SwimOptions) {
    const profile = options.profile ?? LAN_PROFILE
    this.#random = needs.random
    this.#profile = profile
    this.#members = new Members(needs.random, options.membersMax ?? LIMITS.membersMax)
    this.#awareness = new Awareness(profile.awarenessMax)
    this.#selfId = options.signed.record.nodeId
    this.#members.add(options.signed, { incarnation: options.incarnation, status: 'alive' })
    const isConnected = (nodeId: NodeId): boolean => this.#connected.has(nodeId)
    const shared = { ...needs, members: this.#members, queue: this.#queue, awareness: this.#awareness, profile }
    this.#claims = new Claims({ ...shared, isConnected, emit: (output) => this.#onClaim(output) }, this.#selfId)
    this.#exchange = new Exchange(
      { ...shared, claims: this.#claims, emit: (output) => this.#onExchange(output) },
      this.#selfId,
    )
    this.#probe = new Probe(profile, this.#awareness, (target, count) => this.#chooseHelpers(target, count))
    this.#order = new ProbeOrder(needs.random)
    this.#nearOrder = new ProbeOrder(needs.random)
    this.#interval = new AdaptiveInterval(options.intervalMsMin, options.intervalMsMax)
    this.#time = new ActiveTime(nowMs)
    this.#nowMs = nowMs
    // Nodes started together must not probe and exchange in step.
    this.#probeMs = nowMs + profile.protocolPeriodMs * needs.random.float()
    this.#exchangeMs = nowMs + this.#jittered(Math.min(FIRST_EXCHANGE_MS, this.#interval.intervalMs))
    this.#rejoinMs = nowMs + this.#jittered(profile.rejoinIntervalMs)
    this.#dueMs = this.#probeMs
  }

  get self(): MemberState {
    return this.#members.get(this.#selfId) as MemberState
  }

  /** In no particular order. */
  members(): IterableIterator<MemberState> {
    return this.#members.all()
  }

  get(nodeId: NodeId): MemberState | undefined {
    return this.#members.get(nodeId)
  }

  /** The same on nodes with equal views. */
  get viewHash(): string {
    return this.#members.hash()
  }

  /** Members that are not gone, this node included. */
  get living(): number {
    return this.#members.living
  }

  /** When a member's status began, for those who ask. */
  noteSince(nodeId: NodeId, wallMs: number): void {
    this.#members.noteSince(nodeId, wallMs)
  }

  /** Members that are known from the start, alive: nobody is told. */
  acquaint(members: Iterable<Acquaintance>): void {
    for (const { signed, incarnation, hash } of members) {
      if (!this.#members.has(signed.record.nodeId)) this.#members.add(signed, { incarnation, status: 'alive' }, hash)
    }
  }

  /** Monotonic time at which a `tick` is due. */
  get nextDueMs(): number {
    return this.#time.toMonotonic(this.#dueMs)
  }

  get stats() {
    return {
      rumoursQueued: this.#queue.size,
      rumoursDropped: this.#queue.dropped,
      healthScore: this.#awareness.score,
      suspects: this.#claims.suspects,
      probesFailed: this.#probesFailed,
      refutations: this.#claims.refutations,
      recordsRefused: this.#exchange.recordsRefused,
      stateExchanges: this.#exchanges,
      intervalMs: this.#interval.intervalMs,
      intervalReason: this.#interval.reason,
    }
  }

  /** Takes one input at a moment of monotonic time; does also whatever else is due by then. */
  step(nowMs: number, input: SwimInput): SwimOutput[] {
    const { activeMs, lateMs } = this.#time.advance(nowMs, this.#dueMs)
    this.#nowMs = activeMs
    if (lateMs > this.#profile.probeTimeoutMs) this.#awareness.applyDelta(1)
    this.#handle(input)
    this.#runDue()
    this.#dueMs = this.#computeDue()
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  #handle(input: SwimInput): void {
    switch (input.type) {
      case 'tick':
        return
      case 'receive':
        this.#onFrame(input.from, input.messages)
        return
      case 'channel-open':
        this.#onChannelOpen(input.nodeId, input.isDialled)
        return
      case 'channel-closed':
        this.#onChannelClosed(input.nodeId, input.isExpected)
        return
      case 'unreachable':
        this.#onProbe(this.#probe.onUnreachable(this.#nowMs, input.nodeId, input.isRefused))
        return
      case 'publish':
        this.#claims.setRecord(this.#selfId, input.signed)
        return
      case 'leave':
        this.#leave()
    }
  }

  #onFrame(from: NodeId, messages: readonly Message[]): void {
    if (from === this.#selfId) return
    this.#members.heard(from, this.#nowMs)
    for (const message of messages) this.#onMessage(from, message)
  }

  #onMessage(from: NodeId, message: Message): void {
    const nowMs = this.#nowMs
    switch (message.type) {
      case 'ping':
        this.#sendWithRumours(from, { type: 'ack', seq: message.seq })
        return
      case 'ping-req':
        this.#onProbe(this.#probe.onPingReq(nowMs, from, message.seq, message.target))
        return
      case 'ack':
        this.#onProbe(this.#probe.onAck(from, message.seq))
        return
      case 'nack':
        this.#probe.onNack(from, message.seq)
        return
      case 'alive':
        this.#exchange.onAlive(nowMs, from, message)
        return
      case 'suspect':
        this.#claims.suspect(nowMs, message)
        return
      case 'dead':
        this.#claims.dead(nowMs, message)
        return
      case 'sync':
        this.#exchange.onSync(from, message)
        return
      case 'summary':
        this.#exchange.onSummary(from, message)
        return
      case 'digest':
        this.#exchange.onDigest(nowMs, from, message)
        return
      case 'pull':
        this.#exchange.onPull(from, message.nodeIds)
        return
      case 'record':
        this.#exchange.onRecord(nowMs, from, message)
    }
  }

  /** The dialler opens the exchange with whom it does not know to be alive: a join, or a meeting after a long time. */
  #onChannelOpen(nodeId: NodeId, isDialled: boolean): void {
    this.#connected.add(nodeId)
    if (isDialled && this.#members.get(nodeId)?.status !== 'alive') this.#send(nodeId, [this.#exchange.opening()])
    this.#members.heard(nodeId, this.#nowMs)
  }

  /** A process that dies loses all its channels at once: a closed one is worth an immediate look. */
  #onChannelClosed(nodeId: NodeId, isExpected: boolean): void {
    this.#connected.delete(nodeId)
    if (!isExpected) this.#lookAgain(nodeId)
  }

  #lookAgain(nodeId: NodeId): void {
    const member = this.#members.get(nodeId)
    if (!member || isGone(member.status) || this.#isLeaving) return
    if (this.#probe.count('second-look') >= LIMITS.hintsMax) return
    this.#beginProbe(nodeId, 'second-look')
  }

  #leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#claims.leave()
    const goodbye = this.#claims.claimAgainst(this.#selfId) as Rumour
    for (const nodeId of this.#pickConnected(GOODBYES_MAX)) {
      this.#outputs.push({ type: 'send', to: nodeId, messages: [goodbye] })
    }
  }

  #runDue(): void {
    const nowMs = this.#nowMs
    this.#onProbe(this.#probe.due(nowMs))
    if (!this.#isLeaving) {
      this.#claims.due(nowMs)
      if (nowMs >= this.#probeMs) this.#probeNext()
      if (nowMs >= this.#exchangeMs) this.#exchangeWithOne()
      if (nowMs >= this.#rejoinMs) this.#rejoinSome()
    }
    if (this.#queue.size > 0 && nowMs >= this.#gossipMs) this.#gossip()
  }

  #computeDue(): number {
    const gossipMs = this.#queue.size > 0 ? this.#gossipMs : Number.POSITIVE_INFINITY
    const probingMs = Math.min(this.#probe.nextDueMs, gossipMs)
    if (this.#isLeaving) return probingMs
    return Math.min(probingMs, this.#claims.nextDueMs, this.#probeMs, this.#exchangeMs, this.#rejoinMs)
  }

  #probeNext(): void {
    this.#probeMs = this.#nowMs + this.#profile.protocolPeriodMs
    // A node in poor health probes less often: its last probe takes longer than a period.
    if (this.#probe.count('periodic') > 0) return
    const target = this.#nextTarget()
    if (target !== undefined) this.#beginProbe(target, 'periodic')
  }

  /**
   * The next of all members in the round robin. A node with many channels goes through the members at their other ends
   * instead, and through all of them eight times slower: so probes cost no dials, and still everybody is probed by
   * everybody in bounded time.
   */
  #nextTarget(): NodeId | undefined {
    const isIdle = (nodeId: NodeId): boolean => this.#isPeer(nodeId) && !this.#probe.isProbing(nodeId)
    const isFar = this.#probePeriods++ % FAR_PROBE_PERIODS === 0
    const near = (): NodeId[] => [...this.#connected].filter((nodeId) => this.#isPeer(nodeId))
    const nearTarget =
      isFar || this.#connected.size < CONNECTED_FOR_PROBES
        ? undefined
        : this.#nearOrder.next(near, (nodeId) => this.#connected.has(nodeId) && isIdle(nodeId))
    return nearTarget ?? this.#order.next(() => this.#peerIds(), isIdle)
  }

  #beginProbe(target: NodeId, kind: ProbeKind): void {
    this.#onProbe(this.#probe.begin(this.#nowMs, target, kind, this.#connected.has(target)))
  }

  #exchangeWithOne(): void {
    this.#exchangeMs = this.#nowMs + this.#jittered(this.#interval.onExchange())
    const [partner] = this.#pickPeers(1)
    if (partner === undefined) return
    this.#exchanges++
    this.#send(partner, [this.#exchange.opening()])
  }

  /** Two nodes that lost each other meet again: the dead and the left are tried for ever, by the cluster as a whole. */
  #rejoinSome(): void {
    const { rejoinIntervalMs, rejoinMult, leftRejoinDivisor } = this.#profile
    this.#rejoinMs = this.#nowMs + this.#jittered(rejoinIntervalMs)
    const shareOf = (members: number): number => (members * rejoinMult) / this.#members.living
    for (const [status, share] of [
      ['dead', shareOf(this.#members.count('dead'))],
      ['left', shareOf(this.#members.count('left') / leftRejoinDivisor)],
    ] as const) {
      // Chance rounds the share, so that it is met on average.
      const tries = Math.min(REJOINS_MAX, Math.floor(share + this.#random.float()))
      for (const { nodeId } of this.#members.pick(tries, (member) => member.status === status)) {
        this.#outputs.push({ type: 'connect', nodeId })
      }
    }
  }

  #gossip(): void {
    this.#gossipMs = this.#nowMs + this.#profile.gossipIntervalMs
    for (const nodeId of this.#pickPeers(this.#profile.gossipNodes)) {
      const rumours = this.#takeRumours()
      if (rumours.length > 0) this.#send(nodeId, rumours)
    }
  }

  #onProbe(outputs: readonly ProbeOutput[]): void {
    for (const output of outputs) {
      if (output.type === 'send') this.#sendWithRumours(output.to, output.message)
      else if (output.type === 'unanswered') this.#onUnanswered(output)
      else if (output.isPathSilent) this.#onSilentPath(output)
    }
  }

  #onUnanswered({ target, kind, isRefused }: Extract<ProbeOutput, { type: 'unanswered' }>): void {
    if (kind === 'last') return
    this.#probesFailed++
    this.#claims.accuse(this.#nowMs, target, isRefused)
  }

  /** Alive, but not over our channel: after a second look the channel is given up, and the next dial tries all paths. */
  #onSilentPath({ target, kind, startedMs }: Extract<ProbeOutput, { type: 'answered' }>): void {
    const member = this.#members.get(target)
    if (!member || !this.#connected.has(target) || member.heardMs >= startedMs) return
    if (kind === 'periodic') this.#lookAgain(target)
    else this.#outputs.push({ type: 'disconnect', nodeId: target }, { type: 'connect', nodeId: target })
  }

  #onClaim(output: ClaimOutput): void {
    switch (output.type) {
      case 'changed':
        this.#onChanged(output)
        return
      case 'second-look':
        if (this.#random.float() < output.wanted / this.#members.living) this.#lookAgain(output.nodeId)
        return
      case 'last-probe':
        if (output.isPathSilent) this.#outputs.push({ type: 'disconnect', nodeId: output.nodeId })
        this.#beginProbe(output.nodeId, 'last')
        return
      case 'tell':
        this.#send(output.nodeId, [])
        return
      case 'gone':
        this.#probe.abandon(output.nodeId)
        // Who leaves still answers the calls it was given, and closes the channel when it has.
        if (output.nodeId !== this.#selfId && this.#members.get(output.nodeId)?.status !== 'left')
          this.#outputs.push({ type: 'disconnect', nodeId: output.nodeId })
    }
  }

  #onChanged(output: Extract<ClaimOutput, { type: 'changed' }>): void {
    if (output.previous === undefined) this.#order.insert(output.nodeId)
    if (this.#interval.onChange()) {
      this.#exchangeMs = Math.min(this.#exchangeMs, this.#nowMs + this.#jittered(this.#interval.intervalMs))
    }
    this.#outputs.push(output)
  }

  #onExchange(output: ExchangeOutput): void {
    if (output.type === 'reply') this.#send(output.to, output.messages)
    else this.#outputs.push(output)
  }

  /** What is claimed of the receiver goes first: its answer then already refutes it (Lifeguard's buddy system). */
  #send(to: NodeId, messages: Message[]): void {
    const claim = this.#claims.claimAgainst(to)
    const all = claim ? [claim, ...messages] : messages
    if (all.length > 0) this.#outputs.push({ type: 'send', to, messages: all })
  }

  #sendWithRumours(to: NodeId, message: Message): void {
    this.#send(to, [...this.#takeRumours(), message])
  }

  #takeRumours(): Rumour[] {
    return this.#queue.take(
      LIMITS.piggybackBytesMax,
      retransmitLimit(this.#profile.retransmitMult, this.#members.living),
    )
  }

  /** Another member that is not gone. */
  #isPeer(nodeId: NodeId): boolean {
    const member = this.#members.get(nodeId)
    return member !== undefined && nodeId !== this.#selfId && !isGone(member.status)
  }

  #peerIds(): NodeId[] {
    const nodeIds: NodeId[] = []
    for (const { nodeId, status } of this.#members.all()) {
      if (nodeId !== this.#selfId && !isGone(status)) nodeIds.push(nodeId)
    }
    return nodeIds
  }

  #pickPeers(count: number): NodeId[] {
    const isEnough = this.#connected.size >= CONNECTED_ENOUGH
    const connected = isEnough ? this.#pickConnected(count) : []
    if (connected.length === count) return connected
    return this.#pickMembers(count, () => true)
  }

  #pickConnected(count: number): NodeId[] {
    const candidates = [...this.#connected]
    const picked: NodeId[] = []
    while (picked.length < count && candidates.length > 0) {
      const index = randomInt(this.#random, candidates.length)
      const nodeId = candidates[index] as NodeId
      if (this.#isPeer(nodeId)) picked.push(nodeId)
      candidates[index] = candidates.at(-1) as NodeId
      candidates.pop()
    }
    return picked
  }

  #pickMembers(count: number, fits: (member: MemberState) => boolean): NodeId[] {
    return this.#members
      .pick(count, (member) => member.nodeId !== this.#selfId && !isGone(member.status) && fits(member))
      .map(({ nodeId }) => nodeId)
  }

  /**
   * Chosen by chance, but for one: nearly everybody keeps a channel to a coordinator, so that it reaches those that can
   * only dial out and that this node has no channel to.
   */
  #chooseHelpers(target: NodeId, count: number): NodeId[] {
    const canHelp = ({ nodeId, status }: MemberState): boolean => status === 'alive' && nodeId !== target
    const helpers = this.#pickMembers(count, canHelp)
    const [coordinator] = this.#pickMembers(
      1,
      (member) => member.record.role === 'coordinator' && canHelp(member) && !helpers.includes(member.nodeId),
    )
    if (coordinator !== undefined && helpers.length === count) helpers[0] = coordinator
    return helpers
  }

  #jittered(timeMs: number): number {
    return timeMs * (0.9 + 0.2 * this.#random.float())
  }
}
