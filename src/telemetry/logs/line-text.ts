import { LOG_LEVELS, type LogEntry, type LogLevel } from '../../base/log.ts'
import { FIELDS_CHARACTERS_MAX, LOGGER_CHARACTERS_MAX, MESSAGE_CHARACTERS_MAX } from './limits.ts'

/** A line on its way: in the spool, and in the parameters of `log_collector/add_logs`. */
export interface ShippedLine {
  /** Unix milliseconds, the node's clock. */
  timeMs: number
  level: LogLevel
  logger: string
  message: string
  /** A JSON object. */
  fieldsJson: string
  /** 32 hex digits or empty. */
  traceId: string
}

const TRACE_ID = /^[\da-f]{32}$/

/** The call a line belongs to: the one its fields name, else the one it was written in. */
export function traceOf({ fields }: LogEntry, current: string | undefined): string | undefined {
  const own = fields['traceId'] ?? fields['trace_id']
  return typeof own === 'string' && TRACE_ID.test(own) ? own : current
}

/**
 * The line as one line of JSON, with the field names of the Python program. The fields travel as text: nobody in between
 * has to read them, and no name in them can be taken for anything else.
 */
export function textOfEntry(entry: LogEntry, traceId: string | undefined): string {
  const { timeMs, level, logger, message, fields } = entry
  const trace = traceOf(entry, traceId)
  const fieldsJson = boundedFields(fields)
  return JSON.stringify({
    timestamp: timeMs,
    level,
    logger_name: boundedText(logger, LOGGER_CHARACTERS_MAX),
    message: boundedText(message, MESSAGE_CHARACTERS_MAX),
    ...(fieldsJson !== '{}' && { fields: fieldsJson }),
    ...(trace !== undefined && { trace_id: trace }),
  })
}

/**
 * What another node sent as a line, made safe: whatever is missing or of a wrong type is replaced, texts are cut, and what
 * could disguise a line or steer a terminal is written as an escape. Never throws.
 */
export function lineOf(value: unknown): ShippedLine {
  const { timestamp, level, logger_name, message, fields, trace_id } = recordOf(value)
  return {
    timeMs: typeof timestamp === 'number' && Number.isSafeInteger(timestamp) ? timestamp : 0,
    level: LOG_LEVELS.includes(level as LogLevel) ? (level as LogLevel) : 'WARNING',
    logger: safeText(logger_name, LOGGER_CHARACTERS_MAX) || 'unknown',
    message: safeText(message, MESSAGE_CHARACTERS_MAX),
    fieldsJson: fields === undefined ? '{}' : safeFields(fields),
    traceId: typeof trace_id === 'string' && TRACE_ID.test(trace_id) ? trace_id : '',
  }
}

/** The text, or its beginning with how much is missing. */
export function boundedText(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max).toWellFormed()}… [${text.length - max} more characters]`
}

/** The fields as a JSON object; what is too large or no JSON is replaced by a remark. */
export function boundedFields(fields: Record<string, unknown>): string {
  let json: string
  try {
    json = JSON.stringify(fields)
  } catch {
    return '{"…":"[fields that are no JSON]"}'
  }
  return json.length <= FIELDS_CHARACTERS_MAX ? json : `{"…":"[fields of ${json.length} characters left out]"}`
}

/** C0, DEL and C1 controls, line and paragraph separators, bidirectional overrides, halves of surrogate pairs. */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/u
const ALL_UNSAFE = new RegExp(UNSAFE, 'gu')

function safeText(value: unknown, max: number): string {
  if (typeof value !== 'string') return value === undefined ? '' : '[no text]'
  return boundedText(value, max).replace(ALL_UNSAFE, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function safeFields(value: unknown): string {
  if (typeof value !== 'string') return '{"…":"[fields that are no text]"}'
  if (value.length > FIELDS_CHARACTERS_MAX) return `{"…":"[fields of ${value.length} characters left out]"}`
  try {
    const fields: unknown = JSON.parse(value)
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) throw new TypeError('no object')
    // Written anew, what is unsafe can only stand inside strings, where an escape means the same character.
    return UNSAFE.test(value) ? JSON.stringify(fields).replace(ALL_UNSAFE, escaped) : value
  } catch {
    return '{"…":"[fields that are no JSON object]"}'
  }
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
