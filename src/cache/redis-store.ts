import { Buffer } from 'node:buffer'
import { messageOf } from '../base/errors.ts'
import { ADDRESS_PREFIX } from './address.ts'
import { VALUE_BYTES_MAX } from './cache.ts'
import { isRefusal, type RedisClient } from './redis-client.ts'
import { RedisLink, type RedisLinkNeeds, type RunOnRedis } from './redis-link.ts'
import type { StoredText } from './store.ts'
import type { OnInvalidate, SharedStore } from './two-level-store.ts'

/** Removals that Redis is owed; instead of more, all that P2P Core keeps there is removed. */
const DEBTS_MAX = 10_000
const REMOVED_AT_ONCE_MAX = 500

/**
 * Texts in Redis, shared by all nodes. While Redis is away nothing is known, and what could not be written or
 * removed is noted as a debt: removed when Redis is back, before anything is read there again. Debts die with
 * the process; what they concern then lasts until its own time is over.
 */
export class RedisStore implements SharedStore {
  readonly kind = 'redis'
  readonly #needs: RedisLinkNeeds
  readonly #link: RedisLink
  /** Out of date in Redis: single addresses, and all addresses with a prefix. */
  readonly #owedAddresses = new Set<string>()
  readonly #owedPrefixes = new Set<string>()
  #isRefusalLogged = false

  /** @throws {CacheError} P2P_CACHE_URL_INVALID */
  constructor(needs: RedisLinkNeeds, redisUrl: string, onInvalidate: OnInvalidate = () => {}) {
    this.#needs = needs
    this.#link = new RedisLink(needs, redisUrl, {
      onInvalidate,
      hasDebts: () => this.#owedAddresses.size + this.#owedPrefixes.size > 0,
      payDebts: (run) => this.#payDebts(run),
    })
  }

  get isReady(): boolean {
    return this.#link.isReady
  }

  start(): Promise<void> {
    return this.#link.start()
  }

  stop(): Promise<void> {
    return this.#link.stop()
  }

  async read(address: string): Promise<StoredText | undefined> {
    try {
      return await this.#link.run((client) => readText(client, address))
    } catch {
      return undefined
    }
  }

  async write(address: string, text: string, ttlMs: number): Promise<void> {
    try {
      await this.#link.run((client) => this.#writeOrRemove(client, address, text, ttlMs))
    } catch {
      this.#owe(this.#owedAddresses, address)
    }
  }

  async remove(address: string): Promise<void> {
    try {
      await this.#link.run((client) => client.unlink(address))
    } catch {
      this.#owe(this.#owedAddresses, address)
    }
  }

  async removeAll(prefix: string): Promise<void> {
    try {
      await removeScanned(this.#link.run, prefix)
    } catch {
      this.#owe(this.#owedPrefixes, prefix)
    }
  }

  size(): { entries: number; bytes: number } {
    return { entries: 0, bytes: 0 }
  }

  server(): { server: string; isReady: boolean } {
    return { server: this.#link.server, isReady: this.#link.isReady }
  }

  /** A Redis that is full still removes: then it has no value, which is better than an old one. */
  async #writeOrRemove(client: RedisClient, address: string, text: string, ttlMs: number): Promise<void> {
    try {
      await client.set(address, text, { expiration: { type: 'PX', value: Math.ceil(ttlMs) } })
      this.#isRefusalLogged = false
    } catch (error) {
      if (!(await isRefusal(error))) throw error
      await client.unlink(address)
      this.#sayRefused(error)
    }
  }

  #sayRefused(error: unknown): void {
    if (this.#isRefusalLogged) return
    this.#isRefusalLogged = true
    this.#needs.log.warning('Redis refuses to keep values', { server: this.#link.server, error: messageOf(error) })
  }

  #owe(debts: Set<string>, item: string): void {
    debts.add(item)
    if (this.#owedAddresses.size + this.#owedPrefixes.size <= DEBTS_MAX) return
    this.#owedAddresses.clear()
    this.#owedPrefixes.clear()
    this.#owedPrefixes.add(ADDRESS_PREFIX)
  }

  async #payDebts(run: RunOnRedis): Promise<void> {
    const addresses = [...this.#owedAddresses].slice(0, REMOVED_AT_ONCE_MAX)
    if (addresses.length > 0) await run((client) => client.unlink(addresses))
    for (const address of addresses) this.#owedAddresses.delete(address)
    for (const prefix of this.#owedPrefixes) {
      await removeScanned(run, prefix)
      this.#owedPrefixes.delete(prefix)
    }
  }
}

async function readText(client: RedisClient, address: string): Promise<StoredText | undefined> {
  try {
    const [text, ttlMs] = await Promise.all([client.get(address), client.pTTL(address)])
    // All that P2P Core writes has a time to live; anything else is not ours.
    return text !== null && ttlMs > 0 && isSound(text) ? { text, ttlMs } : undefined
  } catch (error) {
    if (await isRefusal(error)) return undefined
    throw error
  }
}

/** Others may write to this Redis too. */
function isSound(text: string): boolean {
  if (Buffer.byteLength(text) > VALUE_BYTES_MAX) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

async function removeScanned(run: RunOnRedis, prefix: string): Promise<void> {
  let position = '0'
  do {
    const from = position
    const { cursor, keys } = await run((client) =>
      client.scan(from, { MATCH: `${prefix}*`, COUNT: REMOVED_AT_ONCE_MAX }),
    )
    if (keys.length > 0) await run((client) => client.unlink(keys))
    position = cursor
  } while (position !== '0')
}
