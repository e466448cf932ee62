/** The Python program's five levels, mildest first. */
export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Structured facts beside a message. Values must be JSON-representable; an Error goes under `error`. */
export type LogFields = Readonly<Record<string, unknown>>

/** One line of a node's log, safe to show, keep and send. */
export interface LogEntry {
  /** Unix milliseconds. */
  timeMs: number
  level: LogLevel
  /** Name of the logger, for example `Gossip`. */
  logger: string
  /** Control characters escaped, secrets replaced, bounded. */
  message: string
  /** Plain JSON, redacted and bounded. */
  fields: Record<string, unknown>
}

/**
 * What every component writes its log lines to. A message is one sentence; variable parts belong in
 * `fields`, so that lines can be searched. Secrets never go into either.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warning(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  critical(message: string, fields?: LogFields): void
  /** A logger whose lines carry `name` as their logger name, for example `Gossip`. */
  child(name: string): Logger
}

/** A logger that keeps nothing: for tests and for tools that have no use for log lines. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warning: () => {},
  error: () => {},
  critical: () => {},
  child: () => silentLogger,
}
