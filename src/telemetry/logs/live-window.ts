import type { LogLine } from '../../base/log-line.ts'

/** The latest lines of a store, which readers that keep up are served from. Their cursors follow on each other. */
export class LiveWindow {
  readonly #linesMax: number
  readonly #charactersMax: number
  #lines: LogLine[] = []
  #characters = 0

  constructor({ linesMax, charactersMax }: { linesMax: number; charactersMax: number }) {
    this.#linesMax = linesMax
    this.#charactersMax = charactersMax
  }

  add(lines: readonly LogLine[]): void {
    for (const line of lines) {
      this.#lines.push(line)
      this.#characters += sizeOf(line)
    }
    const isOver = this.#lines.length > this.#linesMax || this.#characters > this.#charactersMax
    if (isOver) this.#shrink()
  }

  /** By a tenth: removing each line when the next one comes would move all others each time. */
  #shrink(): void {
    let count = 0
    while (this.#lines.length - count > this.#linesMax * 0.9 || this.#characters > this.#charactersMax * 0.9) {
      this.#characters -= sizeOf(this.#lines[count] as LogLine)
      count++
    }
    this.#lines = this.#lines.slice(count)
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
