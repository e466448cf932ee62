import type { Clock, Timer } from '../../../../src/base/time.ts'

/** A clock that stands still until the test moves it. */
export class ManualClock implements Clock {
  #elapsedMs = 0
  readonly #startedMs = Date.UTC(2026, 0, 1)
  #timers: { atMs: number; fn: () => void }[] = []

  nowMs(): number {
    return this.#elapsedMs
  }

  wallMs(): number {
    return this.#startedMs + this.#elapsedMs
  }

  after(delayMs: number, fn: () => void): Timer {
    const timer = { atMs: this.#elapsedMs + delayMs, fn }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  every(periodMs: number, fn: () => void): Timer {
    const tick = (): void => {
      timer = this.after(periodMs, tick)
      fn()
    }
    let timer = this.after(periodMs, tick)
    return { cancel: () => timer.cancel() }
  }

  get pendingTimers(): number {
    return this.#timers.length
  }

  /** Moves both clocks on and runs what is due. */
  advance(ms: number): void {
    this.#elapsedMs += ms
    const due = this.#timers.filter((timer) => timer.atMs <= this.#elapsedMs)
    for (const timer of due) {
      // One of the others may just have cancelled it.
      if (!this.#timers.includes(timer)) continue
      this.#timers = this.#timers.filter((other) => other !== timer)
      timer.fn()
    }
  }
}
