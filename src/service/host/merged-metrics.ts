import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'
import { METRIC_NAMES_MAX } from '../sdk/service-metrics.ts'

type Timer = ServiceMetricsSnapshot['timers'][string]

/**
 * What several instances measured, as if one had: counters and gauges are added up, timers put together. Of each kind no
 * more names than one instance may have, and its count of those that it dropped.
 */
export function mergedMetrics(snapshots: readonly ServiceMetricsSnapshot[]): ServiceMetricsSnapshot | undefined {
  const [first, ...others] = snapshots
  if (!first || others.length === 0) return first
  const sum = (a: number, b: number): number => a + b
  return {
    counters: merged(
      snapshots.map(({ counters }) => counters),
      sum,
    ),
    gauges: merged(
      snapshots.map(({ gauges }) => gauges),
      sum,
    ),
    timers: merged(
      snapshots.map(({ timers }) => timers),
      together,
    ),
  }
}

function merged<T>(parts: readonly Record<string, T>[], add: (a: T, b: T) => T): Record<string, T> {
  // Names are the authors' own, `constructor` among them.
  const values = new Map<string, T>()
  for (const [name, value] of parts.flatMap((part) => Object.entries(part))) {
    const known = values.get(name)
    if (known !== undefined) values.set(name, add(known, value))
    else if (values.size <= METRIC_NAMES_MAX) values.set(name, value)
  }
  return Object.fromEntries(values)
}

function together(a: Timer, b: Timer): Timer {
  const count = a.count + b.count
  return {
    count,
    avg_ms: (a.avg_ms * a.count + b.avg_ms * b.count) / count,
    min_ms: Math.min(a.min_ms, b.min_ms),
    max_ms: Math.max(a.max_ms, b.max_ms),
  }
}
