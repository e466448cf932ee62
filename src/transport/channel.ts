import type { Http2Session, Http2Stream } from 'node:http2'
import { formatBytes } from '../base/bytes.ts'
import { messageOf, TransportError } from '../base/errors.ts'
import type { NodeIdentity } from '../base/identity.ts'
import { FRAME_KINDS, type FrameKind, type PeerChannel } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import { encodeFrames, FRAME_HEADER_BYTES, type Frame, FrameParser } from '../base/frames.ts'
import { type SessionPatience, SessionProbe } from './session-probe.ts'
import type { TurnShare } from './turn-share.ts'

export interface ChannelLimits {
  /** Payload of one frame. */
  frameBytesMax: number
  /** Frames not yet taken by the peer; beyond it `send` throws P2P_TRANSPORT_OVERLOADED. */
  sendQueueBytesMax: number
  /** When a silent channel is taken for dead. */
  patience: SessionPatience
  /** How long a closing channel may take to hand over what was sent. */
  closeGraceMs: number
}

export interface ChannelParts {
  stream: Http2Stream
  session: Http2Session
  peer: NodeIdentity
  peerSerial: string
  remoteAddress: string
  dialled: boolean
  clock: Clock
  limits: ChannelLimits
  /** Of the peer, for all its channels together. */
  share: TurnShare
  /** Called for every frame; must not throw. */
  onFrame: (channel: Http2Channel, kind: number, payload: Uint8Array) => void
}

/**
 * Flow-control windows (RFC 9113 section 5.2) of a channel's stream and session. With the default of 64 KiB a stream
 * carries at most 64 KiB per round trip: 1.3 MB/s at 50 ms. 4 MiB fill 1 Gbit/s at 32 ms.
 */
export const WINDOW_BYTES = 4 * 1024 * 1024

/** Kind of the frame, without payload, that says: this channel is out of use, I send nothing new on it. */
export const RELEASE_KIND = 0
const NO_PAYLOAD = new Uint8Array(0)

/** A peer channel on one stream of an HTTP/2 session that carries nothing else. */
export class Http2Channel implements PeerChannel {
  readonly peer: NodeIdentity
  readonly peerSerial: string
  readonly remoteAddress: string
  readonly dialled: boolean
  /** Resolves when the session and its socket are closed too. */
  readonly finished: Promise<void>
  readonly share: TurnShare
  readonly #stream: Http2Stream
  readonly #session: Http2Session
  readonly #clock: Clock
  readonly #limits: ChannelLimits
  readonly #probe: SessionProbe
  readonly #closed = new AbortController()
  #hasCarriedCalls = false
  #isOutOfUse = false
  #queue: Frame[] = []
  #queueBytes = 0
  /** A call or an answer was sent after what came last. */
  #isAnswerAwaited = false

  constructor(parts: ChannelParts) {
    this.peer = parts.peer
    this.peerSerial = parts.peerSerial
    this.remoteAddress = parts.remoteAddress
    this.dialled = parts.dialled
    this.share = parts.share
    this.#stream = parts.stream
    this.#session = parts.session
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#probe = new SessionProbe(parts.session, parts.limits.patience)
    this.#session.setLocalWindowSize(WINDOW_BYTES)
    this.finished = new Promise((resolve) => {
      if (parts.session.destroyed) resolve()
      else parts.session.once('close', resolve)
    })
    this.#receive(parts)
  }

  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Whether anything but gossip has gone over it, in either direction. */
  get hasCarriedCalls(): boolean {
    return this.#hasCarriedCalls
  }

