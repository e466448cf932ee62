import { RpcError } from '../../base/errors.ts'
import { textOf } from '../calls/raw-json.ts'
import { ITEM_COST_BYTES, STREAM_CREDIT_BYTES, STREAM_ITEM_BYTES_MAX } from './link-limits.ts'
import { bytesItemMessage, jsonItemMessage } from './link-message.ts'

/** The link's side of a stream that is written here. */
export interface StreamSink {
  /** No other stream's items fill the link. */
  hasRoom(): boolean
  /** @throws {TransportError} */
  sendItem(message: Buffer, cost: number): void
}

/** Sends the items of a method that streams, as fast as its reader takes them: an item is asked for only when it can be sent. */
export class OutgoingStream {
  readonly #id: number
  readonly #method: string
  readonly #sink: StreamSink
  #credit = STREAM_CREDIT_BYTES
  #wake: { resolve: () => void; reject: (error: unknown) => void } | undefined
  #cancelled: unknown
  #giveUp: ((reason: unknown) => void) | undefined

  constructor(id: number, method: string, sink: StreamSink) {
    this.#id = id
    this.#method = method
    this.#sink = sink
  }

  grant(bytes: number): void {
    this.#credit += bytes
    this.roomMade()
  }

  /** Goes on if it waited for what is there now. */
  roomMade(): void {
    if (!this.#wake || !this.#maySend()) return
    this.#wake.resolve()
    this.#wake = undefined
  }

  /** Asks for no more items. */
  cancel(reason: unknown): void {
    this.#cancelled ??= reason
    this.#wake?.reject(reason)
    this.#wake = undefined
    this.#giveUp?.(reason)
  }

  /**
   * Resolves when every item has been sent.
   * @throws what the method threw, {TransportError}, the reason given to `cancel`; the method was told to stop
   */
  send(items: AsyncIterable<unknown>): Promise<void> {
    // Cancelled, it ends at once, even if the method never gives its next item.
    return new Promise((resolve, reject) => {
      this.#giveUp = reject
      this.#sendAll(items).then(resolve, reject)
    })
  }

  async #sendAll(items: AsyncIterable<unknown>): Promise<void> {
    const iterator = items[Symbol.asyncIterator]()
    let hasEnded = false
    try {
      for (;;) {
        if (this.#cancelled !== undefined) throw this.#cancelled
        if (!this.#maySend()) await this.#room()
        let next: IteratorResult<unknown>
        try {
          next = await iterator.next()
        } catch (error) {
          hasEnded = true
          throw error
        }
        if (next.done) {
          hasEnded = true
          return
        }
        if (this.#cancelled !== undefined) throw this.#cancelled
        this.#sendItem(next.value)
      }
    } finally {
      // Not waited for: a generator that hangs returns when it comes back to itself.
      if (!hasEnded) iterator.return?.()?.then(undefined, () => {})
    }
  }

  #maySend(): boolean {
    return this.#credit > 0 && this.#sink.hasRoom()
  }

  #room(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wake = { resolve, reject }
    })
  }

  #sendItem(item: unknown): void {
    let bytes: number
    let message: Buffer
    if (item instanceof Uint8Array) {
      bytes = item.length
      this.#checkSize(bytes)
      message = bytesItemMessage(this.#id, item)
    } else {
      const text = textOf(this.#method, item)
      bytes = Buffer.byteLength(text)
      this.#checkSize(bytes)
      message = jsonItemMessage(this.#id, text, bytes)
    }
    const cost = bytes + ITEM_COST_BYTES
    this.#credit -= cost
    this.#sink.sendItem(message, cost)
  }

  #checkSize(bytes: number): void {
    if (bytes <= STREAM_ITEM_BYTES_MAX) return
    const message = `${this.#method} yielded an item of ${bytes} bytes, ${STREAM_ITEM_BYTES_MAX} are allowed: yield smaller ones`
    throw new RpcError('P2P_RPC_INVALID_RESULT', message, { method: this.#method })
  }
}
