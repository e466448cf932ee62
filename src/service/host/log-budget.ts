import type { Clock } from '../../base/time.ts'

/** Lines, and characters of them. */
export interface LogAmount {
  lines: number
  characters: number
}

const WINDOW_MS = 1_000
/** What all services of a node may write in a window: about half of what one core brings to the coordinator's disk. */
const NODE_MAX: LogAmount = { lines: 20_000, characters: 8 * 1_024 * 1_024 }
/** What one of them may write, where the others leave it. */
const SERVICE_MAX: LogAmount = { lines: 10_000, characters: 4 * 1_024 * 1_024 }

/** What one service may write to the node's log; its instances share it. */
export interface LogShare {
  /** @returns whether a line of this length may be written now */
  take(characters: number): boolean
}

interface Written {
  /** In this window, what was refused included. */
  asked: LogAmount
  granted: LogAmount
}

/**
 * Shares out how much a node's services may write to its log: max-min fair by what they asked for a window before, so that
 * one that floods the log takes what others leave and nothing of what they need.
 */
export class LogBudget {
  readonly #clock: Clock
  readonly #services = new Map<string, Written>()
  #windowEndsMs = Number.NEGATIVE_INFINITY
  #level: LogAmount = SERVICE_MAX

  constructor(clock: Clock) {
    this.#clock = clock
  }

  of(service: string): LogShare {
    return { take: (characters) => this.#take(service, characters) }
  }

  #take(service: string, characters: number): boolean {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#windowEndsMs) this.#begin(nowMs)
    const { asked, granted } = this.#writtenBy(service)
    asked.lines++
    asked.characters += characters
    // A first line passes whatever its length: it is bounded where it was read.
    const fits = granted.lines === 0 || granted.characters + characters <= this.#level.characters
    if (granted.lines >= this.#level.lines || !fits) return false
    granted.lines++
    granted.characters += characters
    return true
  }

  #begin(nowMs: number): void {
    const asked = [...this.#services.values()].map((written) => written.asked)
    const level = (of: keyof LogAmount): number =>
      fairLevel(
        asked.map((amount) => amount[of]),
        { all: NODE_MAX[of], each: SERVICE_MAX[of] },
      )
    this.#level = { lines: level('lines'), characters: level('characters') }
    this.#services.clear()
    this.#windowEndsMs = nowMs + WINDOW_MS
  }

  #writtenBy(service: string): Written {
    const known = this.#services.get(service)
    if (known) return known
    const written = { asked: { lines: 0, characters: 0 }, granted: { lines: 0, characters: 0 } }
    this.#services.set(service, written)
    return written
  }
}

/**
 * How much each may have, so that together they have `all` at most: who asks for less gets all of it, the others the same
 * (max-min fairness; Bertsekas and Gallager, Data Networks, section 6.5.2).
 */
export function fairLevel(asked: readonly number[], { all, each }: { all: number; each: number }): number {
  let left = all
  const sorted = asked.toSorted((a, b) => a - b)
  for (const [index, amount] of sorted.entries()) {
    const share = left / (sorted.length - index)
    if (Math.min(amount, each) > share) return Math.max(1, Math.floor(share))
    left -= Math.min(amount, each)
  }
  return each
}
