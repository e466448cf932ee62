import { constants, deflateRawSync } from 'node:zlib'

/** Shorter texts would hardly become shorter. */
const DEFLATE_BYTES_MIN = 512
/** The lightest: log lines become a tenth at it, and hardly less at any other. */
const DEFLATE = { level: constants.Z_BEST_SPEED, finishFlush: constants.Z_SYNC_FLUSH } as const
/** What a flush ends with, and a message leaves out (RFC 7692 section 7.2.1). */
const FLUSH_TAIL_BYTES = 4
/** First byte of a whole text message in one frame, and the bit that says it is compressed. */
const WHOLE_TEXT = 0x81
const COMPRESSED = 0x40

/**
 * A text message of a WebSocket server as its frame on the wire (RFC 6455 section 5.2, RFC 7692), made once for all sockets it
 * goes to. Compressed it stands for itself: sockets agree on `server_no_context_takeover`.
 */
export class TextMessage {
  readonly #text: Buffer
  #plain: Buffer | undefined
  #compressed: Buffer | undefined

  constructor(text: string) {
    this.#text = Buffer.from(text)
  }

  /** @param isCompressing the socket has agreed on compression */
  frame(isCompressing: boolean): Buffer {
    if (!isCompressing || !this.#isLong) return (this.#plain ??= frame(WHOLE_TEXT, this.#text))
    return (this.#compressed ??= frame(WHOLE_TEXT | COMPRESSED, withoutTail(deflateRawSync(this.#text, DEFLATE))))
  }

  get #isLong(): boolean {
    return this.#text.byteLength >= DEFLATE_BYTES_MIN
  }
}

function withoutTail(flushed: Buffer): Buffer {
  return flushed.subarray(0, flushed.byteLength - FLUSH_TAIL_BYTES)
}

/** Of a server: not masked. */
function frame(first: number, payload: Buffer): Buffer {
  const { byteLength } = payload
  const headerBytes = byteLength < 126 ? 2 : byteLength < 65_536 ? 4 : 10
  const bytes = Buffer.allocUnsafe(headerBytes + byteLength)
  bytes[0] = first
  if (headerBytes === 2) bytes[1] = byteLength
  else if (headerBytes === 4) {
    bytes[1] = 126
    bytes.writeUInt16BE(byteLength, 2)
  } else {
    bytes[1] = 127
    bytes.writeBigUInt64BE(BigInt(byteLength), 2)
  }
  payload.copy(bytes, headerBytes)
  return bytes
}
