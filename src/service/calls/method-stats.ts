import type { MethodMetrics } from '../definition/descriptor.ts'

/** Upper bounds in milliseconds: from an inline answer to the default timeout, about two steps a decade. */
const BOUNDS_MS = [0.25, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, Infinity] as const

/** Calls, failures and durations of one method. Its size never changes. */
export class MethodStats {
  readonly #counts = new Float64Array(BOUNDS_MS.length)
  #errors = 0
  #durationMsTotal = 0
  #inFlight = 0

  begin(): void {
    this.#inFlight++
  }

  end(durationMs: number, isError: boolean): void {
    this.#inFlight--
    this.count(durationMs, isError)
  }

  /** A call that ended without having begun: it was refused. */
  count(durationMs: number, isError: boolean): void {
    if (isError) this.#errors++
    this.#durationMsTotal += durationMs
    let bucket = 0
    while (durationMs > (BOUNDS_MS[bucket] as number)) bucket++
    ;(this.#counts[bucket] as number)++
  }

  metrics(service: string, method: string): MethodMetrics {
    return {
      service,
      method,
      calls: this.#counts.reduce((sum, count) => sum + count, 0),
      errors: this.#errors,
      inFlight: this.#inFlight,
      durationMsTotal: this.#durationMsTotal,
      durations: BOUNDS_MS.map((upToMs, i) => ({ upToMs, count: this.#counts[i] as number })),
    }
  }
}
