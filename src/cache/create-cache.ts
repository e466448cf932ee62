import type { Component } from '../base/component.ts'
import type { Logger } from '../base/log.ts'
import type { Clock } from '../base/time.ts'
import type { Cache } from './cache.ts'
import { MemoryStore } from './memory-store.ts'
import { RedisStore } from './redis-store.ts'
import { StoreCache } from './store-cache.ts'
import { TwoLevelStore } from './two-level-store.ts'

export interface CacheNeeds {
  clock: Clock
  log: Logger
}

export interface CacheOptions {
  /** `redis[s]://[[user]:password@]host[:port][/database]`; without it values are kept in memory only. */
  redisUrl?: string
  /** Most entries held in memory, 10,000 by default. */
  entriesMax?: number
  /** Most bytes of keys and JSON held in memory, 32 MiB by default. */
  bytesMax?: number
}

const ENTRIES_MAX = 10_000
const BYTES_MAX = 32 * 1024 * 1024

/**
 * The node's cache: in memory, or with `redisUrl` memory in front of a Redis that all nodes share. Starts and works
 * without that Redis too, and uses it whenever it is there.
 * @throws {CacheError} P2P_CACHE_URL_INVALID
 */
export function createCache(needs: CacheNeeds, options: CacheOptions): Cache & Component {
  const { redisUrl, entriesMax = ENTRIES_MAX, bytesMax = BYTES_MAX } = options
  const memory = new MemoryStore(needs.clock, { entriesMax, bytesMax })
  if (redisUrl === undefined) return new StoreCache(memory)
  const log = needs.log.child('Cache')
  const redisNeeds = { clock: needs.clock, log }
  return new StoreCache(new TwoLevelStore(memory, (onInvalidate) => new RedisStore(redisNeeds, redisUrl, onInvalidate)))
}
