/** Retries that calls pay for: one for five calls. */
const TOKENS_PER_CALL = 0.2
/** Retries allowed without any traffic. */
const TOKENS_PER_SECOND = 1
const TOKENS_MAX = 100
const TOKENS_FIRST = 10

/**
 * Bounds how many calls of one service are tried again: when everything fails, retries add a fifth to the load instead of
 * multiplying it.
 */
export class RetryBudget {
  #tokens = TOKENS_FIRST
  #atMs: number

  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  /** A call is made for the first time. */
  deposit(): void {
    if (this.#tokens < TOKENS_MAX) this.#tokens += TOKENS_PER_CALL
  }

  /** @returns whether a call may be tried again */
  withdraw(nowMs: number): boolean {
    this.#tokens = Math.min(TOKENS_MAX, this.#tokens + ((nowMs - this.#atMs) / 1_000) * TOKENS_PER_SECOND)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
