import type { Clock, Timer } from '../../../src/base/time.ts'

interface Pending {
  atMs: number
  fn: () => void
  periodMs: number | undefined
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #nowMs = 0
  readonly #pending = new Set<Pending>()

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + delayMs, fn, periodMs: undefined })
  }

  every(periodMs: number, fn: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + periodMs, fn, periodMs })
  }

  /** Moves on, calling what falls due in its order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      const due = [...this.#pending].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (!due) break
      this.#nowMs = due.atMs
      if (due.periodMs === undefined) this.#pending.delete(due)
      else due.atMs += due.periodMs
      due.fn()
    }
    this.#nowMs = untilMs
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  #add(pending: Pending): Timer {
    this.#pending.add(pending)
    return { cancel: () => this.#pending.delete(pending) }
  }
}
