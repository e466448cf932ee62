import type { LogLevel, Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'

/** Lines of one instance: so many at once, then so many a second. */
const BURST_MAX = 1_000
const LINES_PER_SECOND = 100
const REPORT_MS = 1_000
/** Kept to explain an end. */
const TAIL_LINES = 20
const TAIL_CHARACTERS = 500

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
  #tokens = BURST_MAX
  #filledAtMs: number
  #leftOut = 0
  readonly #tail: string[] = []

  /** @param log of the service */
  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#filledAtMs = clock.nowMs()
  }

  /** The last lines that were no more than information, latest last. */
  get tail(): readonly string[] {
    return this.#tail
  }

  write(level: LogLevel, message: string, fields: Record<string, unknown>): void {
    if (level !== 'DEBUG' && level !== 'INFO') {
      this.#tail.push(message.slice(0, TAIL_CHARACTERS))
      if (this.#tail.length > TAIL_LINES) this.#tail.shift()
    }
    if (this.#mayWrite()) this.#log[WRITE[level]](message, fields)
    else this.#count()
  }

  #mayWrite(): boolean {
    const nowMs = this.#clock.nowMs()
    const earned = ((nowMs - this.#filledAtMs) / 1_000) * LINES_PER_SECOND
    this.#tokens = Math.min(BURST_MAX, this.#tokens + earned)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
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
