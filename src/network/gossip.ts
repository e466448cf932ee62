import type { Component } from '../base/component.ts'
import { NetworkError } from '../base/errors.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { InterfaceFact } from '../base/interface-fact.ts'
import type { Logger } from '../base/log.ts'
import type { Member, MemberEvent, Membership, NodeRecord } from '../base/member.ts'
import type { PeerChannel, PeerTarget, ReleasablePeers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'
import { orderForPeer } from './addresses.ts'
import { canonicalJson } from './canonical-json.ts'
import { compress, decompress } from './compression.ts'
import { Outbox } from './outbox.ts'
import { encodeRecord, openRecord, sealRecord } from './record.ts'
import type { RecordSigner, RecordVerifier } from './record-signature.ts'
import { SeedDialler } from './seed-dialler.ts'
import { releaseSpareChannels } from './spare-channels.ts'
import { decodeFrame, encodeFrames, type FrameFault } from './swim/codec.ts'
import { isGone, type MemberState } from './swim/members.ts'
import type { Message, SignedRecord } from './swim/message.ts'
import type { SwimOutput } from './swim/output.ts'
import { type Acquaintance, Swim, type SwimInput, type SwimNeeds } from './swim/swim.ts'
import { claimHash } from './swim/view-hash.ts'

/** The parts of the own record that change while the node runs. */
export type RecordPatch = Partial<
  Pick<
    NodeRecord,
    | 'addresses'
    | 'services'
    | 'labels'
    | 'capacity'
    | 'certificateSerial'
    | 'trustedRoots'
    | 'issuerId'
    | 'tokenKeys'
    | 'revokedSerials'
  >
>

export interface GossipNeeds {
  peers: ReleasablePeers
  clock: Clock
  random: Random
  log: Logger
  signer: RecordSigner
  verifier: RecordVerifier
  /** This machine's network interfaces as they are now: they decide which of a peer's addresses is dialled first. */
  interfaces: () => readonly InterfaceFact[]
  /** Where many nodes live in one process: the one copy of an opened record that all of them keep. */
  shared?: (opened: SignedRecord) => SignedRecord
}

export interface GossipOptions {
  nodeId: NodeId
  role: NodeRole
  /** A function when the cluster's id is only known once the node has its certificate; asked by `start`. */
  cluster: string | (() => string)
  softwareVersion: string
  /** What the own record says at first; `update` changes it, also before `start`. */
  record: RecordPatch
  /** `host:port` of coordinators (the key `coordinator_addresses`). */
  seeds: readonly string[]
  /** Bounds of the time between two state exchanges, `gossip_interval_min` and `gossip_interval_max`. */
  intervalMsMin: number
  intervalMsMax: number
  /** `gossip_compression_enabled`: whether this node compresses what it sends; it reads both. */
  compressionEnabled: boolean
  /** Frames with a body of at least this size are compressed, `gossip_compression_threshold`. */
  compressionThresholdBytes: number
  /** Members held at most, the gone included; 4,096 by default. */
  membersMax?: number
}

/** Counters since the start, except where said otherwise. */
export interface GossipStats {
  /** Frames and bytes as they go over the channels, after compression. */
  framesSent: number
  bytesSent: number
  framesReceived: number
  bytesReceived: number
  /** Bytes that compression kept off the channels. */
  bytesSaved: number
  /** Received and dropped, by reason. */
  dropped: Record<FrameFault | 'record', number>
  /** Frames not sent because a peer was unreachable or its queue full. */
  unsent: number
  /** Now: rumours waiting to be passed on. */
  rumoursQueued: number
  rumoursDropped: number
  /** Now: Lifeguard's local health, 0 (healthy) to 7; each point stretches the probe period once more. */
  healthScore: number
  /** Now: members under suspicion. */
  suspects: number
  probesFailed: number
  /** Claims about this node that it refuted. */
  refutations: number
  stateExchanges: number
  /** Now: time between two state exchanges, and why it has this length. */
  intervalMs: number
  intervalReason: string
}

/** This node's part in the cluster's membership. */
export interface Gossip extends Membership {
  /**
   * Changes the own record, signs it and tells the cluster. Many calls in a row are signed and told as one.
   * @throws {NetworkError} P2P_NETWORK_RECORD_INVALID: others would refuse the record (32 KiB in all, and limits on its parts); nothing has changed
   */
  update(patch: RecordPatch): void
  /** Where and as whom a member is dialled, best address first; undefined for an unknown member. */
  targetOf(nodeId: NodeId): PeerTarget | undefined
  /** Announces the departure; resolves when it was passed on, or after a second. Nothing is announced afterwards. */
  leave(): Promise<void>
  stats(): GossipStats
  /** 16 hexadecimal digits: the same on nodes with equal views. Suspicions, which pass, are left out. */
  viewHash(): string
}

/** A node whose view can be given to it, so that a simulation begins with a large cluster that has been running. */
export interface Acquaintable {
  /** This node, as others would hold it. */
  acquaintance(): Acquaintance
  /** Members that are known from now on, alive: nobody is told. */
  acquaint(members: Iterable<Acquaintance>): void
}

/** Changes of the own record that come faster than this are told together. */
const PUBLISH_INTERVAL_MS = 250
const LEAVE_TIMEOUT_MS = 1_000

/** Membership by SWIM with Lifeguard over the peer channels (docs/protocol/gossip.md). */
export function createGossip(needs: GossipNeeds, options: GossipOptions): Gossip & Acquaintable & Component {
  return new SwimGossip(needs, options)
}

class SwimGossip implements Gossip, Acquaintable, Component {
  readonly name = 'gossip'
  readonly #needs: GossipNeeds
  readonly #options: GossipOptions
  readonly #log: Logger
  readonly #outbox: Outbox
  readonly #seeds: SeedDialler
  readonly #listeners = new Set<(event: MemberEvent) => void>()
  readonly #unsubscribe: (() => void)[] = []
  readonly #dropped: Record<FrameFault, number> = { malformed: 0, oversized: 0, version: 0, cluster: 0 }
  #cluster = ''
  /** The own record as it is to be; what the cluster was told may lag behind by {@link PUBLISH_INTERVAL_MS}. */
  #record: NodeRecord
  #swim: Swim | undefined
  #isRunning = false
  #tickTimer: Timer | undefined
  #tickMs = Number.POSITIVE_INFINITY
  #publishTimer: Timer | undefined
  #publishedMs = Number.NEGATIVE_INFINITY
  #members: Member[] | undefined
  #onDrained: (() => void) | undefined
  #framesReceived = 0
  #bytesReceived = 0
  #bytesSaved = 0

  constructor(needs: GossipNeeds, options: GossipOptions) {
    this.#needs = needs
    this.#options = options
    this.#log = needs.log.child('Gossip')
    this.#record = {
      nodeId: options.nodeId,
      role: options.role,
      cluster: '',
      recordVersion: 0,
      softwareVersion: options.softwareVersion,
      addresses: [],
      services: [],
      labels: {},
      capacity: { cpus: 0, memoryBytes: 0 },
      certificateSerial: '',
      startedAtMs: 0,
      ...options.record,
    }
    this.#outbox = new Outbox({
      peers: needs.peers,
      log: this.#log,
      targetOf: (nodeId) => this.targetOf(nodeId),
      onUnreachable: (nodeId, isRefused) => this.#step({ type: 'unreachable', nodeId, isRefused }),
    })
    this.#seeds = new SeedDialler(
      { ...needs, log: this.#log, isNeeded: () => !this.#knowsCoordinator() },
      options.seeds,
    )
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { clock, random, peers, verifier, shared = (opened) => opened } = this.#needs
    const { cluster, membersMax } = this.#options
    this.#cluster = typeof cluster === 'string' ? cluster : cluster()
    this.#record = { ...this.#record, cluster: this.#cluster, startedAtMs: Math.floor(clock.wallMs()) }
    const signed = this.#seal()
    const open: SwimNeeds['open'] = (envelope) => {
      const opened = openRecord(envelope, verifier, this.#cluster)
      return opened && shared(opened)
    }
    this.#swim = new Swim(
      clock.nowMs(),
      { random, open },
      {
        signed,
        // Above those of every earlier life, unless the clock was set back; then the others tell us, and we refute.
        incarnation: Math.floor(clock.wallMs()),
        intervalMsMin: this.#options.intervalMsMin,
        intervalMsMax: this.#options.intervalMsMax,
        ...(membersMax !== undefined && { membersMax }),
      },
    )
    this.#swim.noteSince(this.#options.nodeId, clock.wallMs())
    this.#isRunning = true
    peers.handle('gossip', (channel, payload) => this.#onFrame(channel, payload))
    this.#unsubscribe.push(
      peers.onOpen((channel) => this.#onOpen(channel)),
      peers.onClose((channel) => this.#onClose(channel)),
    )
    // Whoever dialled before now began an exchange that nobody heard: this side begins it again.
    for (const { peer } of peers.list()) this.#step({ type: 'channel-open', nodeId: peer.nodeId, isDialled: true })
    this.#arm()
    this.#seeds.check()
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    this.#tickTimer?.cancel()
    this.#publishTimer?.cancel()
    this.#onDrained?.()
    await Promise.all([this.#outbox.stop(), this.#seeds.stop()])
  }

  // ---- Membership ----

  self(): Member {
    const state = this.#swim?.self
    if (!state) return { record: this.#record, status: 'alive', incarnation: 0, sinceMs: this.#needs.clock.wallMs() }
    return { ...toMember(state), record: this.#record }
  }

  members(): Member[] {
    if (!this.#swim) return [this.self()]
    this.#members ??= [...this.#swim.members()]
      .map((state) => (state.nodeId === this.#options.nodeId ? this.self() : toMember(state)))
      .sort((a, b) => (a.record.nodeId < b.record.nodeId ? -1 : 1))
    return [...this.#members]
  }

  get(nodeId: NodeId): Member | undefined {
    if (nodeId === this.#options.nodeId) return this.self()
    const state = this.#swim?.get(nodeId)
    return state && toMember(state)
  }

  onChange(listener: (event: MemberEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // ---- Gossip ----

  update(patch: RecordPatch): void {
    const changed: NodeRecord = { ...this.#record, ...patch }
    if (canonicalJson(changed) === canonicalJson(this.#record)) return
    // Before the start the cluster is not known yet; `start` checks then.
    if (this.#isRunning) assertAcceptable(changed)
    this.#record = changed
    this.#members = undefined
    this.#publishSoon()
  }

  targetOf(nodeId: NodeId): PeerTarget | undefined {
    const record = this.#swim?.get(nodeId)?.record
    return record && { nodeId, addresses: orderForPeer(this.#needs.interfaces(), record.addresses) }
  }

  async leave(): Promise<void> {
    if (!this.#isRunning) return
    this.#publishTimer?.cancel()
    const drained = new Promise<void>((resolve) => {
      this.#onDrained = resolve
    })
    const deadline = this.#needs.clock.after(LEAVE_TIMEOUT_MS, () => this.#onDrained?.())
    this.#step({ type: 'leave' })
    await drained
    deadline.cancel()
  }

  stats(): GossipStats {
    const { recordsRefused, ...swim } = this.#swim?.stats ?? NO_STATS
    return {
      ...this.#outbox.counters,
      framesReceived: this.#framesReceived,
      bytesReceived: this.#bytesReceived,
      bytesSaved: this.#bytesSaved,
      dropped: { ...this.#dropped, record: recordsRefused },
      ...swim,
    }
  }

  viewHash(): string {
    return this.#swim?.viewHash ?? ''
  }

  acquaintance(): Acquaintance {
    const { signed, incarnation, nodeId, record } = (this.#swim as Swim).self
    return { signed, incarnation, hash: claimHash(nodeId, { incarnation, status: 'alive' }, record.recordVersion) }
  }

  acquaint(members: Iterable<Acquaintance>): void {
    this.#swim?.acquaint(members)
    this.#members = undefined
  }

  // ---- From the channels ----

  #onOpen(channel: PeerChannel): void {
    this.#step({ type: 'channel-open', nodeId: channel.peer.nodeId, isDialled: channel.dialled })
    if (this.#isRunning) releaseSpareChannels(this.#needs.peers, this.#needs.random, channel)
  }

  #onClose(channel: PeerChannel): void {
    const { nodeId } = channel.peer
    // Replaced by another one.
    if (this.#needs.peers.get(nodeId)) return
    const isReleased = !channel.closed.aborted
    this.#step({ type: 'channel-closed', nodeId, isExpected: isReleased || this.#outbox.hasGivenUp(channel) })
  }

  #onFrame(channel: PeerChannel, payload: Uint8Array): void {
    if (!this.#isRunning) return
    this.#framesReceived++
    this.#bytesReceived += payload.length
    const decoded = decodeFrame(this.#cluster, payload, decompress)
    if ('fault' in decoded) {
      this.#dropped[decoded.fault]++
      return
    }
    this.#step({ type: 'receive', from: channel.peer.nodeId, messages: decoded.messages })
  }

  // ---- The state machine ----

  #step(input: SwimInput): void {
    if (!this.#isRunning || !this.#swim) return
    for (const output of this.#swim.step(this.#needs.clock.nowMs(), input)) this.#perform(output)
    this.#arm()
    if (this.#swim.self.status === 'left' && this.#isDrained(this.#swim)) this.#onDrained?.()
  }

  #perform(output: SwimOutput): void {
    switch (output.type) {
      case 'send':
        this.#outbox.send(output.to, this.#encode(output.messages))
        return
      case 'connect':
        this.#outbox.send(output.nodeId, [])
        return
      case 'disconnect':
        this.#outbox.disconnect(output.nodeId)
        return
      case 'changed':
        this.#onChanged(output)
        return
      case 'outranked':
        this.#record = { ...this.#record, recordVersion: output.recordVersion }
        this.#publishSoon()
    }
  }

  #arm(): void {
    if (!this.#isRunning || !this.#swim) return
    const dueMs = this.#swim.nextDueMs
    // A tick that comes too early does nothing, so a timer is only replaced when it would come too late.
    if (this.#tickTimer && this.#tickMs <= dueMs) return
    this.#tickTimer?.cancel()
    this.#tickMs = dueMs
    this.#tickTimer = this.#needs.clock.after(Math.max(0, dueMs - this.#needs.clock.nowMs()), () => {
      this.#tickTimer = undefined
      this.#step({ type: 'tick' })
    })
  }

  #encode(messages: readonly Message[]): Uint8Array[] {
    const { compressionEnabled, compressionThresholdBytes } = this.#options
    return encodeFrames(this.#cluster, messages, (body) => {
      if (!compressionEnabled || body.length < compressionThresholdBytes) return undefined
      const compressed = compress(body)
      if (compressed) this.#bytesSaved += body.length - compressed.length
      return compressed
    })
  }

  /** Nobody is left to tell, or everybody was told. */
  #isDrained(swim: Swim): boolean {
    return swim.stats.rumoursQueued === 0 || swim.living === 0
  }

  // ---- The own record ----

  #publishSoon(): void {
    if (!this.#isRunning || this.#publishTimer) return
    const waitMs = this.#publishedMs + PUBLISH_INTERVAL_MS - this.#needs.clock.nowMs()
    if (waitMs <= 0) {
      this.#step({ type: 'publish', signed: this.#seal() })
      return
    }
    this.#publishTimer = this.#needs.clock.after(waitMs, () => {
      this.#publishTimer = undefined
      this.#step({ type: 'publish', signed: this.#seal() })
    })
  }

  #seal(): SignedRecord {
    const { clock, signer } = this.#needs
    this.#publishedMs = clock.nowMs()
    // Wall time makes versions rise across restarts without anything stored.
    const recordVersion = Math.max(this.#record.recordVersion + 1, Math.floor(clock.wallMs()))
    this.#record = { ...this.#record, recordVersion }
    return { record: this.#record, envelope: sealRecord(assertAcceptable(this.#record), signer) }
  }

  // ---- To the listeners ----

  #onChanged({ nodeId, previous }: Extract<SwimOutput, { type: 'changed' }>): void {
    this.#members = undefined
    const state = this.#swim?.get(nodeId)
    if (!state) return
    if (state.status !== previous) this.#swim?.noteSince(nodeId, this.#needs.clock.wallMs())
    const member = this.get(nodeId) as Member
    this.#logChange(member, previous)
    for (const listener of this.#listeners) {
      try {
        listener({ member, previous })
      } catch (error) {
        this.#log.error('A listener to membership changes failed.', { error })
      }
    }
    if (member.record.role === 'coordinator') this.#seeds.check()
  }

  #logChange({ record, status, incarnation }: Member, previous: MemberEvent['previous']): void {
    if (status === previous) return
    const fields = { node: record.nodeId, role: record.role, status, previous, incarnation }
    if (status === 'dead') this.#log.warning('A member does not answer any more.', fields)
    else if (status === 'suspect') this.#log.info('A member is under suspicion.', fields)
    else if (status === 'left') this.#log.info('A member has left.', fields)
    else this.#log.info(previous === undefined ? 'A member is known.' : 'A member is back.', fields)
  }

  #knowsCoordinator(): boolean {
    for (const { nodeId, record, status } of this.#swim?.members() ?? []) {
      if (record.role === 'coordinator' && nodeId !== this.#options.nodeId && !isGone(status)) return true
    }
    return false
  }
}

function toMember({ record, status, incarnation, sinceMs }: MemberState): Member {
  return { record, status, incarnation, sinceMs }
}

const NO_STATS = {
  rumoursQueued: 0,
  rumoursDropped: 0,
  healthScore: 0,
  suspects: 0,
  probesFailed: 0,
  refutations: 0,
  recordsRefused: 0,
  stateExchanges: 0,
  intervalMs: 0,
  intervalReason: 'not started',
}

function assertAcceptable(record: NodeRecord): Uint8Array {
  const bytes = encodeRecord(record)
  if (bytes) return bytes
  throw new NetworkError(
    'P2P_NETWORK_RECORD_INVALID',
    `The record of node ${record.nodeId} is too large or malformed, other nodes would refuse it: shorten its services, methods or labels.`,
    { services: record.services.length, labels: Object.keys(record.labels).length },
  )
}
