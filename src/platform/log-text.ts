import type { LogEntry } from '../base/log.ts'
import { escapeControls } from './log-redaction.ts'

const PLAIN_VALUE = /^[\w.:/@+[\]-]+$/

/**
 * The entry as a line for people, in local time, without line end:
 * `12:34:56 | INFO     | Gossip               | Member joined nodeId=worker-1`.
 * The stack of an unexpected error follows on indented lines.
 */
export function formatLogText(entry: LogEntry): string {
  const head = `${timeOfDay(entry.timeMs)} | ${entry.level.padEnd(8)} | ${entry.logger.padEnd(20)} | ${entry.message}`
  const fields = Object.entries(entry.fields).map(([name, value]) => ` ${escapeControls(name)}=${textOf(value)}`)
  return head + fields.join('') + stackOf(entry.fields.error)
}

function timeOfDay(timeMs: number): string {
  const time = new Date(timeMs)
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':')
}

function textOf(value: unknown): string {
  if (isErrorRecord(value)) return textOf(errorText(value))
  if (typeof value === 'string' && PLAIN_VALUE.test(value)) return value
  return escapeControls(JSON.stringify(value) ?? 'undefined')
}

/** With what caused it: "fetch failed" alone says nothing. */
function errorText({ code, message, cause }: ErrorRecord): string {
  const own = code === undefined ? message : `${code}: ${message}`
  return isErrorRecord(cause) ? `${own}: ${errorText(cause)}` : own
}

function stackOf(error: unknown): string {
  if (!isErrorRecord(error) || !Array.isArray(error.stack)) return ''
  return error.stack.map((frame) => `\n    ${escapeControls(String(frame))}`).join('')
}

interface ErrorRecord {
  message: string
  code?: string | number
  stack?: unknown
  cause?: unknown
}

function isErrorRecord(value: unknown): value is ErrorRecord {
  return typeof value === 'object' && value !== null && 'name' in value && 'message' in value
}
