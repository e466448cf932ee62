import { LRUCache } from 'lru-cache'
import { RpcError } from '../../base/errors.ts'
import type { Clock } from '../../base/time.ts'
import { createRateLimiter, type RateLimiter } from '../../transport/index.ts'

/** Wrong passwords that cost nothing: fingers slip. */
const FREE_FAILURES = 4
/** From the fifth on: 1 s, 2 s, 4 s … and never longer than this. */
const DELAY_MS_MAX = 60_000
/** After so long without a failure all is forgotten. */
const FORGET_MS = 15 * 60_000
const KEYS_MAX = 10_000

/** Attempts of one origin, whatever the names: an office behind one address gets in, guessing through a list does not. */
const SOURCE_LIMIT = { perMinute: 30, burst: 30 } as const

interface Failures {
  count: number
  lastMs: number
}

/**
 * Slows guessing down, in front of the hashing. Delays hold for a name and an origin together: whoever guesses from
 * somewhere makes himself wait, and the person with that name signs in from elsewhere as always. No name is ever locked.
 */
export class SignInThrottle {
  readonly #clock: Clock
  readonly #sources: RateLimiter
  // Counted as size: for a `max` the cache would take the memory of all of them at once.
  readonly #failures = new LRUCache<string, Failures>({ maxSize: KEYS_MAX, sizeCalculation: () => 1 })

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sources = createRateLimiter({ clock }, SOURCE_LIMIT)
  }

  /**
   * Counts the attempt as a failure from the beginning, so that attempts made at once do not all pass.
   * @returns to be called when it was none
   * @throws {RpcError} P2P_RPC_RATE_LIMITED, with `retry_after_s`
   */
  begin(name: string, source: string): () => void {
    const verdict = this.#sources.take(source)
    if (!verdict.ok) throw tooMany(verdict.retryAfterMs)
    return this.count(`${source} ${name}`)
  }

  /** The same for any other secret that can be guessed, under a key of its own. */
  count(key: string): () => void {
    const nowMs = this.#clock.nowMs()
    const known = this.#failures.get(key)
    const count = known && nowMs - known.lastMs < FORGET_MS ? known.count : 0
    const waitMs = known ? known.lastMs + delayMs(count) - nowMs : 0
    if (waitMs > 0) throw tooMany(waitMs)
    this.#failures.set(key, { count: count + 1, lastMs: nowMs })
    return () => this.#failures.delete(key)
  }
}

/** How long the next attempt waits after so many failures. */
function delayMs(failures: number): number {
  return failures < FREE_FAILURES + 1 ? 0 : Math.min(DELAY_MS_MAX, 1_000 * 2 ** (failures - FREE_FAILURES - 1))
}

function tooMany(retryAfterMs: number): RpcError {
  const retryAfterS = Math.ceil(retryAfterMs / 1_000)
  return new RpcError(
    'P2P_RPC_RATE_LIMITED',
    `Too many attempts to sign in with this name from this address; try again in ${retryAfterS} s`,
    { retry_after_s: retryAfterS },
  )
}
