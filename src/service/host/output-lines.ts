import type { Readable } from 'node:stream'
import type { LogLevel } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'

/** What is longer is cut; the log keeps half of it. */
const LINE_CHARACTERS_MAX = 16_384
/** Read at most in one window; then the writer waits for the next one. */
const WINDOW_BYTES_MAX = 1024 * 1024
const WINDOW_MS = 100

/** One line a program wrote. */
export interface OutputLine {
  level: LogLevel
  message: string
  fields: Record<string, unknown>
}

/**
 * Makes lines of what a program writes to its standard output or error. A writer that writes without end is slowed down, a
 * line without end is cut.
 */
export function readLines(
  stream: Readable,
  { clock, level, onLine }: { clock: Clock; level: LogLevel; onLine: (line: OutputLine) => void },
): void {
  const decoder = new TextDecoder()
  let line = ''
  let windowBytes = 0
  let window: Timer | undefined
  const add = (text: string): void => {
    if (line.length < LINE_CHARACTERS_MAX) line += text.slice(0, LINE_CHARACTERS_MAX - line.length)
  }
  const end = (): void => {
    const whole = line.endsWith('\r') ? line.slice(0, -1) : line
    line = ''
    if (whole !== '') onLine(parseLine(whole, level))
  }
  const take = (text: string): void => {
    let from = 0
    for (let to = text.indexOf('\n'); to !== -1; to = text.indexOf('\n', from)) {
      add(text.slice(from, to))
      end()
      from = to + 1
    }
    add(text.slice(from))
  }
  stream.on('data', (chunk: Buffer) => {
    take(decoder.decode(chunk, { stream: true }))
    windowBytes += chunk.length
    window ??= clock.after(WINDOW_MS, () => {
      window = undefined
      windowBytes = 0
      stream.resume()
    })
    if (windowBytes > WINDOW_BYTES_MAX) stream.pause()
  })
  stream.once('close', () => {
    window?.cancel()
    end()
  })
  // A program that ends takes its end of the pipe with it.
  stream.on('error', () => {})
}

/** pino's numbers and the names of other loggers. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  10: 'DEBUG',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARNING',
  50: 'ERROR',
  60: 'CRITICAL',
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  notice: 'INFO',
  warn: 'WARNING',
  warning: 'WARNING',
  error: 'ERROR',
  err: 'ERROR',
  fatal: 'CRITICAL',
  critical: 'CRITICAL',
}

/** A line of JSON as loggers write it keeps its level and fields; everything else is a message. */
function parseLine(text: string, level: LogLevel): OutputLine {
  const plain = { level, message: text, fields: {} }
  if (!text.startsWith('{') || !text.endsWith('}')) return plain
  let value: Record<string, unknown>
  try {
    value = JSON.parse(text) as Record<string, unknown>
  } catch {
    return plain
  }
  // The log has a time of its own.
  const { level: own, msg, message = msg, time: _time, timestamp: _timestamp, ...fields } = value
  if (typeof message !== 'string') return plain
  return { level: LEVELS[String(own).toLowerCase()] ?? level, message, fields }
}
