import { Buffer } from 'node:buffer'
import { assert } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import { addressOf, scopePrefix } from './address.ts'
import { type Cache, type CacheStats, type JsonValue, VALUE_BYTES_MAX } from './cache.ts'
import { SingleFlight } from './single-flight.ts'
import type { Store } from './store.ts'

/** The cache of scopes, keys and JSON values over any store of texts. */
export class StoreCache implements Cache, Component {
  readonly name = 'cache'
  readonly #store: Store
  readonly #flights = new SingleFlight()
  #hits = 0
  #misses = 0

  constructor(store: Store) {
    this.#store = store
  }

  start(): Promise<void> {
    return this.#store.start()
  }

  stop(): Promise<void> {
    return this.#store.stop()
  }

  async get(scope: string, key: string): Promise<JsonValue | undefined> {
    const text = await this.#read(addressOf(scope, key))
    return text === undefined ? undefined : (JSON.parse(text) as JsonValue)
  }

  async set(scope: string, key: string, value: JsonValue, ttlMs: number): Promise<void> {
    const text = JSON.stringify(value)
    const address = addressOf(scope, key)
    this.#flights.forget(address)
    await this.#write(address, text, ttlMs)
  }

  async delete(scope: string, key: string): Promise<void> {
    const address = addressOf(scope, key)
    this.#flights.forget(address)
    await this.#store.remove(address)
  }

  async clear(scope: string): Promise<void> {
    const prefix = scopePrefix(scope)
    this.#flights.forgetAll(prefix)
    await this.#store.removeAll(prefix)
  }

  async getOrCompute<T>(
    scope: string,
    key: string,
    ttlMs: number,
    compute: (signal: AbortSignal) => Promise<T> | T,
    signal?: AbortSignal,
  ): Promise<T> {
    const address = addressOf(scope, key)
    const text = await this.#flights.join(
      address,
      async (flightSignal, isCurrent) => {
        const known = await this.#read(address)
        if (known !== undefined) return known
        const computed = JSON.stringify(await compute(flightSignal)) as string | undefined
        if (computed !== undefined && isCurrent()) await this.#write(address, computed, ttlMs)
        return computed
      },
      signal,
    )
    return (text === undefined ? undefined : JSON.parse(text)) as T
  }

  stats(): CacheStats {
    const redis = this.#store.server()
    const counts = { hits: this.#hits, misses: this.#misses, ...this.#store.size() }
    return { kind: this.#store.kind, ...counts, ...(redis && { redis }) }
  }

  async #read(address: string): Promise<string | undefined> {
    const stored = await this.#store.read(address)
    if (stored) this.#hits++
    else this.#misses++
    return stored?.text
  }

  async #write(address: string, text: string, ttlMs: number): Promise<void> {
    assert(ttlMs > 0 && Number.isFinite(ttlMs), `a cache entry lives for a finite time above 0 ms, not ${ttlMs}`)
    if (Buffer.byteLength(text) > VALUE_BYTES_MAX) await this.#store.remove(address)
    else await this.#store.write(address, text, ttlMs)
  }
}
