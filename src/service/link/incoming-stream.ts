import type { RawJson } from '../calls/raw-json.ts'

export type StreamItem = RawJson | Uint8Array

/** The link's side of a stream that is read here. */
export interface StreamSource {
  /** The reader has taken items that cost this much. */
  taken(cost: number): void
  /** The reader wants no more. */
  abandon(): void
}

interface Reader {
  resolve: (result: IteratorResult<StreamItem, undefined>) => void
  reject: (error: unknown) => void
}

/** Items below this place in the array are gone; it is cut when they are many. */
const GONE_MAX = 1_024

/** The items of a call that streams, as they come from the other end of a link; what waits here unread is bounded by the credit given. */
export class IncomingStream implements AsyncIterableIterator<StreamItem, undefined> {
  readonly #source: StreamSource
  readonly #readers: Reader[] = []
  #items: { item: StreamItem; cost: number }[] = []
  #first = 0
  #unread = 0
  #end: { error?: unknown } | undefined

  constructor(source: StreamSource) {
    this.#source = source
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Cost of what waits to be read. */
  get unread(): number {
    return this.#unread
  }

  push(item: StreamItem, cost: number): void {
    if (this.#end) return
    const reader = this.#readers.shift()
    if (!reader) {
      this.#items.push({ item, cost })
      this.#unread += cost
      return
    }
    reader.resolve({ done: false, value: item })
    this.#source.taken(cost)
  }

  /** The items that came before are still given out. */
  finish(): void {
    this.#close({})
  }

  /** The failure comes behind the items that came before it. */
  fail(error: unknown): void {
    this.#close({ error })
  }

  next(): Promise<IteratorResult<StreamItem, undefined>> {
    const waiting = this.#items[this.#first]
    if (waiting) {
      this.#forgetFirst()
      this.#unread -= waiting.cost
      this.#source.taken(waiting.cost)
      return Promise.resolve({ done: false, value: waiting.item })
    }
    if (this.#end) return this.#ended(this.#end)
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<StreamItem, undefined>> {
    const hasEnded = this.#end !== undefined
    this.#items = []
    this.#first = 0
    this.#unread = 0
    this.#close({})
    if (!hasEnded) this.#source.abandon()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** A failure is told once; after it the stream is at its end. */
  #ended(end: { error?: unknown }): Promise<IteratorResult<StreamItem, undefined>> {
    if (!('error' in end)) return Promise.resolve({ done: true, value: undefined })
    this.#end = {}
    return Promise.reject(end.error)
  }

  #forgetFirst(): void {
    ;(this.#items as unknown[])[this.#first++] = undefined
    if (this.#first === this.#items.length || this.#first > GONE_MAX) {
      this.#items.splice(0, this.#first)
      this.#first = 0
    }
  }

  #close(end: { error?: unknown }): void {
    if (this.#end) return
    this.#end = end
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if ('error' in this.#end) {
        reject(this.#end.error)
        this.#end = {}
      } else resolve({ done: true, value: undefined })
    }
  }
}
