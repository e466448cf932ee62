import type { HistoryPoint, HistoryRange } from '../../service/index.ts'
import { type MachineValues, PEAK_FIELD, pointOf } from './machine-values.ts'
import { type MetricRow, MetricRing, ROW_BYTES } from './metric-ring.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const MINUTES_MAX = DAY_MS / MINUTE_MS
const HOURS_MAX = (30 * DAY_MS) / HOUR_MS

/** The first, finest ring of a history. */
export interface FinestRing {
  periodMs: number
  rowsMax: number
}

/** Of the machine a node runs on: a sample a second for two minutes. */
export const OWN_SAMPLES: FinestRing = { periodMs: SECOND_MS, rowsMax: 120 }

/** Of a node as a coordinator hears of it: a report every four seconds for fifteen minutes. */
export const REPORTS: FinestRing = { periodMs: SECOND_MS, rowsMax: 225 }

/** Most that the history of one node takes on a coordinator, in bytes: after 30 days; a new one takes a fiftieth. */
export const HISTORY_BYTES_MAX = (REPORTS.rowsMax + MINUTES_MAX + HOURS_MAX) * ROW_BYTES

const RANGES: Readonly<Record<HistoryRange, { ms: number; ring: 'finest' | 'minutes' | 'hours' }>> = {
  '15m': { ms: 15 * MINUTE_MS, ring: 'finest' },
  '1h': { ms: HOUR_MS, ring: 'minutes' },
  '6h': { ms: 6 * HOUR_MS, ring: 'minutes' },
  '1d': { ms: DAY_MS, ring: 'minutes' },
  '7d': { ms: 7 * DAY_MS, ring: 'hours' },
  '30d': { ms: 30 * DAY_MS, ring: 'hours' },
}

/** The rings that outlast a restart. */
export type LastingRing = 'minutes' | 'hours'

/** What one machine measured: finely for minutes, by minutes for 24 hours, by hours for 30 days. */
export class MetricHistory {
  readonly #rings: Readonly<Record<'finest' | LastingRing, MetricRing>>
  /** Hours from here on are made of the minutes that are restored. */
  #restoredHoursMs: number | undefined

  constructor(finest: FinestRing) {
    this.#rings = {
      finest: new MetricRing(finest),
      minutes: new MetricRing({ periodMs: MINUTE_MS, rowsMax: MINUTES_MAX }),
      hours: new MetricRing({ periodMs: HOUR_MS, rowsMax: HOURS_MAX }),
    }
  }

  get bytes(): number {
    return Object.values(this.#rings).reduce((sum, ring) => sum + ring.bytes, 0)
  }

  add(timeMs: number, values: MachineValues): void {
    for (const ring of Object.values(this.#rings)) ring.add(timeMs, values)
  }

  /** Takes back a row of an earlier run: the oldest first, hours before minutes, all before the first `add`. */
  restore(ring: LastingRing, timeMs: number, values: MachineValues): void {
    this.#rings[ring].add(timeMs, values)
    if (ring === 'hours') return
    if (this.#restoredHoursMs === undefined) {
      const newest = this.#rings.hours.newest(1)[0]
      this.#restoredHoursMs = newest ? newest.timeMs + HOUR_MS : 0
    }
    if (timeMs >= this.#restoredHoursMs) this.#rings.hours.add(timeMs, values)
  }

  /** Adds what another history took since this one ended, as far as the finest ring reaches back. */
  addAll(later: MetricHistory): void {
    for (const { timeMs, values } of later.#rings.finest.since(0)) this.add(timeMs, values)
  }

  /** Rows since then, the newest of which may not be complete. */
  rows(ring: LastingRing, sinceMs: number): MetricRow[] {
    return this.#rings[ring].since(sinceMs)
  }

  /** @returns at most `points`, oldest first; where there are more, neighbours are put together */
  points(range: HistoryRange, nowMs: number, points: number): HistoryPoint[] {
    const { ms, ring } = RANGES[range]
    return thinned(this.#rings[ring].since(nowMs - ms), points).map((row) => pointOf(row.timeMs, row.values))
  }

  /** The newest that are later than `afterMs`, at most `points`, oldest first. */
  recent(afterMs: number, points: number): HistoryPoint[] {
    return this.#rings.finest
      .newest(points)
      .filter((row) => row.timeMs > afterMs)
      .map((row) => pointOf(row.timeMs, row.values))
  }
}

/** As many rows as asked for at most, each of equally many neighbours but the last. */
function thinned(rows: readonly MetricRow[], rowsMax: number): readonly MetricRow[] {
  if (rows.length <= rowsMax) return rows
  const perRow = Math.ceil(rows.length / rowsMax)
  return Array.from({ length: Math.ceil(rows.length / perRow) }, (_, index) =>
    together(rows.slice(index * perRow, (index + 1) * perRow)),
  )
}

function together(rows: readonly MetricRow[]): MetricRow {
  const [first] = rows as [MetricRow]
  const values = first.values.map((_, field) => {
    const column = rows.map((row) => row.values[field] as number)
    return field === PEAK_FIELD ? Math.max(...column) : column.reduce((sum, value) => sum + value, 0) / rows.length
  })
  return { timeMs: first.timeMs, values }
}
