import { formatBytes } from '../../base/bytes.ts'
import { messageOf, TransportError } from '../../base/errors.ts'
import { encodeFrames, FRAME_HEADER_BYTES, type Frame, FrameParser } from '../../base/frames.ts'
import type { LinkChannel } from '../link/link-channel.ts'

/** As between nodes, so that whatever arrives here can be passed on. */
export const FRAME_BYTES_MAX = 8 * 1024 * 1024
/** So much does not wait for the end of what runs: the other end works on it meanwhile, instead of after this one. */
const WRITE_BYTES = 4 * 1024
const SEND_QUEUE_BYTES_MAX = 32 * 1024 * 1024
/** Frame kinds: a message of the call link, or an order or report of the host (JSON). */
const CALL = 1
const CONTROL = 2

/** What carries the bytes to the other end: a socket, or the port of a thread. */
export interface BytePipe {
  /** Written and not yet taken by the other end. */
  readonly backlogBytes: number
  /** Owns `bytes` from here on. */
  write(bytes: Buffer): void
  /** Ends it after what was written. */
  close(): void
}

export interface HostChannelNeeds {
  label: string
  pipe: BytePipe
  /** The payload is only valid during the call. */
  onCall(payload: Uint8Array): void
  onControl(message: unknown): void
}

/**
 * The channel between a node and one of its services' hosts: calls, and beside them what the two tell each other. Messages of
 * one callback and the promises it settles leave together, in a few writes.
 */
export class HostChannel implements LinkChannel {
  readonly label: string
  readonly #pipe: BytePipe
  readonly #parser: FrameParser
  readonly #closed = new AbortController()
  #queue: Frame[] = []
  #queueBytes = 0

  constructor(needs: HostChannelNeeds) {
    this.label = needs.label
    this.#pipe = needs.pipe
    this.#parser = new FrameParser(FRAME_BYTES_MAX, (kind, payload) => {
      if (this.#closed.signal.aborted) return
      if (kind === CALL) needs.onCall(payload)
      else if (kind === CONTROL) needs.onControl(JSON.parse(Buffer.from(payload).toString('utf8')))
    })
  }

  get closed(): AbortSignal {
    return this.#closed.signal
  }

  send(payload: Uint8Array): void {
    this.#enqueue(CALL, payload)
  }

  /** @throws as `send` */
  sendControl(message: object): void {
    this.#enqueue(CONTROL, Buffer.from(JSON.stringify(message)))
  }

  close(reason = 'this end closed it'): void {
    if (this.#closed.signal.aborted) return
    this.#flush()
    this.ended(reason)
    this.#pipe.close()
  }

  /** Takes what came over the pipe. What is no frame ends the channel. */
  receive(bytes: Buffer): void {
    try {
      this.#parser.push(bytes)
    } catch (error) {
      this.close(messageOf(error))
    }
  }

  /** The pipe is closed. */
  ended(reason: string): void {
    if (this.#closed.signal.aborted) return
    const message = `The link to ${this.label} is closed: ${reason}`
    this.#closed.abort(new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', message, { peer: this.label, reason }))
  }

  #enqueue(kind: number, payload: Uint8Array): void {
    if (this.#closed.signal.aborted) throw this.#closed.signal.reason
    if (payload.length > FRAME_BYTES_MAX) throw this.#tooLarge(payload.length)
    const bytes = FRAME_HEADER_BYTES + payload.length
    const queued = this.#queueBytes + this.#pipe.backlogBytes
    if (queued + bytes > SEND_QUEUE_BYTES_MAX) throw this.#overloaded(queued)
    // A link has gathered what it sends by now: until the end of the turn nothing more would come.
    if (this.#queueBytes === 0) queueMicrotask(this.#flush)
    this.#queue.push({ kind, payload })
    this.#queueBytes += bytes
    if (this.#queueBytes >= WRITE_BYTES) this.#flush()
  }

  readonly #flush = (): void => {
    if (this.#queueBytes === 0) return
    const bytes = encodeFrames(this.#queue, this.#queueBytes)
    this.#queue = []
    this.#queueBytes = 0
    if (!this.#closed.signal.aborted) this.#pipe.write(bytes)
  }

  #tooLarge(bytes: number): TransportError {
    const message = `A message of ${formatBytes(bytes)} to ${this.label} is larger than ${formatBytes(FRAME_BYTES_MAX)}. Send it in parts, or as a stream.`
    return new TransportError('P2P_TRANSPORT_TOO_LARGE', message, { bytes, max: FRAME_BYTES_MAX })
  }

  #overloaded(queued: number): TransportError {
    const message = `${this.label} reads too slowly: ${formatBytes(queued)} wait for it already. Send less, or try later.`
    return new TransportError('P2P_TRANSPORT_OVERLOADED', message, { peer: this.label, queued })
  }
}
