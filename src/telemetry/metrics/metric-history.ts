import type { HistoryRange } from '../../service/index.ts'
import { type MetricFields, type MetricRow, MetricRing, type MetricValues, rowBytes } from './metric-ring.ts'

/** What histories are of: the values they keep, and what is shown of them. */
export interface MetricKind<Point> {
  fields: MetricFields
  pointOf(timeMs: number, values: MetricValues): Point
}

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

/** Of a node or service as a coordinator hears of it: every four seconds for fifteen minutes. */
export const REPORTS: FinestRing = { periodMs: SECOND_MS, rowsMax: 225 }

/** Most that one history takes on a coordinator: after 30 days; a new one takes a fiftieth. */
export function historyBytesMax(fields: MetricFields): number {
  return (REPORTS.rowsMax + MINUTES_MAX + HOURS_MAX) * rowBytes(fields)
}

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

/** What was measured of one machine or service: finely for minutes, by minutes for 24 hours, by hours for 30 days. */
export class MetricHistory<Point> {
  readonly #kind: MetricKind<Point>
  readonly #rings: Readonly<Record<'finest' | LastingRing, MetricRing>>
  /** Hours from here on are made of the minutes that are restored. */
  #restoredHoursMs: number | undefined

  constructor(kind: MetricKind<Point>, finest: FinestRing) {
    this.#kind = kind
    const { fields } = kind
    this.#rings = {
      finest: new MetricRing(fields, finest),
      minutes: new MetricRing(fields, { periodMs: MINUTE_MS, rowsMax: MINUTES_MAX }),
      hours: new MetricRing(fields, { periodMs: HOUR_MS, rowsMax: HOURS_MAX }),
    }
  }

  get bytes(): number {
    return Object.values(this.#rings).reduce((sum, ring) => sum + ring.bytes, 0)
  }

  /** Begin of the newest period of which there is something, Unix milliseconds; 0 when there is nothing. */
  get newestMs(): number {
    return Math.max(...Object.values(this.#rings).map((ring) => ring.newest(1)[0]?.timeMs ?? 0))
  }

  add(timeMs: number, values: MetricValues): void {
    for (const ring of Object.values(this.#rings)) ring.add(timeMs, values)
  }

  /** Takes back a row of an earlier run: the oldest first, hours before minutes, all before the first `add`. */
  restore(ring: LastingRing, timeMs: number, values: MetricValues): void {
    this.#rings[ring].add(timeMs, values)
    if (ring === 'hours') return
    if (this.#restoredHoursMs === undefined) {
      const newest = this.#rings.hours.newest(1)[0]
      this.#restoredHoursMs = newest ? newest.timeMs + HOUR_MS : 0
    }
    if (timeMs >= this.#restoredHoursMs) this.#rings.hours.add(timeMs, values)
  }

  /** Adds what another history took since this one ended, as far as the finest ring reaches back. */
  addAll(later: MetricHistory<Point>): void {
    for (const { timeMs, values } of later.#rings.finest.since(0)) this.add(timeMs, values)
  }

  /** Rows since then, the newest of which may not be complete. */
  rows(ring: LastingRing, sinceMs: number): MetricRow[] {
    return this.#rings[ring].since(sinceMs)
  }

  /** @returns at most `points`, oldest first; where there are more, neighbours are put together */
  points(range: HistoryRange, nowMs: number, points: number): Point[] {
    const { ms, ring } = RANGES[range]
    return this.#pointsOf(thinned(this.#rings[ring].since(nowMs - ms), points, this.#kind.fields))
  }

  /** The newest that are later than `afterMs`, at most `points`, oldest first. */
  recent(afterMs: number, points: number): Point[] {
    return this.#pointsOf(this.#rings.finest.newest(points).filter((row) => row.timeMs > afterMs))
  }

  #pointsOf(rows: readonly MetricRow[]): Point[] {
    return rows.map(({ timeMs, values }) => this.#kind.pointOf(timeMs, values))
  }
}

/** As many rows as asked for at most, each of equally many neighbours but the last. */
function thinned(rows: readonly MetricRow[], rowsMax: number, fields: MetricFields): readonly MetricRow[] {
  if (rows.length <= rowsMax) return rows
  const perRow = Math.ceil(rows.length / rowsMax)
  return Array.from({ length: Math.ceil(rows.length / perRow) }, (_, index) =>
    together(rows.slice(index * perRow, (index + 1) * perRow), fields),
  )
}

function together(rows: readonly MetricRow[], { peak }: MetricFields): MetricRow {
  const [first] = rows as [MetricRow]
  const values = first.values.map((_, field) => {
    const column = rows.map((row) => row.values[field] as number).filter((value) => !Number.isNaN(value))
    if (column.length === 0) return Number.NaN
    return field === peak ? Math.max(...column) : column.reduce((sum, value) => sum + value, 0) / column.length
  })
  return { timeMs: first.timeMs, values }
}
