import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'

/** Names a service may use of each kind; what comes under further names is dropped and counted. */
export const METRIC_NAMES_MAX = 256
/** A longer one is dropped likewise. */
export const METRIC_NAME_CHARACTERS_MAX = 128

/** What a service counts and measures itself; shown in `get_service_info` and `/metrics`. */
export interface ServiceMetrics {
  /** Adds to a counter. */
  increment(name: string, by?: number): void
  /** Sets the current value. */
  gauge(name: string, value: number): void
  /** Records one duration. */
  timing(name: string, durationMs: number): void
  /** Runs `work` and records how long it took, also when it fails. */
  time<T>(name: string, work: () => T | Promise<T>): Promise<T>
  snapshot(): ServiceMetricsSnapshot
}

/** @param nowMs a monotonic clock */
export function createServiceMetrics(nowMs: () => number): ServiceMetrics {
  return new BoundedServiceMetrics(nowMs)
}

interface Timer {
  count: number
  totalMs: number
  minMs: number
  maxMs: number
}

const DROPPED = 'metric_names_dropped'

class BoundedServiceMetrics implements ServiceMetrics {
  readonly #nowMs: () => number
  readonly #counters = new Map<string, number>()
  readonly #gauges = new Map<string, number>()
  readonly #timers = new Map<string, Timer>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  increment(name: string, by = 1): void {
    if (this.#hasRoom(this.#counters, name)) this.#counters.set(name, (this.#counters.get(name) ?? 0) + by)
  }

  gauge(name: string, value: number): void {
    if (this.#hasRoom(this.#gauges, name)) this.#gauges.set(name, value)
  }

  timing(name: string, durationMs: number): void {
    if (!this.#hasRoom(this.#timers, name)) return
    const timer = this.#timers.get(name)
    if (!timer) {
      this.#timers.set(name, { count: 1, totalMs: durationMs, minMs: durationMs, maxMs: durationMs })
      return
    }
    timer.count++
    timer.totalMs += durationMs
    timer.minMs = Math.min(timer.minMs, durationMs)
    timer.maxMs = Math.max(timer.maxMs, durationMs)
  }

  async time<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    const startedMs = this.#nowMs()
    try {
      return await work()
    } finally {
      this.timing(name, this.#nowMs() - startedMs)
    }
  }

  snapshot(): ServiceMetricsSnapshot {
    const timers = [...this.#timers].map(([name, { count, totalMs, minMs, maxMs }]) => [
      name,
      { count, avg_ms: totalMs / count, min_ms: minMs, max_ms: maxMs },
    ])
    return {
      counters: Object.fromEntries(this.#counters),
      gauges: Object.fromEntries(this.#gauges),
      timers: Object.fromEntries(timers),
    }
  }

  #hasRoom(names: Map<string, unknown>, name: string): boolean {
    if (names.has(name)) return true
    if (names.size < METRIC_NAMES_MAX && name.length <= METRIC_NAME_CHARACTERS_MAX) return true
    this.#counters.set(DROPPED, (this.#counters.get(DROPPED) ?? 0) + 1)
    return false
  }
}
