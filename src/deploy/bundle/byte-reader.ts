import { bundleError } from './bundle-error.ts'

/** Takes a stream of chunks apart in pieces of known length. Holds one chunk, or one piece, at a time. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /**
   * Exactly the next `length` bytes, as one piece.
   * @param entry what they belong to, for the error
   * @throws {DeployError} P2P_BUNDLE_DAMAGED when the stream ends before
   */
  async take(length: number, entry: string | undefined): Promise<Uint8Array> {
    const piece = new Uint8Array(length)
    let filled = 0
    for await (const part of this.stream(length, entry)) {
      piece.set(part, filled)
      filled += part.byteLength
    }
    return piece
  }

  /** The same, chunk by chunk. Must be read to its end. */
  async *stream(length: number, entry: string | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    let left = length
    while (left > 0) {
      if (await this.isAtEnd()) {
        throw bundleError('P2P_BUNDLE_DAMAGED', 'truncated', entry, 'is cut short. Fetch or pack it again.')
      }
      const part = this.#chunk.subarray(0, left)
      this.#chunk = this.#chunk.subarray(part.byteLength)
      left -= part.byteLength
      yield part
    }
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#chunk.byteLength === 0) {
      const next = await this.#source.next()
      if (next.done) return true
      this.#chunk = next.value
    }
    return false
  }

  /** Ends the stream before its end. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
