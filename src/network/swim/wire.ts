import { Buffer } from 'node:buffer'

/** Thrown by {@link WireReader}; `decodeFrame` catches it and counts the frame as malformed. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** Appends unsigned LEB128 numbers, length-prefixed strings and bytes to a growing buffer. */
export class WireWriter {
  #bytes: Uint8Array
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  /** A whole number in [0, 2^53). */
  number(value: number): void {
    this.#reserve(8)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  /** Bytes without a length. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  bytes(bytes: Uint8Array): void {
    this.number(bytes.length)
    this.raw(bytes)
  }

  string(text: string): void {
    this.bytes(Buffer.from(text, 'utf8'))
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

/** Reads what {@link WireWriter} wrote. Every length is checked before anything is made of it. */
export class WireReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length
  }

  byte(): number {
    const value = this.#bytes[this.#offset++]
    if (value === undefined) throw new WireError('ends early')
    return value
  }

  number(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) throw new WireError('number too large')
      if (byte < 0x80) return value
      if (scale >= 2 ** 49) throw new WireError('number too long')
    }
  }

  /** A view into what is read, not a copy. */
  bytes(bytesMax: number): Uint8Array {
    const length = this.number()
    if (length > bytesMax) throw new WireError('field too long')
    return this.raw(length)
  }

  /** Bytes without a length, as {@link bytes}. */
  raw(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#offset) throw new WireError('ends early')
    const start = this.#offset
    this.#offset += length
    return this.#bytes.subarray(start, this.#offset)
  }

  string(bytesMax: number): string {
    const bytes = this.bytes(bytesMax)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  }

  rest(): Uint8Array {
    const start = this.#offset
    this.#offset = this.#bytes.length
    return this.#bytes.subarray(start)
  }
}
