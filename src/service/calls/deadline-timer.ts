import type { Clock, Timer } from '../../base/time.ts'

/** Deadlines that fall within this of one another may be handled together. */
const GRANULARITY_MS = 20
/** Node's timers count to 2^31 ms; a sweep that comes too early only looks and waits on. */
const DELAY_MS_MAX = 24 * 60 * 60 * 1_000

/**
 * One timer for any number of deadlines: it fires at the earliest of them, and whoever holds the deadlines then looks
 * through what is open. A call that ends in time costs one comparison and never touches a timer.
 */
export class DeadlineTimer {
  readonly #clock: Clock
  readonly #sweep: (nowMs: number) => number
  #timer: Timer | undefined
  #firesAtMs = Infinity

  /** @param sweep ends everything whose deadline is not after `nowMs`, and returns the earliest deadline left (Infinity: none) */
  constructor(clock: Clock, sweep: (nowMs: number) => number) {
    this.#clock = clock
    this.#sweep = sweep
  }

  /** Makes sure that a sweep happens at `deadlineMs`. */
  note(deadlineMs: number): void {
    if (deadlineMs < this.#firesAtMs) this.#arm(deadlineMs)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#firesAtMs = Infinity
  }

  #arm(deadlineMs: number): void {
    this.#timer?.cancel()
    this.#firesAtMs = deadlineMs
    const delayMs = Math.min(Math.max(0, deadlineMs - this.#clock.nowMs()), DELAY_MS_MAX)
    this.#timer = this.#clock.after(delayMs, () => this.#fire())
  }

  #fire(): void {
    this.#timer = undefined
    this.#firesAtMs = Infinity
    const nowMs = this.#clock.nowMs()
    const nextMs = this.#sweep(nowMs)
    if (nextMs !== Infinity) this.note(Math.max(nextMs, nowMs + GRANULARITY_MS))
  }
}
