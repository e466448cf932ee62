import type { LogEntry, LogFields, Logger, LogLevel } from '../base/log.ts'
import { type Logger as Pino, pino } from 'pino'
import { escapeControls, redactFields, redactMessage } from './log-redaction.ts'
import { formatLogText } from './log-text.ts'

/** Gets every entry at or above the logger's level, in order, synchronously: keep it short. */
export type LogSink = (entry: LogEntry) => void

export interface LoggerOptions {
  /** The mildest level that is written. */
  level: LogLevel
  /** `text` for people (see `formatLogText`), `json` one object per line: level, time (ISO), logger, msg, fields. */
  format: 'text' | 'json'
  /** Gets whole lines; standard output when absent. */
  destination?: { write(line: string): unknown }
  sinks?: readonly LogSink[]
}

// pino wants its level names in lower case.
const LEVELS = { debug: 20, info: 30, warning: 40, error: 50, critical: 60 } as const
type Level = keyof typeof LEVELS
const ROOT_NAME = 'p2p'

/**
 * The real logger, on pino: in this process and synchronous, so that the last line before a crash is out.
 *
 * Fields with secret-looking names and secrets of a known shape are replaced, control characters escaped (one entry
 * cannot forge another), sizes bounded. Logging never throws: a broken field becomes a remark, a closed standard
 * output silence, a sink that throws is reported once. What a sink itself logs reaches the destination but no
 * sink, so that no storm can start.
 */
export function createLogger(options: LoggerOptions): Logger {
  const writer = pino<Level>(
    {
      level: options.level.toLowerCase(),
      customLevels: LEVELS,
      useOnlyCustomLevels: true,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label.toUpperCase() }) },
    },
    new LogOutput(options),
  )
  return new PinoLogger(writer, ROOT_NAME)
}

class PinoLogger implements Logger {
  readonly #pino: Pino<Level>
  readonly #name: string

  constructor(writer: Pino<Level>, name: string) {
    this.#pino = writer
    this.#name = name
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  warning(message: string, fields?: LogFields): void {
    this.#write('warning', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  critical(message: string, fields?: LogFields): void {
    this.#write('critical', message, fields)
  }

  child(name: string): Logger {
    return new PinoLogger(this.#pino, redactMessage(name))
  }

  #write(level: Level, message: string, fields?: LogFields): void {
    if (!this.#pino.isLevelEnabled(level)) return
    const record = { logger: this.#name, ...(fields && { fields: redactFields(fields) }) }
    // The text goes in as an argument of %s: pino would otherwise expand what looks like a format in it.
    this.#pino[level](record, '%s', redactMessage(message))
  }
}

/** What pino writes its JSON lines to: formats them and hands them on. */
class LogOutput {
  readonly #destination: { write(line: string): unknown }
  readonly #format: LoggerOptions['format']
  readonly #sinks: readonly LogSink[]
  readonly #failedSinks = new WeakSet<LogSink>()
  #isInSink = false

  constructor(options: LoggerOptions) {
    this.#destination = options.destination ?? standardOutput()
    this.#format = options.format
    this.#sinks = options.sinks ?? []
  }

  write(line: string): void {
    const entry = entryOf(line)
    // JSON leaves some controls as they are; inside its strings they may as well be written \u0085.
    const text = this.#format === 'json' ? escapeControls(line.trimEnd()) : formatLogText(entry)
    this.#send(`${text}\n`)
    this.#feedSinks(entry)
  }

  #send(line: string): void {
    try {
      this.#destination.write(line)
    } catch {
      // Nowhere is left to say that the log cannot be written; the program goes on.
    }
  }

  #feedSinks(entry: LogEntry): void {
    if (this.#isInSink) return
    this.#isInSink = true
    for (const sink of this.#sinks) {
      try {
        sink(entry)
      } catch (error) {
        this.#reportOnce(sink, error)
      }
    }
    this.#isInSink = false
  }

  #reportOnce(sink: LogSink, error: unknown): void {
    if (this.#failedSinks.has(sink)) return
    this.#failedSinks.add(sink)
    const report = { time: new Date().toISOString(), level: 'ERROR', logger: ROOT_NAME, msg: 'A log sink failed' }
    this.write(`${JSON.stringify({ ...report, fields: redactFields({ error }) })}\n`)
  }
}

function standardOutput(): LoggerOptions['destination'] & object {
  const output = pino.destination({ dest: 1, sync: true })
  // A reader that went away or a full disk must not end the program.
  output.on('error', () => {})
  return output
}

function entryOf(line: string): LogEntry {
  const { time, level, logger, msg, fields } = JSON.parse(line) as Record<string, unknown>
  return {
    timeMs: Date.parse(time as string),
    level: level as LogLevel,
    logger: logger as string,
    message: msg as string,
    fields: (fields as LogEntry['fields'] | undefined) ?? {},
  }
}
