import type { LogLevel } from '../base/log.ts'

/** One log line before it is written: safe to show, store and send. */
export interface LogEntry {
  /** Unix milliseconds. */
  timeMs: number
  level: LogLevel
  /** Name of the logger, for example `Gossip`. */
  logger: string
  /** Control characters escaped, secrets replaced, at most 8,192 characters. */
  message: string
  /** Plain JSON, redacted and bounded. */
  fields: Record<string, unknown>
}
