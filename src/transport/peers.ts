import type { X509Certificate } from 'node:crypto'
import type { Http2Session, Http2Stream } from 'node:http2'
import { assert } from '../base/assert.ts'
import { toHex } from '../base/bytes.ts'
import type { Component } from '../base/component.ts'
import type { Credentials, RevocationList } from '../base/credentials.ts'
import { codeOf, type ErrorCode, messageOf, TransportError } from '../base/errors.ts'
import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import {
  FRAME_KINDS,
  type FrameHandler,
  type FrameKind,
  type PeerChannel,
  type PeerTarget,
  type ReleasablePeers,
} from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'
import { Http2Channel, RELEASE_KIND, WINDOW_BYTES } from './channel.ts'
import { unreachable } from './connect-tls.ts'
import { connectToPeer, type PeerConnection } from './connect-to-peer.ts'
import { type DialId, formatDialId, isLaterDial, parseDialId } from './dial-id.ts'
import { EarlyFrames } from './early-frames.ts'
import { formatHostPort } from './host-port.ts'
import { DEFAULT_PEERS_LIMITS, type PeersLimits } from './peers-limits.ts'
import { serialOf } from './peer-certificate.ts'
import { raceAddresses } from './race-addresses.ts'
import { CHANNEL_PATH, MOVE_HEADER, PROTOCOL_VERSION, requestChannel } from './request-channel.ts'
import { answerHttp2, problem } from './route.ts'
import { SharedTask } from './shared-task.ts'
import type { StreamRequest, Transport } from './transport.ts'
import { TrustedIssuers } from './trusted-issuers.ts'
import { TurnShare } from './turn-share.ts'
import { within } from './within.ts'

export interface PeersNeeds {
  transport: Pick<Transport, 'stream'>
  clock: Clock
  random: Random
  log: Logger
  credentials: Credentials
  revocations: RevocationList
  /**
   * Until when a node is known to be certified by other means than the certificate its channel was opened with: it may have renewed
   * it since. Unix milliseconds, 0 when not. Default: by none.
   */
  certifiedUntil?: (nodeId: NodeId) => number
}

export interface PeersOptions {
  nodeId: NodeId
  cluster: string | (() => string)
  limits?: Partial<PeersLimits>
}

/** Peers over sockets, which lead along a path that may be changed. */
export interface MovablePeers extends ReleasablePeers {
  /**
   * Puts a channel over one of these addresses in the place of one that works. Calls under way are still answered on the
   * old one, which is closed after `moveGraceMs`.
   * @returns the channel that is in use then; also another one, when that came first
   * @throws as {@link ReleasablePeers.open}; the old channel is then as it was
   */
  move(channel: PeerChannel, addresses: readonly string[], signal?: AbortSignal): Promise<PeerChannel>
  /**
   * Channels in use whose other end showed a certificate that has ended, with no other known to have taken its place, or one of a
   * CA that has been revoked or is under no trusted root any more.
   */
  untrusted(): PeerChannel[]
}

/** Addresses of one target that are tried; a node has a handful. */
const ADDRESSES_MAX = 16

/** The channels to all peers: dials, accepts, verifies both ways, keeps at most one per peer (docs/protocol/transport.md). */
export function createPeers(needs: PeersNeeds, options: PeersOptions): MovablePeers & Component {
  return new ChannelRegistry(needs, options)
}

/** An open channel, and the last dial of its peer that is known to be older than it. */
interface Registered {
  channel: Http2Channel
  peerDial: DialId
  verified: Verified
}

/** By what its other end was verified. */
interface Verified {
  issuer: X509Certificate | undefined
  /** When its certificate ends, Unix milliseconds. */
  notAfterMs: number
  /** The roots of that moment, PEM. */
  verifiedUnder: string
}

class ChannelRegistry implements MovablePeers, Component {
  readonly name = 'peers'
  readonly #needs: PeersNeeds
  readonly #clock: Clock
  readonly #log: Logger
  readonly #nodeId: NodeId
  readonly #cluster: () => string
  readonly #limits: PeersLimits

  readonly #handlers: (FrameHandler | undefined)[] = []
  readonly #early = new EarlyFrames()
  readonly #openListeners = new Set<(channel: PeerChannel) => void>()
  readonly #closeListeners = new Set<(channel: PeerChannel) => void>()

