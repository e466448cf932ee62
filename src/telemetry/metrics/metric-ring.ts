const ROWS_FIRST = 32

/** What the values of a row are. */
export interface MetricFields {
  count: number
  /** Of this one the largest is kept where others are averaged: a mean hides the one long delay. */
  peak: number
}

/** In the order of the fields; NaN where there was nothing to measure. */
export type MetricValues = readonly number[]

/** What was measured in one period. */
export interface MetricRow {
  /** Begin of the period, Unix milliseconds. */
  timeMs: number
  values: MetricValues
}

/** One row: its time and a 32-bit number a value. */
export function rowBytes({ count }: MetricFields): number {
  return 4 + 4 * count
}

/**
 * The last `rowsMax` periods of one machine or service, a row each; periods in which nothing was measured have none. Memory
 * grows with the rows there are, to `rowsMax` times {@link rowBytes}.
 */
export class MetricRing {
  readonly #fields: MetricFields
  readonly #periodMs: number
  readonly #rowsMax: number
  /** Number of the row's period since 1970. */
  #periods = new Uint32Array(ROWS_FIRST)
  #values: Float32Array
  #first = 0
  #count = 0
  /** Measurements in the newest row, by field. */
  readonly #inNewest: number[]

  constructor(fields: MetricFields, options: { periodMs: number; rowsMax: number }) {
    this.#fields = fields
    this.#periodMs = options.periodMs
    this.#rowsMax = options.rowsMax
    this.#values = new Float32Array(ROWS_FIRST * fields.count)
    this.#inNewest = Array.from({ length: fields.count }, () => 0)
  }

  get count(): number {
    return this.#count
  }

  /** What it takes now. */
  get bytes(): number {
    return this.#periods.byteLength + this.#values.byteLength
  }

  /** Takes a measurement into the row of its period. A clock that was set back ends the time it had gone ahead. */
  add(timeMs: number, values: MetricValues): void {
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
    const { count } = this.#fields
    const begin = this.#slotOf(index) * count
    return {
      timeMs: this.#periodAt(index) * this.#periodMs,
      values: [...this.#values.subarray(begin, begin + count)],
    }
  }

  #addToNewest(values: MetricValues): void {
    const { count, peak } = this.#fields
    const begin = this.#slotOf(this.#count - 1) * count
    values.forEach((value, field) => {
      if (Number.isNaN(value)) return
      const known = this.#values[begin + field] as number
      const measured = Number.isNaN(known) ? 1 : (this.#inNewest[field] as number) + 1
      this.#inNewest[field] = measured
      if (measured === 1) this.#values[begin + field] = value
      else this.#values[begin + field] = field === peak ? Math.max(known, value) : known + (value - known) / measured
    })
  }

  #push(period: number, values: MetricValues): void {
    if (this.#count === this.#periods.length && this.#count < this.#rowsMax) this.#grow()
    if (this.#count === this.#periods.length) {
      this.#first = (this.#first + 1) % this.#periods.length
      this.#count--
    }
    const slot = this.#slotOf(this.#count)
    this.#periods[slot] = period
    this.#values.set(values, slot * this.#fields.count)
    this.#count++
    this.#inNewest.fill(1)
  }

  #dropNewest(): void {
    this.#count--
    this.#inNewest.fill(1)
  }

  /** Only a ring that has never turned grows: its rows lie in order. */
  #grow(): void {
    const rows = Math.min(this.#rowsMax, this.#periods.length * 2)
    const periods = new Uint32Array(rows)
    const values = new Float32Array(rows * this.#fields.count)
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
