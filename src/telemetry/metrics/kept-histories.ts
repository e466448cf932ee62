import { MetricHistory, type LastingRing, type MetricKind, REPORTS } from './metric-history.ts'
import type { NamedRow } from './metric-record.ts'
import type { MetricValues } from './metric-ring.ts'

/** Takes back a row of an earlier run: the oldest first, hours before minutes. */
export type RestoreRow = (ring: LastingRing, row: NamedRow) => void

/** Where all names are in use, one of which nothing was measured for so long makes room for another. */
const OUTDATED_MS = 3_600_000

/**
 * The histories that a coordinator keeps of its nodes, or of its services, by name; at most `namesMax`. In memory, which is
 * where they are asked for; `createMetricFiles` keeps them on disk beside.
 */
export class KeptHistories<Point> {
  readonly kind: MetricKind<Point>
  readonly #namesMax: number
  readonly #byName = new Map<string, MetricHistory<Point>>()
  readonly #clearListeners = new Set<() => void>()
  #readPast: ((restore: RestoreRow) => Promise<void>) | undefined
  #restoring: Promise<void> | undefined

  constructor(kind: MetricKind<Point>, namesMax: number) {
    this.kind = kind
    this.#namesMax = namesMax
  }

  /** What they take now. */
  get bytes(): number {
    return [...this.#byName.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  all(): IterableIterator<[string, MetricHistory<Point>]> {
    return this.#byName.entries()
  }

  get(name: string): MetricHistory<Point> | undefined {
    return this.#byName.get(name)
  }

  /** Takes what was measured of a node or service; of a new one only where there is room. */
  add(name: string, timeMs: number, values: MetricValues): void {
    let history = this.#byName.get(name)
    if (!history) {
      if (this.#byName.size >= this.#namesMax && !this.#makeRoom(timeMs)) return
      this.#byName.set(name, (history = new MetricHistory(this.kind, REPORTS)))
    }
    history.add(timeMs, values)
  }

  delete(name: string): void {
    this.#byName.delete(name)
  }

  /** Forgets one history, or all, that of before a restart and on disk too. */
  async clear(name?: string): Promise<void> {
    await this.restored()
    if (name === undefined) this.#byName.clear()
    else this.#byName.delete(name)
    for (const listener of this.#clearListeners) listener()
  }

  /** @param listener told when histories were cleared @returns a function that unregisters it */
  onClear(listener: () => void): () => void {
    this.#clearListeners.add(listener)
    return () => this.#clearListeners.delete(listener)
  }

  /**
   * Once, before anybody asks.
   * @param read gives back the histories of before the restart, and never rejects; called when first asked about the past
   */
  restoreWith(read: (restore: RestoreRow) => Promise<void>): void {
    this.#readPast = read
  }

  /** Resolves when the histories of before the restart are back. What is measured meanwhile is put behind them. */
  restored(): Promise<void> {
    return (this.#restoring ??= this.#restore())
  }

  /** Apart from what is measured meanwhile: rows come in order, and half a past is shown to nobody. */
  async #restore(): Promise<void> {
    const past = new Map<string, MetricHistory<Point>>()
    await this.#readPast?.((ring, { name, timeMs, values }) => {
      let history = past.get(name)
      if (!history && past.size >= this.#namesMax) return
      if (!history) past.set(name, (history = new MetricHistory(this.kind, REPORTS)))
      history.restore(ring, timeMs, values)
    })
    for (const [name, history] of past) {
      const present = this.#byName.get(name)
      if (present) history.addAll(present)
      else if (this.#byName.size >= this.#namesMax) continue
      this.#byName.set(name, history)
    }
  }

  #makeRoom(nowMs: number): boolean {
    let oldest: string | undefined
    let oldestMs = nowMs - OUTDATED_MS
    for (const [name, { newestMs }] of this.#byName) {
      if (newestMs >= oldestMs) continue
      oldest = name
      oldestMs = newestMs
    }
    return oldest !== undefined && this.#byName.delete(oldest)
  }
}
