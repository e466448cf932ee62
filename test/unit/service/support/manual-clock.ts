import type { Clock, Timer } from '../../../../src/base/time.ts'

interface Scheduled {
  atMs: number
  periodMs: number | undefined
  fn: () => void
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #nowMs = 1_000
  readonly #timers = new Set<Scheduled>()

  get timerCount(): number {
    return this.#timers.size
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#schedule({ atMs: this.#nowMs + delayMs, periodMs: undefined, fn })
  }

  every(periodMs: number, fn: () => void): Timer {
    return this.#schedule({ atMs: this.#nowMs + periodMs, periodMs, fn })
  }

  /** Fires what falls due within `byMs`, in order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)
      if (!next) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      if (next.periodMs === undefined) this.#timers.delete(next)
      else next.atMs += next.periodMs
      next.fn()
    }
    this.#nowMs = untilMs
  }

  #schedule(scheduled: Scheduled): Timer {
    this.#timers.add(scheduled)
    return { cancel: () => this.#timers.delete(scheduled) }
  }
}
