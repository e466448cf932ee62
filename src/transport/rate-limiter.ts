import { isIPv4, isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../base/time.ts'

export interface RateLimiterNeeds {
  clock: Clock
}

/** One class of requests; the Python program's figures are 100 a minute and burst 20 for RPC, 300/50 for health, 200/30 for the rest. */
export interface RateLimiterOptions {
  /** Tokens that come back per minute. */
  perMinute: number
  /** Tokens of a caller not seen for a while: how many requests may come at once. */
  burst: number
  /** Callers remembered; beyond it the one not seen for longest is forgotten. Default 10,000 (about 1 MB). */
  keysMax?: number
}

export type RateVerdict = { ok: true } | { ok: false; retryAfterMs: number }

export interface RateLimiter {
  /** Takes one token of the caller's bucket; `key` is its identity, or {@link addressPrefix} for a stranger. */
  take(key: string): RateVerdict
}

interface Bucket {
  tokens: number
  atMs: number
}

/** A token bucket per caller: holds up to `burst` tokens, refilled evenly, one taken by each request. */
export function createRateLimiter(needs: RateLimiterNeeds, options: RateLimiterOptions): RateLimiter {
  return new TokenBuckets(needs, options)
}

const KEYS_MAX = 10_000

class TokenBuckets implements RateLimiter {
  readonly #clock: Clock
  readonly #burst: number
  readonly #tokensPerMs: number
  readonly #buckets: LRUCache<string, Bucket>

  constructor(needs: RateLimiterNeeds, options: RateLimiterOptions) {
    this.#clock = needs.clock
    this.#burst = options.burst
    this.#tokensPerMs = options.perMinute / 60_000
    // Counted as size: for a `max` the cache would take the memory of all of them at once.
    this.#buckets = new LRUCache({ maxSize: options.keysMax ?? KEYS_MAX, sizeCalculation: () => 1 })
  }

  take(key: string): RateVerdict {
    const nowMs = this.#clock.nowMs()
    let bucket = this.#buckets.get(key)
    if (bucket) {
      bucket.tokens = Math.min(this.#burst, bucket.tokens + (nowMs - bucket.atMs) * this.#tokensPerMs)
      bucket.atMs = nowMs
    } else {
      bucket = { tokens: this.#burst, atMs: nowMs }
      this.#buckets.set(key, bucket)
    }
    if (bucket.tokens < 1) return { ok: false, retryAfterMs: Math.ceil((1 - bucket.tokens) / this.#tokensPerMs) }
    bucket.tokens -= 1
    return { ok: true }
  }
}

/**
 * The key under which strangers from one network are limited together: an IPv4 address, or the /64 of an IPv6
 * address, since one customer gets at least that much (RFC 6177 section 2). IPv4 mapped into IPv6 counts as IPv4.
 */
export function addressPrefix(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined && isIPv4(mapped)) return mapped
  const plain = address.split('%', 1)[0] as string
  return isIPv6(plain) ? `${firstFourGroups(plain)}::/64` : address
}

function firstFourGroups(address: string): string {
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':')
    // A dotted IPv4 tail stands for two groups.
    const count = last.length + (tail.includes('.') ? 1 : 0)
    while (groups.length + count < 8) groups.push('0')
    groups.push(...last)
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
