import { monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 50

/** How long the event loop was kept from its work. */
export interface LoopLagMeter {
  /** The longest delay since the last question, in milliseconds; delays far below 50 ms may go unseen. */
  takeMaxMs(): number
  stop(): void
}

/** Begins to measure: a timer every 50 ms, whose lateness is what it tells. */
export function createLoopLagMeter(): LoopLagMeter {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  return {
    takeMaxMs() {
      // What is recorded is the time between two firings.
      const lagMs = histogram.count === 0 ? 0 : histogram.max / 1e6 - RESOLUTION_MS
      histogram.reset()
      return Math.max(0, lagMs)
    },
    stop: () => void histogram.disable(),
  }
}
