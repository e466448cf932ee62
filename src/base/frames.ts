import { Buffer } from 'node:buffer'
import { formatBytes } from './bytes.ts'
import { TransportError } from './errors.ts'

/** A frame on the wire: payload length (u32, big endian), kind (u8), payload. */
export const FRAME_HEADER_BYTES = 5

export interface Frame {
  /** One byte. */
  kind: number
  payload: Uint8Array
}

/** Frames back to back in one buffer. */
export function encodeFrames(frames: readonly Frame[], totalBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(totalBytes)
  let at = 0
  for (const { kind, payload } of frames) {
    bytes.writeUInt32BE(payload.length, at)
    bytes[at + 4] = kind
    bytes.set(payload, at + FRAME_HEADER_BYTES)
    at += FRAME_HEADER_BYTES + payload.length
  }
  return bytes
}

const NO_BYTES = Buffer.alloc(0)

/**
 * Cuts a byte stream into frames. A frame that lies in one chunk is handed on as a view of it; only one that spans
 * chunks is copied, once.
 */
export class FrameParser {
  readonly #frameBytesMax: number
  readonly #onFrame: (kind: number, payload: Uint8Array) => void
  /** A header of which the first bytes came at the end of a chunk. */
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  #headerFilled = 0
  /** A payload that did not come whole. */
  #payload: Buffer | undefined
  #payloadFilled = 0
  #kind = 0

  /** @param onFrame the payload is a view of the chunk, or memory of its own; neither is written to again */
  constructor(frameBytesMax: number, onFrame: (kind: number, payload: Uint8Array) => void) {
    this.#frameBytesMax = frameBytesMax
    this.#onFrame = onFrame
  }

  /**
   * Takes the next bytes, calls back for each frame that is now complete.
   * @throws {TransportError} P2P_TRANSPORT_TOO_LARGE: a frame says it is larger than allowed; the stream is then useless
   */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#payload) at += this.#continuePayload(this.#payload, chunk, at)
      else if (this.#headerFilled > 0 || chunk.length - at < FRAME_HEADER_BYTES) at += this.#continueHeader(chunk, at)
      else at += this.#takeFrame(chunk, at)
    }
  }

  #takeFrame(chunk: Buffer, at: number): number {
    const length = this.#checked(chunk.readUInt32BE(at))
    const kind = chunk[at + 4] as number
    const begin = at + FRAME_HEADER_BYTES
    if (chunk.length - begin < length) {
      this.#beginPayload(length, kind)
      return FRAME_HEADER_BYTES
    }
    this.#onFrame(kind, chunk.subarray(begin, begin + length))
    return FRAME_HEADER_BYTES + length
  }

  #continueHeader(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#header, this.#headerFilled, at)
    this.#headerFilled += taken
    if (this.#headerFilled < FRAME_HEADER_BYTES) return taken
    this.#headerFilled = 0
    const length = this.#checked(this.#header.readUInt32BE(0))
    const kind = this.#header[4] as number
    if (length === 0) this.#onFrame(kind, NO_BYTES)
    else this.#beginPayload(length, kind)
    return taken
  }

  /** The length is the sender's claim, capped above: the memory is set aside once instead of growing chunk by chunk. */
  #beginPayload(length: number, kind: number): void {
    this.#payload = Buffer.allocUnsafe(length)
    this.#payloadFilled = 0
    this.#kind = kind
  }

  #continuePayload(payload: Buffer, chunk: Buffer, at: number): number {
    const taken = chunk.copy(payload, this.#payloadFilled, at)
    this.#payloadFilled += taken
    if (this.#payloadFilled === payload.length) {
      this.#payload = undefined
      this.#onFrame(this.#kind, payload)
    }
    return taken
  }

  #checked(length: number): number {
    if (length <= this.#frameBytesMax) return length
    const message = `A frame of ${formatBytes(length)} was announced; at most ${formatBytes(this.#frameBytesMax)} are allowed.`
    throw new TransportError('P2P_TRANSPORT_TOO_LARGE', message, { length, frameBytesMax: this.#frameBytesMax })
  }
}
