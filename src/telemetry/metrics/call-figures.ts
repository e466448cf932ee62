import type { ServiceReport } from '../../service/index.ts'

/** Calls over some time: how many, how many failed, and how long they took. */
export interface CallSums {
  calls: number
  errors: number
  /** By upper bound in milliseconds (Infinity: none): calls that took at most so long, and longer than the bound before. */
  durations: Map<number, number>
  /** Calls a second. */
  callsPerS: number
  /** Calls a second that failed. */
  errorsPerS: number
}

export function emptySums(): CallSums {
  return { calls: 0, errors: 0, durations: new Map(), callsPerS: 0, errorsPerS: 0 }
}

/** The report of a service as it is kept, in a tenth of the memory: `durations` are upper bound (Infinity: none), count, bound, count … */
export type KeptService = Omit<ServiceReport, 'durations'> & { durations: readonly number[] }

export function keptService(report: ServiceReport): KeptService {
  return { ...report, durations: report.durations.flatMap(([upToMs, count]) => [upToMs ?? Infinity, count]) }
}

/** Adds what one node reported of `seconds`. */
export function addCalls(sums: CallSums, { calls, errors, durations }: KeptService, seconds: number): void {
  sums.calls += calls
  sums.errors += errors
  sums.callsPerS += calls / seconds
  sums.errorsPerS += errors / seconds
  for (let at = 0; at < durations.length; at += 2) {
    const [bound, count] = [durations[at] as number, durations[at + 1] as number]
    sums.durations.set(bound, (sums.durations.get(bound) ?? 0) + count)
  }
}

/** The figures of a dashboard. */
export function callFigures({ calls, errors, durations, callsPerS }: Omit<CallSums, 'errorsPerS'>) {
  return {
    calls_per_s: rounded(callsPerS),
    error_ratio: calls === 0 ? 0 : Math.round((errors / calls) * 10_000) / 10_000,
    p50_ms: quantileMs(durations, 0.5),
    p99_ms: quantileMs(durations, 0.99),
  }
}

/**
 * The duration that the share `q` of the calls did not exceed: linear within its bucket, as Prometheus' histogram_quantile
 * does; of the bucket without a bound its lower one. Null when there are no calls.
 */
export function quantileMs(durations: ReadonlyMap<number, number>, q: number): number | null {
  const buckets = [...durations].filter(([, count]) => count > 0).sort(([a], [b]) => a - b)
  const total = buckets.reduce((sum, [, count]) => sum + count, 0)
  if (total === 0) return null
  const bounds = [...durations.keys()].sort((a, b) => a - b)
  let before = 0
  for (const [upToMs, count] of buckets) {
    if (before + count >= q * total) {
      const fromMs = bounds[bounds.indexOf(upToMs) - 1] ?? 0
      if (!Number.isFinite(upToMs)) return fromMs
      return rounded(fromMs + ((upToMs - fromMs) * (q * total - before)) / count)
    }
    before += count
  }
  return null
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
