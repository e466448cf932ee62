import type { Clock, Timer } from '../../../src/base/time.ts'

/** A clock that only moves when told to; timers fire in order. */
export class ManualClock implements Clock {
  #nowMs = 1_000
  #timers: { atMs: number; fn: () => void; periodMs: number | undefined }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#add(delayMs, fn, undefined)
  }

  every(periodMs: number, fn: () => void): Timer {
    return this.#add(periodMs, fn, periodMs)
  }

  get pending(): number {
    return this.#timers.length
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (!due) break
      this.#nowMs = due.atMs
      if (due.periodMs === undefined) this.#timers.splice(this.#timers.indexOf(due), 1)
      else due.atMs += due.periodMs
      due.fn()
    }
    this.#nowMs = endMs
  }

  #add(delayMs: number, fn: () => void, periodMs: number | undefined): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fn, periodMs }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }
}
