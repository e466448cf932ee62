import type { Clock, Timer } from '../../../src/base/time.ts'

interface Pending {
  dueMs: number
  fn: () => void
}

/** A clock that goes only when told to. Starts at the present, so that other programs accept the certificates. */
export class ManualClock implements Clock {
  #elapsedMs = 0
  #wallMs: number
  readonly #timers = new Set<Pending>()

  constructor(wallMs = Date.now()) {
    this.#wallMs = wallMs
  }

  nowMs(): number {
    return this.#elapsedMs
  }

  wallMs(): number {
    return this.#wallMs
  }

  /** Delays of the timers that wait, shortest first. */
  waiting(): number[] {
    return [...this.#timers].map(({ dueMs }) => dueMs - this.#elapsedMs).sort((a, b) => a - b)
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending = { dueMs: this.#elapsedMs + Math.max(0, delayMs), fn }
    this.#timers.add(pending)
    return { cancel: () => this.#timers.delete(pending) }
  }

  every(): never {
    throw new Error('pki has no periodic timer')
  }

  advance(ms: number): void {
    const endMs = this.#elapsedMs + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)
      if (!next) break
      this.#move(next.dueMs)
      this.#timers.delete(next)
      next.fn()
    }
    this.#move(endMs)
  }

  /** Somebody sets the wall clock. */
  setBy(ms: number): void {
    this.#wallMs += ms
  }

  #move(toMs: number): void {
    this.#wallMs += toMs - this.#elapsedMs
    this.#elapsedMs = toMs
  }
}
