import type { ServicePoint } from '../../service/index.ts'
import { type CallSums, callFigures } from './call-figures.ts'
import type { MetricKind } from './metric-history.ts'
import type { MetricValues } from './metric-ring.ts'

/** The history of a service's calls over all nodes: calls and failed calls a second, median and 99th percentile of how long they took. */
export const CALLS: MetricKind<ServicePoint> = {
  fields: { count: 4, peak: 3 },
  pointOf,
}

/** Of a time without calls there are no durations. */
export function callValuesOf(sums: CallSums): MetricValues {
  const { p50_ms: median, p99_ms: high } = callFigures(sums)
  return [sums.callsPerS, sums.errorsPerS, median ?? Number.NaN, high ?? Number.NaN]
}

function pointOf(timeMs: number, values: MetricValues): ServicePoint {
  const [calls, errors, median, high] = values as readonly [number, number, number, number]
  return {
    timestamp: new Date(timeMs).toISOString(),
    calls_per_s: rounded(calls),
    errors_per_s: rounded(errors),
    p50_ms: Number.isNaN(median) ? null : rounded(median),
    p99_ms: Number.isNaN(high) ? null : rounded(high),
  }
}

/** With four digits after the point: of an hour with ten calls something is left. */
function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
