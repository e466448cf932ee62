import { Buffer } from 'node:buffer'

/**
 * Reads what a {@link ByteWriter} wrote. No length is trusted: each read is checked against what is there.
 * @throws {RangeError} from every method: the bytes end before the value does, or a number is not a safe integer
 */
export class ByteReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get offset(): number {
    return this.#offset
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#advance(1))
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#advance(2))
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#advance(4))
  }

  u64(): number {
    const value = this.u32() * 2 ** 32 + this.u32()
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`)
    return value
  }

  /** A copy of the next `length` bytes. */
  raw(length: number): Uint8Array {
    const start = this.#advance(length)
    return new Uint8Array(this.#bytes.subarray(start, start + length))
  }

  bytes(): Uint8Array {
    return this.raw(this.u32())
  }

  text(): string {
    const length = this.u16()
    const start = this.#advance(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  #advance(count: number): number {
    const start = this.#offset
    if (count > this.remaining) throw new RangeError(`${count} bytes wanted at ${start}, ${this.remaining} left`)
    this.#offset += count
    return start
  }
}
