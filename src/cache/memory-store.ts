import { Buffer } from 'node:buffer'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../base/time.ts'
import type { Store, StoredText } from './store.ts'

export interface MemoryStoreOptions {
  entriesMax: number
  bytesMax: number
}

/** Texts in this process, bounded in number and bytes; the least recently used goes first. */
export class MemoryStore implements Store {
  readonly kind = 'memory'
  readonly #entries: LRUCache<string, string>

  constructor(clock: Clock, options: MemoryStoreOptions) {
    this.#entries = new LRUCache({
      max: options.entriesMax,
      maxSize: options.bytesMax,
      sizeCalculation: (text, address) => Buffer.byteLength(text) + address.length,
      perf: { now: () => clock.nowMs() },
      // 0: ask the clock each time; otherwise lru-cache keeps the time for a moment, with a timer of its own.
      ttlResolution: 0,
    })
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.#entries.clear()
  }

  read(address: string): StoredText | undefined {
    const text = this.#entries.get(address)
    return text === undefined ? undefined : { text, ttlMs: this.#entries.getRemainingTTL(address) }
  }

  write(address: string, text: string, ttlMs: number): void {
    this.#entries.set(address, text, { ttl: Math.ceil(ttlMs) })
  }

  remove(address: string): void {
    this.#entries.delete(address)
  }

  removeAll(prefix: string): void {
    const addresses = [...this.#entries.keys()].filter((address) => address.startsWith(prefix))
    for (const address of addresses) this.#entries.delete(address)
  }

  size(): { entries: number; bytes: number } {
    this.#entries.purgeStale()
    return { entries: this.#entries.size, bytes: this.#entries.calculatedSize }
  }

  server(): undefined {
    return undefined
  }
}