  #isRunning = false
  #instance = ''
  #dialCount = 0
  #timer: Timer | undefined
  #unsubscribe: (() => void) | undefined
  readonly #issuers: TrustedIssuers
  readonly #channels = new Map<NodeId, Registered>()
  /** Dials by node id, or by address list where the node is not known. */
  readonly #dials = new Map<string, SharedTask<PeerChannel>>()
  /** Requests for a channel that the peer has not answered yet. */
  readonly #requests = new Map<NodeId, SharedTask<PeerChannel>>()
  /** Of a peer that asked for a channel while this node's own request, which goes first, is unanswered. */
  readonly #parked = new Map<NodeId, () => void>()
  /** Every channel whose socket is not closed yet. */
  readonly #unfinished = new Set<Http2Channel>()

  constructor(needs: PeersNeeds, options: PeersOptions) {
    this.#needs = needs
    this.#clock = needs.clock
    this.#log = needs.log
    this.#nodeId = options.nodeId
    this.#issuers = new TrustedIssuers(needs.credentials)
    this.#limits = { ...DEFAULT_PEERS_LIMITS, ...options.limits }
    const { cluster } = options
    this.#cluster = typeof cluster === 'string' ? () => cluster : cluster
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#instance = toHex(this.#needs.random.bytes(8))
    this.#isRunning = true
    this.#needs.transport.stream('POST', CHANNEL_PATH, (request) => this.#onRequest(request))
    this.#unsubscribe = this.#needs.revocations.onChange(() => this.#cutRevoked())
    this.#timer = this.#clock.every(this.#limits.checkMs, () => {
      for (const channel of this.#unfinished) channel.checkAlive()
    })
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    this.#timer?.cancel()
    this.#unsubscribe?.()
    for (const dial of [...this.#dials.values(), ...this.#requests.values()]) dial.cancel(this.#stopped())
    for (const channel of this.#unfinished) channel.close('this node is stopping')
    await Promise.all([...this.#unfinished].map((channel) => channel.finished))
  }

  get(nodeId: NodeId): PeerChannel | undefined {
    return this.#channels.get(nodeId)?.channel
  }

  list(): PeerChannel[] {
    return [...this.#channels.values()].map(({ channel }) => channel)
  }

  open(target: PeerTarget, signal?: AbortSignal): Promise<PeerChannel> {
    if (!this.#isRunning) return Promise.reject(this.#stopped())
    const open = target.nodeId === undefined ? undefined : this.get(target.nodeId)
    if (open) return Promise.resolve(open)
    const key = target.nodeId ?? target.addresses.join(' ')
    return this.#dialOnce(key, (ended) => this.#dial(target, undefined, ended)).join(signal)
  }

  move(channel: PeerChannel, addresses: readonly string[], signal?: AbortSignal): Promise<PeerChannel> {
    if (!this.#isRunning) return Promise.reject(this.#stopped())
    const { nodeId } = channel.peer
    const key = `move ${nodeId}`
    return this.#dialOnce(key, (ended) => this.#dial({ nodeId, addresses }, channel, ended)).join(signal)
  }

  release(channel: PeerChannel): boolean {
    const current = this.#channels.get(channel.peer.nodeId)?.channel
    if (!current || current !== channel || current.hasCarriedCalls) return false
    current.announceRelease()
    this.#takeOutOfUse(current)
    return true
  }

  handle(kind: FrameKind, handler: FrameHandler): void {
    assert(!this.#handlers[FRAME_KINDS[kind]], `one handler takes ${kind} frames`)
    this.#handlers[FRAME_KINDS[kind]] = handler
    for (const { channel, payload } of this.#early.take(FRAME_KINDS[kind])) this.#handle(handler, channel, payload)
  }

  onOpen(listener: (channel: PeerChannel) => void): () => void {
    this.#openListeners.add(listener)
    return () => this.#openListeners.delete(listener)
  }

  onClose(listener: (channel: PeerChannel) => void): () => void {
    this.#closeListeners.add(listener)
    return () => this.#closeListeners.delete(listener)
  }

  // ---- Dialling ----

  /** All who want the same wait for the same dial. */
  #dialOnce(key: string, run: (ended: AbortSignal) => Promise<PeerChannel>): SharedTask<PeerChannel> {
    const running = this.#dials.get(key)
    if (running && !running.isOver) return running
    const dial = new SharedTask(run)
    this.#dials.set(key, dial)
    this.#forgetWhenSettled(this.#dials, key, dial)
    return dial
  }

  /** @param moved the channel whose place the new one is to take; any other that is open makes the dial superfluous */
  async #dial(target: PeerTarget, moved: PeerChannel | undefined, signal: AbortSignal): Promise<PeerChannel> {
    const connection = await this.#connect(target, signal)
    const peerId = connection.peer.nodeId
    const open = this.get(peerId)
    const isMove = open !== undefined && open === moved
    const pending = this.#requests.get(peerId)
    if ((open && !isMove) || (pending && !pending.isOver)) {
      connection.socket.destroy()
      return open ?? (pending as SharedTask<PeerChannel>).join(signal)
    }
    const request = new SharedTask((ended) => this.#request(connection, isMove, ended))
    this.#requests.set(peerId, request)
    this.#forgetWhenSettled(this.#requests, peerId, request)
    return request.join(signal)
  }

  async #connect(target: PeerTarget, signal: AbortSignal): Promise<PeerConnection> {
    const addresses = target.addresses.slice(0, ADDRESSES_MAX)
    const whom = target.nodeId ?? 'the peer'
    if (addresses.length === 0) throw unreachable(whom, 'no address of it is known')
    const expected = { cluster: this.#cluster(), nodeId: target.nodeId, self: this.#nodeId }
    try {
      return await raceAddresses(
        this.#clock,
        addresses,
        this.#limits.dialHeadStartMs,
        (address, ended) =>
          within(
            this.#clock,
            this.#limits.dialTimeoutMs,
            ended,
            unreachable(address, 'it did not answer in time'),
            (inTime) => connectToPeer(address, expected, this.#needs, inTime),
          ),
        (late) => late.socket.destroy(),
        signal,
      )
    } catch (error) {
      throw error instanceof AggregateError ? noAddress(whom, error.errors) : error
    }
  }

  async #request(connection: PeerConnection, isMove: boolean, signal: AbortSignal): Promise<PeerChannel> {
    const { peer, address } = connection
    const dial = { instance: this.#instance, count: ++this.#dialCount }
    const tooLate = unreachable(address, 'it did not answer in time')
    const answer = await within(this.#clock, this.#limits.dialTimeoutMs, signal, tooLate, (inTime) =>
      requestChannel(connection, { dial, isMove }, inTime),
    )
    if (!answer.isOpen) return this.#onRefusal(peer, address, answer)
    const { stream, session, peerDial } = answer
    if (signal.aborted || stream.destroyed || this.#needs.revocations.isRevoked(connection.serial)) {
      session.destroy()
      throw signal.aborted ? signal.reason : unreachable(address, 'the connection ended at once')
    }
    const remoteAddress = formatHostPort(connection.remoteAddress, connection.remotePort)
    const facts = { peer, peerSerial: connection.serial, remoteAddress, dialled: true }
    return this.#register(this.#channelOn(stream, session, facts), peerDial, connection, isMove)
  }

  #onRefusal(peer: NodeIdentity, address: string, refusal: { status: number; detail: string }): PeerChannel {
    const open = this.get(peer.nodeId)
    // The peer's own request came first, and the channel it made is there.
    if (refusal.status === 409 && open) return open
    if (refusal.status === 409 || refusal.status === 503)
      throw unreachable(address, `${peer.nodeId} takes no channel now (${refusal.detail})`)
    const message = `${peer.nodeId} at ${address} refused the channel: ${refusal.detail}`
    const details = { peer: peer.nodeId, address, status: refusal.status }
    throw new TransportError('P2P_TRANSPORT_REFUSED', message, details)
  }

  // ---- Accepting ----

  #onRequest(request: StreamRequest): void {
    const { connection, headers } = request
    const peer = connection.identity
    const dial = parseDialId(headers['p2p-dial'])
    if (!this.#isRunning) refuse(request, 503, 'this node is stopping')
    else if (!peer) refuse(request, 403, this.#whyUnverified(request))
    else if (connection.tlsVersion !== 'TLSv1.3') refuse(request, 403, 'a channel needs TLS 1.3')
    else if (headers['p2p-protocol'] !== PROTOCOL_VERSION || !dial)
      refuse(request, 400, `this node speaks version ${PROTOCOL_VERSION} of the channel protocol`)
    else if (peer.nodeId === this.#nodeId) refuse(request, 403, `this node is ${peer.nodeId} itself`)
    else this.#acceptInTurn(request, peer, dial)
  }

  /** Two nodes that dial each other at once: the request of the smaller node id goes first. */
  #acceptInTurn(request: StreamRequest, peer: NodeIdentity, dial: DialId): void {
    const own = this.#requests.get(peer.nodeId)
    if (!own || peer.nodeId < this.#nodeId) {
      this.#accept(request, peer, dial)
      return
    }
    // Only the last of a peer's requests can still be wanted.
    this.#parked.get(peer.nodeId)?.()
    const refuseParked = (): void => refuse(request, 409, 'another request came first')
    this.#parked.set(peer.nodeId, refuseParked)
    const settle = (): void => {
      if (this.#parked.get(peer.nodeId) !== refuseParked) return
      this.#parked.delete(peer.nodeId)
      // Judged anew: much may have changed while it waited.
      this.#onRequest(request)
    }
    own.settled.then(settle, settle)
  }

  #accept(request: StreamRequest, peer: NodeIdentity, dial: DialId): void {
    const { stream, connection } = request
    const session = stream.session
    if (stream.destroyed || stream.closed || !session) return
    const current = this.#channels.get(peer.nodeId)
    // It was sent before the channel that is open now, and comes late. A request that the peer sent after it means that
    // the peer has lost that channel, whatever this node thinks of it.
    if (current && !isLaterDial(dial, current.peerDial)) {
      refuse(request, 409, 'another request came first')
      return
    }
    session.settings({ initialWindowSize: WINDOW_BYTES })
    stream.respond({ ':status': 200, 'p2p-protocol': PROTOCOL_VERSION, 'p2p-dial': this.#dialId() })
    const remoteAddress = formatHostPort(connection.remoteAddress, connection.remotePort)
    const facts = { peer, peerSerial: connection.serial as string, remoteAddress, dialled: false }
    const channel = this.#channelOn(stream, session, facts)
    const { issuer, notAfterMs = 0 } = connection
    const verified = { issuer, notAfterMs, verifiedUnder: this.#issuers.trustPem }
    this.#register(channel, dial, verified, request.headers[MOVE_HEADER] === '1')
    // Whoever is waiting for this peer has its channel.
    this.#dials.get(peer.nodeId)?.fulfil(channel)
    this.#requests.get(peer.nodeId)?.fulfil(channel)
  }

  #whyUnverified({ connection }: StreamRequest): string {
    if (!connection.serial) return 'a channel needs a node certificate'
    if (this.#needs.revocations.isRevoked(connection.serial)) return `certificate ${connection.serial} has been revoked`
    return `certificate ${connection.serial} has expired or is not a node certificate of cluster ${this.#cluster()}`
  }

  // ---- Open channels ----

  #channelOn(
    stream: Http2Stream,
    session: Http2Session,
    facts: Pick<PeerChannel, 'peer' | 'peerSerial' | 'remoteAddress' | 'dialled'>,
  ): Http2Channel {
    const share = this.#channelsOf(facts.peer.nodeId)[0]?.share ?? new TurnShare()
    const shared = { clock: this.#clock, limits: this.#limits, share, onFrame: this.#onFrame }
    return new Http2Channel({ stream, session, ...facts, ...shared })
  }

  #register(
    channel: Http2Channel,
    peerDial: DialId,
    { issuer, notAfterMs, verifiedUnder }: Verified,
    isMove: boolean,
  ): PeerChannel {
    const peerId = channel.peer.nodeId
    const replaced = this.#channels.get(peerId)?.channel
    this.#channels.set(peerId, { channel, peerDial, verified: { issuer, notAfterMs, verifiedUnder } })
    if (isMove) replaced?.retire(this.#limits.moveGraceMs)
    else replaced?.cut('the peer opened a newer one')
    this.#cutSurplus(peerId)
    this.#unfinished.add(channel)
    void channel.finished.then(() => this.#unfinished.delete(channel))
    channel.closed.addEventListener('abort', () => this.#onClosed(channel), { once: true })
    this.#log.debug('A channel is open.', { peer: peerId, address: channel.remoteAddress, dialled: channel.dialled })
    this.#notify(this.#openListeners, channel)
    return channel
  }

  /** Oldest first. */
  #channelsOf(nodeId: NodeId): Http2Channel[] {
    return [...this.#unfinished].filter(({ peer }) => peer.nodeId === nodeId)
  }

  /** Makes room for one more channel of a peer: who moves again and again, as no honest peer does, loses what is left of the oldest. */
  #cutSurplus(nodeId: NodeId): void {
    const channels = this.#channelsOf(nodeId)
    const surplus = Math.max(0, channels.length + 1 - this.#limits.channelsPerPeerMax)
    for (const channel of channels.slice(0, surplus)) channel.cut('the peer has too many channels')
  }

  #onClosed(channel: Http2Channel): void {
    const peerId = channel.peer.nodeId
    if (this.#channels.get(peerId)?.channel === channel) this.#channels.delete(peerId)
    this.#log.debug('A channel is closed.', { peer: peerId, why: messageOf(channel.closed.reason) })
    // The listeners were told when it was taken out of use.
    if (!channel.isOutOfUse) this.#notify(this.#closeListeners, channel)
  }

  /** What is under way on it, or was sent before the other end knew, still arrives and is answered. */
  #takeOutOfUse(channel: Http2Channel): void {
    const peerId = channel.peer.nodeId
    if (this.#channels.get(peerId)?.channel !== channel) return
    this.#channels.delete(peerId)
    channel.retire(this.#limits.moveGraceMs)
    this.#notify(this.#closeListeners, channel)
  }

  readonly #onFrame = (channel: Http2Channel, kind: number, payload: Uint8Array): void => {
    if (kind === RELEASE_KIND) {
      this.#takeOutOfUse(channel)
      return
    }
    const handler = this.#handlers[kind]
    if (handler) this.#handle(handler, channel, payload)
    else if (!this.#early.keep(channel, kind, payload))
      this.#log.debug('Dropped a frame of a kind that nobody handles.', { kind, peer: channel.peer.nodeId })
  }

  #handle(handler: FrameHandler, channel: Http2Channel, payload: Uint8Array): void {
    try {
      handler(channel, payload)
    } catch (error) {
      this.#log.error('The handler of a frame failed.', { peer: channel.peer.nodeId, error })
    }
  }

  #notify(listeners: Set<(channel: PeerChannel) => void>, channel: PeerChannel): void {
    for (const listener of listeners) {
      try {
        listener(channel)
      } catch (error) {
        this.#log.error('A listener to channels failed.', { peer: channel.peer.nodeId, error })
      }
    }
  }

  #cutRevoked(): void {
    for (const channel of this.#unfinished) {
      if (this.#needs.revocations.isRevoked(channel.peerSerial)) channel.cut('its certificate has been revoked')
    }
  }

  untrusted(): PeerChannel[] {
    const wallMs = this.#clock.wallMs()
    return [...this.#channels.values()].flatMap(({ channel, verified: { issuer, notAfterMs, verifiedUnder } }) => {
      const isRevoked = issuer !== undefined && this.#needs.revocations.isRevoked(serialOf(issuer))
      const hasEnded = wallMs > notAfterMs && wallMs > (this.#needs.certifiedUntil?.(channel.peer.nodeId) ?? 0)
      return isRevoked || hasEnded || !this.#issuers.isTrusted(issuer, verifiedUnder) ? [channel] : []
    })
  }

  #dialId(): string {
    return formatDialId({ instance: this.#instance, count: this.#dialCount })
  }

  #stopped(): TransportError {
    return new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', `Node ${this.#nodeId} opens no channels: it is stopping.`)
  }

  #forgetWhenSettled<Key>(table: Map<Key, SharedTask<PeerChannel>>, key: Key, task: SharedTask<PeerChannel>): void {
    const forget = (): void => {
      if (table.get(key) === task) table.delete(key)
    }
    task.settled.then(forget, forget)
  }
}

function refuse({ stream }: StreamRequest, status: number, detail: string): void {
  if (stream.destroyed || stream.closed) return
  answerHttp2(stream, problem(status, 'Channel refused', detail))
  stream.close()
}

/** One error for all addresses: with their common code if they have one. */
function noAddress(whom: string, failures: readonly unknown[]): TransportError {
  const codes = new Set(failures.map(codeOf))
  const code: ErrorCode = (codes.size === 1 ? [...codes][0] : undefined) ?? 'P2P_TRANSPORT_UNREACHABLE'
  const reasons = failures.map(messageOf)
  const message = reasons.length === 1 ? (reasons[0] as string) : `No address of ${whom} works: ${reasons.join('; ')}`
  return new TransportError(code, message, { reasons }, { cause: failures[0] })
}
