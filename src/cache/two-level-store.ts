import type { MemoryStore } from './memory-store.ts'
import type { Store, StoredText } from './store.ts'

/** Longest that a copy is used without asking Redis again, whatever becomes of its invalidations. */
const COPY_MS_MAX = 60_000

/** What the second level must say besides keeping texts. */
export interface SharedStore extends Store {
  readonly isReady: boolean
}

/** Told that a text read before may have changed: one address, or with undefined any of them. */
export type OnInvalidate = (address: string | undefined) => void

/**
 * Memory in front of Redis. While Redis is there, memory holds only copies of what was read from it: Redis remembers
 * who has read what and reports every change (server-assisted client-side caching), so that copies go when another
 * node writes. While Redis is away, memory holds what this node knew and computes.
 */
export class TwoLevelStore implements Store {
  readonly kind = 'two-level'
  readonly #memory: MemoryStore
  readonly #shared: SharedStore
  /** Reads under way. An invalidation ends a read's claim to be kept: its answer may be older than the change. */
  readonly #reads = new Map<string, symbol>()

  constructor(memory: MemoryStore, createShared: (onInvalidate: OnInvalidate) => SharedStore) {
    this.#memory = memory
    this.#shared = createShared((address) => this.#forget(address))
  }

  start(): Promise<void> {
    return this.#shared.start()
  }

  async stop(): Promise<void> {
    await this.#shared.stop()
    await this.#memory.stop()
  }

  async read(address: string): Promise<StoredText | undefined> {
    const copy = this.#memory.read(address)
    if (copy || !this.#shared.isReady) return copy
    const claim = Symbol(address)
    this.#reads.set(address, claim)
    const stored = await this.#shared.read(address)
    if (this.#reads.get(address) !== claim) return stored
    this.#reads.delete(address)
    if (stored) this.#memory.write(address, stored.text, Math.min(stored.ttlMs, COPY_MS_MAX))
    return stored
  }

  async write(address: string, text: string, ttlMs: number): Promise<void> {
    this.#forget(address)
    await this.#shared.write(address, text, ttlMs)
    if (!this.#shared.isReady) this.#memory.write(address, text, ttlMs)
  }

  async remove(address: string): Promise<void> {
    this.#forget(address)
    await this.#shared.remove(address)
  }

  async removeAll(prefix: string): Promise<void> {
    this.#memory.removeAll(prefix)
    this.#reads.clear()
    await this.#shared.removeAll(prefix)
  }

  size(): { entries: number; bytes: number } {
    return this.#memory.size()
  }

  server(): { server: string; isReady: boolean } | undefined {
    return this.#shared.server()
  }

  #forget(address: string | undefined): void {
    if (address === undefined) {
      this.#reads.clear()
      this.#memory.removeAll('')
    } else {
      this.#reads.delete(address)
      this.#memory.remove(address)
    }
  }
}
