import { type MachineValues, PEAK_FIELD, VALUE_FIELDS } from './machine-values.ts'

const FIELDS = VALUE_FIELDS.length
const ROWS_FIRST = 32

/** One row: its time and a 32-bit number a value. */
export const ROW_BYTES = 4 + 4 * FIELDS

/** What was measured in one period. */
export interface MetricRow {
  /** Begin of the period, Unix milliseconds. */
  timeMs: number
  values: MachineValues
}

/**
 * The last `rowsMax` periods of one machine, a row each; periods in which nothing was measured have none. Memory grows with the
 * rows there are, to `rowsMax` times {@link ROW_BYTES}.
 */
export class MetricRing {
  readonly #periodMs: number
  readonly #rowsMax: number
  /** Number of the row's period since 1970. */
  #periods = new Uint32Array(ROWS_FIRST)
  #values = new Float32Array(ROWS_FIRST * FIELDS)
  #first = 0
  #count = 0
  /** Measurements in the newest row. */
  #inNewest = 0

  constructor(options: { periodMs: number; rowsMax: number }) {
    this.#periodMs = options.periodMs
    this.#rowsMax = options.rowsMax
  }

  get count(): number {
    return this.#count
  }

  /** What it takes now. */
  get bytes(): number {
    return this.#periods.byteLength + this.#values.byteLength
  }

  /** Takes a measurement into the row of its period. A clock that was set back ends the time it had gone ahead. */
  add(timeMs: number, values: MachineValues): void {
    const period = Math.floor(timeMs / this.#periodMs)
    while (this.#count > 0 && this.#periodAt(this.#count - 1) > period) this.#dropNewest()
    if (this.#count > 0 && this.#periodAt(this.#count - 1) === period) this.#addToNewest(values)
    else this.#push(period, values)
  }

  /** Rows that began at or after `sinceMs`, oldest first. */
  since(sinceMs: number): MetricRow[] {
    let at = this.#count
    while (at > 0 && this.#periodAt(at - 1) * this.#periodMs >= sinceMs) at--
    return Array.from({ length: this.#count - at }, (_, index) => this.#rowAt(at + index))
  }

  /** The newest rows, oldest first. */
  newest(rows: number): MetricRow[] {
    const taken = Math.min(rows, this.#count)
    return Array.from({ length: taken }, (_, index) => this.#rowAt(this.#count - taken + index))
  }

  #rowAt(index: number): MetricRow {
    const begin = this.#slotOf(index) * FIELDS
    return {
      timeMs: this.#periodAt(index) * this.#periodMs,
      values: [...this.#values.subarray(begin, begin + FIELDS)],
    }
  }

  #addToNewest(values: MachineValues): void {
    const begin = this.#slotOf(this.#count - 1) * FIELDS
    this.#inNewest++
    values.forEach((value, field) => {
      const known = this.#values[begin + field] as number
      const mean = known + (value - known) / this.#inNewest
      this.#values[begin + field] = field === PEAK_FIELD ? Math.max(known, value) : mean
    })
  }

  #push(period: number, values: MachineValues): void {
    if (this.#count === this.#periods.length && this.#count < this.#rowsMax) this.#grow()
    if (this.#count === this.#periods.length) {
      this.#first = (this.#first + 1) % this.#periods.length
      this.#count--
    }
    const slot = this.#slotOf(this.#count)
    this.#periods[slot] = period
    this.#values.set(values, slot * FIELDS)
    this.#count++
    this.#inNewest = 1
  }

  #dropNewest(): void {
    this.#count--
    this.#inNewest = 1
  }

  /** Only a ring that has never turned grows: its rows lie in order. */
  #grow(): void {
    const rows = Math.min(this.#rowsMax, this.#periods.length * 2)
    const periods = new Uint32Array(rows)
    const values = new Float32Array(rows * FIELDS)
    periods.set(this.#periods)
    values.set(this.#values)
    this.#periods = periods
    this.#values = values
  }

  #slotOf(index: number): number {
    return (this.#first + index) % this.#periods.length
  }

  #periodAt(index: number): number {
    return this.#periods[this.#slotOf(index)] as number
  }
}
