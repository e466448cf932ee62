/** Refusals of one origin that are written one by one in a minute. */
const SINGLES_PER_ORIGIN = 20
/** And of all origins together: whoever has many addresses fills neither the disk nor the trail with them. */
const SINGLES_PER_MINUTE = 120
const ORIGINS_MAX = 1_024
/** Origins named with what was only counted of them; the rest is told as one number. */
const ORIGINS_NAMED = 10

interface Origin {
  singles: number
  counted: number
}

/** Says which refusals of a minute are written one by one and which are only counted. Whoever owns it ends the minutes. */
export class RefusalBudget {
  readonly #origins = new Map<string, Origin>()
  #singles = 0
  /** Of origins that found no place any more. */
  #others = 0

  /** Uses up a place for one. @returns false: it was counted */
  take(origin: string): boolean {
    const known =
      this.#origins.get(origin) ?? (this.#origins.size < ORIGINS_MAX ? { singles: 0, counted: 0 } : undefined)
    if (!known) {
      this.#others++
      return false
    }
    this.#origins.set(origin, known)
    const hasRoom = this.#singles < SINGLES_PER_MINUTE && known.singles < SINGLES_PER_ORIGIN
    if (hasRoom) {
      known.singles++
      this.#singles++
    } else known.counted++
    return hasRoom
  }

  /** Ends the minute. @returns sentences about what was only counted in it */
  end(): string[] {
    const counted = [...this.#origins].filter(([, origin]) => origin.counted > 0)
    counted.sort(([, a], [, b]) => b.counted - a.counted)
    const told = counted
      .slice(0, ORIGINS_NAMED)
      .map(([name, origin]) => `${origin.counted} more refusals of ${name} within a minute`)
    const unnamed = counted.slice(ORIGINS_NAMED)
    const rest = unnamed.reduce((sum, [, origin]) => sum + origin.counted, this.#others)
    if (rest > 0) told.push(`${rest} more refusals of other origins within a minute`)
    this.#origins.clear()
    this.#singles = 0
    this.#others = 0
    return told
  }
}