  send(kind: FrameKind, payload: Uint8Array): void {
    if (this.closed.aborted) throw this.closed.reason
    if (payload.length > this.#limits.frameBytesMax) throw this.#tooLarge(payload.length)
    const bytes = FRAME_HEADER_BYTES + payload.length
    const queued = this.#queueBytes + this.#stream.writableLength
    if (queued + bytes > this.#limits.sendQueueBytesMax) throw this.#overloaded(queued)
    this.#noteUse(FRAME_KINDS[kind])
    this.#enqueue({ kind: FRAME_KINDS[kind], payload }, bytes)
    // Membership sees for itself who does not answer, and half of what it sends is answers: to none of those comes another.
    if (kind !== 'gossip') this.#isAnswerAwaited = true
  }

  #enqueue(frame: Frame, bytes: number): void {
    // Frames sent by one callback and the promises it settles are written together. node:http2 itself gathers what is
    // written during one turn of the event loop, so that waiting for its end here (setImmediate) only adds a turn:
    // measured, a quarter fewer frames per second at 64 in flight and a longer median.
    if (this.#queueBytes === 0) queueMicrotask(this.#flush)
    this.#queue.push(frame)
    this.#queueBytes += bytes
  }

  close(reason = 'this node closed it'): void {
    if (!this.#markClosed(reason)) return
    // What was sent before still goes out, END_STREAM behind it, and then GOAWAY.
    this.#stream.end()
    const cutting = this.#clock.after(this.#limits.closeGraceMs, () => this.#session.destroy())
    this.#session.once('close', () => cutting.cancel())
    this.#session.close()
  }

  /** Ends it without waiting for anything. */
  cut(reason: string): void {
    this.#markClosed(reason)
    this.#session.destroy()
  }

  /** Call once per check period; cuts the channel of a peer that has gone silent. */
  checkAlive(): void {
    if (this.closed.aborted) return
    if (!this.#probe.check(this.#isAnswerAwaited)) this.cut('the peer does not answer any more')
    // From here on the answer to the PING tells.
    this.#isAnswerAwaited = false
  }

  /** Whether it was retired. */
  get isOutOfUse(): boolean {
    return this.#isOutOfUse
  }

  /** Nothing new is to be sent on it: it stays for the answers that are still to come, and is closed after `graceMs`. */
  retire(graceMs: number): void {
    this.#isOutOfUse = true
    const closing = this.#clock.after(graceMs, () => this.close('it was out of use'))
    this.closed.addEventListener('abort', () => closing.cancel(), { once: true })
  }

  /** Tells the peer that this side has taken it out of use; whoever gets that says nothing back. */
  announceRelease(): void {
    if (!this.closed.aborted) this.#enqueue({ kind: RELEASE_KIND, payload: NO_PAYLOAD }, FRAME_HEADER_BYTES)
  }

  #receive({ stream, limits, onFrame }: ChannelParts): void {
    const parser = new FrameParser(limits.frameBytesMax, (kind, payload) => {
      if (this.closed.aborted) return
      this.#noteUse(kind)
      onFrame(this, kind, payload)
    })
    stream.on('data', (chunk: Buffer) => {
      this.#isAnswerAwaited = false
      try {
        parser.push(chunk)
      } catch (error) {
        this.cut(messageOf(error))
      }
      if (this.share.take(chunk.length)) return
      stream.pause()
      this.share.whenRenewed(() => stream.resume())
    })
    stream.once('end', () => this.close('the peer closed it'))
    stream.on('error', (error) => this.cut(messageOf(error)))
    stream.once('close', () => this.close('the connection ended'))
  }

  readonly #flush = (): void => {
    if (this.#queueBytes === 0) return
    const bytes = encodeFrames(this.#queue, this.#queueBytes)
    this.#queue = []
    this.#queueBytes = 0
    if (this.#stream.destroyed) return
    this.#stream.write(bytes)
  }

  #noteUse(kind: number): void {
    if (kind !== FRAME_KINDS.gossip && kind !== RELEASE_KIND) this.#hasCarriedCalls = true
  }

  /** @returns false when it was closed before */
  #markClosed(reason: string): boolean {
    if (this.closed.aborted) return false
    this.#flush()
    const message = `The channel to ${this.peer.nodeId} at ${this.remoteAddress} is closed: ${reason}.`
    const details = { peer: this.peer.nodeId, address: this.remoteAddress }
    this.#closed.abort(new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', message, details))
    return true
  }

  #tooLarge(bytes: number): TransportError {
    const max = this.#limits.frameBytesMax
    const message = `A frame of ${formatBytes(bytes)} to ${this.peer.nodeId} is larger than ${formatBytes(max)}.`
    return new TransportError('P2P_TRANSPORT_TOO_LARGE', message, { bytes, max })
  }

  #overloaded(queued: number): TransportError {
    const message = `${this.peer.nodeId} reads too slowly: ${formatBytes(queued)} wait for it already. Send less, or try later.`
    return new TransportError('P2P_TRANSPORT_OVERLOADED', message, { peer: this.peer.nodeId, queued })
  }
}
