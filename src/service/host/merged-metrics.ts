import type { ServiceMetricsSnapshot } from '../descriptor.ts'

/** What several instances measured, as if one had: counters and gauges are added up, timers put together. */
export function mergedMetrics(snapshots: readonly ServiceMetricsSnapshot[]): ServiceMetricsSnapshot | undefined {
  const [first, ...others] = snapshots
  if (!first || others.length === 0) return first
  const merged: ServiceMetricsSnapshot = { counters: {}, gauges: {}, timers: {} }
  for (const { counters, gauges, timers } of snapshots) {
    for (const [name, count] of Object.entries(counters)) merged.counters[name] = (merged.counters[name] ?? 0) + count
    for (const [name, value] of Object.entries(gauges)) merged.gauges[name] = (merged.gauges[name] ?? 0) + value
    for (const [name, timer] of Object.entries(timers)) {
      const known = merged.timers[name]
      merged.timers[name] = known ? together(known, timer) : timer
    }
  }
  return merged
}

type Timer = ServiceMetricsSnapshot['timers'][string]

function together(a: Timer, b: Timer): Timer {
  const count = a.count + b.count
  return {
    count,
    avg_ms: (a.avg_ms * a.count + b.avg_ms * b.count) / count,
    min_ms: Math.min(a.min_ms, b.min_ms),
    max_ms: Math.max(a.max_ms, b.max_ms),
  }
}
