import { Buffer } from 'node:buffer'

/** Builds a binary record: big-endian numbers, length-prefixed bytes and texts. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(512)
  #length = 0

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    this.#reserve(1)
    this.#length = this.#bytes.writeUInt8(value, this.#length)
    return this
  }

  u16(value: number): this {
    this.#reserve(2)
    this.#length = this.#bytes.writeUInt16BE(value, this.#length)
    return this
  }

  u32(value: number): this {
    this.#reserve(4)
    this.#length = this.#bytes.writeUInt32BE(value, this.#length)
    return this
  }

  /** A safe integer in eight bytes. */
  u64(value: number): this {
    this.u32(Math.floor(value / 2 ** 32))
    return this.u32(value % 2 ** 32)
  }

  /** The bytes as they are, without a length. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.byteLength)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.byteLength
    return this
  }

  /** The bytes after their length in four bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.byteLength).raw(bytes)
  }

  /** UTF-8 after its length in two bytes. */
  text(text: string): this {
    const length = Buffer.byteLength(text)
    this.u16(length)
    this.#reserve(length)
    this.#length += this.#bytes.write(text, this.#length, 'utf8')
    return this
  }

  /** What was written so far; the writer must not be used afterwards. */
  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }
}
