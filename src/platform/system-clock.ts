import { performance } from 'node:perf_hooks'
import type { Clock, Timer } from '../base/time.ts'

// Node turns a longer delay into 1 ms, so a far deadline would fire at once.
const TIMER_DELAY_MS_MAX = 2 ** 31 - 1

/** The real clocks and timers. Delays beyond 24.8 days are cut to that; negative and NaN delays fire at once. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, fn) => timer(setTimeout(fn, bounded(delayMs))),
  every: (periodMs, fn) => timer(setInterval(fn, bounded(periodMs))),
}

function timer(handle: NodeJS.Timeout): Timer {
  handle.unref()
  // clearTimeout also ends intervals (HTML Standard, "timers": one list of ids for both).
  return { cancel: () => clearTimeout(handle) }
}

function bounded(delayMs: number): number {
  return Math.min(delayMs, TIMER_DELAY_MS_MAX)
}
