import { setImmediate } from 'node:timers'
import type { Clock, Timer } from '../base/time.ts'
import { EventHeap } from './event-heap.ts'

/** A day in 2026: wall time at the start of a simulation. */
const WALL_MS_START = 1_770_000_000_000

/**
 * Virtual time: it stands still until a test moves it, then every timer fires at its exact moment, in order, as fast as
 * the machine can. Promises that an event settles have run before the next event.
 */
export class SimulatedClock implements Clock {
  readonly #events = new EventHeap()
  #nowMs = 0

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return WALL_MS_START + this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#events.add(this.#nowMs + Math.max(0, delayMs), fn)
  }

  every(periodMs: number, fn: () => void): Timer {
    let timer: Timer
    let isCancelled = false
    const tick = (): void => {
      fn()
      if (!isCancelled) timer = this.after(periodMs, tick)
    }
    timer = this.after(periodMs, tick)
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }

  /** Lets `durationMs` pass. */
  async run(durationMs: number): Promise<void> {
    await this.runUntil(() => false, durationMs)
  }

  /**
   * Lets time pass until `condition` holds, asked after each event, at most `withinMs`.
   * @returns whether it holds
   */
  async runUntil(condition: () => boolean, withinMs: number): Promise<boolean> {
    const endMs = this.#nowMs + withinMs
    await settled()
    while (!condition()) {
      const event = this.#events.takeUntil(endMs)
      if (!event) {
        this.#nowMs = endMs
        return condition()
      }
      this.#nowMs = event.atMs
      event.fn()
      await settled()
    }
    return true
  }
}

/** Resolves when no promise has anything left to do. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
