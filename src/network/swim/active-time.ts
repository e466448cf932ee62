/** Lateness up to this is what a healthy event loop shows. */
const LATE_MS_MAX = 50
/** After a longer one, deadlines wait this much more: what arrived meanwhile is read first. */
const GRACE_MS_MAX = 250

/**
 * The node's own time: monotonic time without the stretches in which the process did not run (stopped, starved of CPU,
 * machine suspended). It knows them by waking up later than it asked to. Nobody can be late with an answer in a time in
 * which we were not listening.
 */
export class ActiveTime {
  #skippedMs = 0
  #activeMs: number

  constructor(nowMs: number) {
    this.#activeMs = Math.floor(nowMs)
  }

  /**
   * @param nowMs monotonic time
   * @param dueMs when we had asked to be woken, in active time
   * @returns active time, and by how much the waking was late
   */
  advance(nowMs: number, dueMs: number): { activeMs: number; lateMs: number } {
    const expectedMs = Math.max(Math.ceil(dueMs), this.#activeMs)
    const lateMs = Math.max(0, Math.floor(nowMs) - this.#skippedMs - expectedMs)
    if (lateMs > LATE_MS_MAX) this.#skippedMs += lateMs + Math.min(lateMs, GRACE_MS_MAX)
    this.#activeMs = Math.max(this.#activeMs, Math.floor(nowMs) - this.#skippedMs)
    return { activeMs: this.#activeMs, lateMs }
  }

  /** The monotonic time at which active time will be `activeMs`. */
  toMonotonic(activeMs: number): number {
    return Math.ceil(activeMs) + this.#skippedMs
  }
}
