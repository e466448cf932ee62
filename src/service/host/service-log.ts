import type { LogLevel, Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import type { LogShare } from './log-budget.ts'

/** Between two remarks on lines that were left out. */
const REPORT_MS = 10_000
/** What a field counts for besides its text. */
const FIELD_CHARACTERS = 16
/** Kept to explain an end. */
const TAIL_LINES = 20
const TAIL_CHARACTERS = 500
/** What was written longer ago is not what it ended of. */
const TAIL_MS = 10_000

const WRITE = {
  DEBUG: 'debug',
  INFO: 'info',
  WARNING: 'warning',
  ERROR: 'error',
  CRITICAL: 'critical',
} as const satisfies Record<LogLevel, keyof Logger>

/** What one instance of a service writes to the node's log: a flood is cut short and counted. */
export class ServiceLog {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #share: LogShare
  #leftOut = 0
  readonly #tail: { line: string; atMs: number }[] = []

  /** @param log of the service */
  constructor(clock: Clock, log: Logger, share: LogShare) {
    this.#clock = clock
    this.#log = log
    this.#share = share
  }

  /** The last lines that were more than information, latest last: those of the last seconds. */
  get tail(): readonly string[] {
    const sinceMs = this.#clock.nowMs() - TAIL_MS
    return this.#tail.filter(({ atMs }) => atMs >= sinceMs).map(({ line }) => line)
  }

  write(level: LogLevel, message: string, fields: Record<string, unknown>): void {
    if (level !== 'DEBUG' && level !== 'INFO') {
      this.#tail.push({ line: message.slice(0, TAIL_CHARACTERS), atMs: this.#clock.nowMs() })
      if (this.#tail.length > TAIL_LINES) this.#tail.shift()
    }
    if (this.#share.take(lengthOf(message, fields))) this.#log[WRITE[level]](message, fields)
    else this.#count()
  }

  #count(): void {
    this.#leftOut++
    if (this.#leftOut > 1) return
    this.#clock.after(REPORT_MS, () => {
      const lines = this.#leftOut
      this.#leftOut = 0
      this.#log.warning('The service writes too many lines; some were left out', { lines })
    })
  }
}

function lengthOf(message: string, fields: Record<string, unknown>): number {
  let length = message.length
  for (const value of Object.values(fields)) length += FIELD_CHARACTERS + (typeof value === 'string' ? value.length : 0)
  return length
}
