import type { LogLine } from '../../base/log-line.ts'

export interface LiveWindowOptions {
  /** So many of the latest lines are kept for whoever comes. */
  linesMin: number
  /** At most so many, and so many characters, for readers that are on their way through them. */
  linesMax: number
  charactersMax: number
}

/**
 * The latest lines of a store, which readers that keep up are served from. Their cursors follow on each other.
 *
 * What every reader has is let go at once: lines that live for a second outlive the collector's young generation, and copying
 * them there is what a coordinator's event loop waited for longest.
 */
export class LiveWindow {
  readonly #options: LiveWindowOptions
  #lines: LogLine[] = []
  #characters = 0

  constructor(options: LiveWindowOptions) {
    this.#options = options
  }

  /** @param cursors where the readers are; one that lines were already let go of is served from disk, and holds up nothing */
  add(lines: readonly LogLine[], cursors: Iterable<number>): void {
    for (const line of lines) {
      this.#lines.push(line)
      this.#characters += sizeOf(line)
    }
    const first = this.#lines[0]?.cursor ?? 0
    let needed = first + this.#lines.length - this.#options.linesMin
    for (const cursor of cursors) if (cursor >= first - 1) needed = Math.min(needed, cursor + 1)
    this.#letGo(needed - first)
  }

  /** Of so many lines, and of more while there are too many. */
  #letGo(unneeded: number): void {
    const { linesMax, charactersMax } = this.#options
    let count = 0
    while (count < unneeded || this.#lines.length - count > linesMax || this.#characters > charactersMax) {
      this.#characters -= sizeOf(this.#lines[count] as LogLine)
      count++
    }
    if (count > 0) this.#lines.splice(0, count)
  }

  clear(): void {
    this.#lines = []
    this.#characters = 0
  }

  /**
   * At most `limit` lines after `cursor`.
   * @returns undefined when the line after it is not here any more
   */
  after(cursor: number, limit: number): readonly LogLine[] | undefined {
    const first = this.#lines[0]?.cursor
    if (first === undefined || cursor < first - 1) return undefined
    const from = cursor + 1 - first
    return this.#lines.slice(from, from + limit)
  }
}

function sizeOf({ message, fieldsJson }: LogLine): number {
  return message.length + fieldsJson.length
}
