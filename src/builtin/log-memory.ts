import type { LogFilter } from '../base/log-line.ts'
import type { LogEntry, LogLevel } from '../base/log.ts'
import { boundedFields, boundedText, lineMatcher, MESSAGE_CHARACTERS_MAX, traceOf } from '../telemetry/index.ts'

/** Room a line has on average. Most need a tenth; one with a stack needs all of it. */
export const LINE_BYTES_MEAN = 2_048
/** A page of lines must fit into one message between nodes (8 MiB) and into a reader's memory. */
export const PAGE_BYTES_MAX = 4 * 1_024 * 1_024
/** What a line costs besides its texts: the object, its slot, its number. */
const LINE_BYTES_FIXED = 96

/** A line of this node. `traceId` is absent when it belongs to no call. */
export type RememberedEntry = LogEntry & { traceId?: string }

export interface LogPage {
  /** Newest first. */
  entries: RememberedEntry[]
  /** How many lines match in all. */
  total: number
}

/** The last lines of one node's log. */
export interface LogMemory {
  /** Takes one line; a sink for `createLogger`. Never throws, whatever the line holds. */
  readonly sink: (entry: LogEntry) => void
  /**
   * The lines that match, without the newest `offset` of them. A page ends after `limit` lines, or earlier when it
   * would grow beyond 4 MiB; it has at least one line when one is left.
   */
  find(filter: LogFilter, page: { offset: number; limit: number }): LogPage
  /** Lines that are kept. */
  readonly count: number
  /** Names of the loggers that wrote what is kept, in order. */
  loggers(): string[]
  /** Forgets every line. @returns how many there were */
  clear(): number
}

export interface LogMemoryOptions {
  /** Lines kept at most. They are also held to 2 KiB each on average: beyond that the oldest go earlier. */
  max: number
  /** Trace of the call on whose behalf code is running. */
  traceId?: () => string | undefined
}

export function createLogMemory(options: LogMemoryOptions): LogMemory {
  return new LogRing(options)
}

/** A line as it is kept: the fields as text, which is small and is what a search looks through. */
interface KeptLine {
  timeMs: number
  level: LogLevel
  logger: string
  message: string
  fieldsJson: string
  /** Empty when the line belongs to no call. */
  traceId: string
  bytes: number
}

class LogRing implements LogMemory {
  readonly #max: number
  readonly #bytesMax: number
  readonly #traceId: () => string | undefined
  /** The line with number n is in slot n modulo the maximum. */
  readonly #slots: (KeptLine | undefined)[] = []
  #oldest = 0
  #next = 0
  #bytes = 0

  constructor({ max, traceId = () => undefined }: LogMemoryOptions) {
    this.#max = max
    this.#traceId = traceId
    this.#bytesMax = max * LINE_BYTES_MEAN
  }

  readonly sink = (entry: LogEntry): void => {
    const line = keptLine(entry, traceOf(entry, this.#traceId()))
    while (this.#oldest < this.#next && (this.#isFull() || this.#bytes + line.bytes > this.#bytesMax)) {
      this.#dropOldest()
    }
    this.#slots[this.#next % this.#max] = line
    this.#next++
    this.#bytes += line.bytes
  }

  find(filter: LogFilter, { offset, limit }: { offset: number; limit: number }): LogPage {
    const matches = lineMatcher(filter)
    const entries: RememberedEntry[] = []
    let total = 0
    let pageBytes = 0
    let isPageOpen = true
    for (const line of this.#newestFirst()) {
      if (!matches(line)) continue
      total++
      if (total <= offset || !isPageOpen) continue
      pageBytes += line.bytes
      isPageOpen = entries.length < limit && (entries.length === 0 || pageBytes <= PAGE_BYTES_MAX)
      if (isPageOpen) entries.push(entryOf(line))
    }
    return { entries, total }
  }

  get count(): number {
    return this.#next - this.#oldest
  }

  loggers(): string[] {
    return [...new Set([...this.#newestFirst()].map((line) => line.logger))].sort()
  }

  clear(): number {
    const count = this.#next - this.#oldest
    while (this.#oldest < this.#next) this.#dropOldest()
    return count
  }

  #isFull(): boolean {
    return this.#next - this.#oldest === this.#max
  }

  #dropOldest(): void {
    const slot = this.#oldest % this.#max
    this.#bytes -= (this.#slots[slot] as KeptLine).bytes
    this.#slots[slot] = undefined
    this.#oldest++
  }

  *#newestFirst(): Generator<KeptLine> {
    for (let number = this.#next - 1; number >= this.#oldest; number--) {
      yield this.#slots[number % this.#max] as KeptLine
    }
  }
}

function keptLine({ timeMs, level, logger, message, fields }: LogEntry, traceId = ''): KeptLine {
  const text = boundedText(message, MESSAGE_CHARACTERS_MAX)
  const fieldsJson = boundedFields(fields)
  // Two bytes a character is the most an engine takes.
  const bytes = LINE_BYTES_FIXED + 2 * (logger.length + text.length + fieldsJson.length)
  return { timeMs, level, logger, message: text, fieldsJson, traceId, bytes }
}

function entryOf({ timeMs, level, logger, message, fieldsJson, traceId }: KeptLine): RememberedEntry {
  const fields = JSON.parse(fieldsJson) as Record<string, unknown>
  return { timeMs, level, logger, message, fields, ...(traceId !== '' && { traceId }) }
}
