import { P2PError } from '../base/errors.ts'
import type { LogFields } from '../base/log.ts'
import { REDACTED, withoutSecrets } from '../base/secret-shapes.ts'

const TEXT_CHARACTERS_MAX = 8_192
const FIELDS_MAX = 64
const ITEMS_MAX = 100
const DEPTH_MAX = 5
const STACK_FRAMES_MAX = 20

const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token|authorization|cookie|credential|(?:private|api|recovery|join|master|plot|session|signing|encryption)_?-?key/i
/** Names that only speak of a secret: `tokenId`, `cookieCount`, `passwordFile`. */
const HARMLESS_NAME =
  /[_-](?:ids?|counts?|ms|names?|paths?|files?|kinds?|status)$|[a-z](?:Ids?|Counts?|Ms|Names?|Paths?|Files?|Kinds?|Status)$/

/** C0, DEL and C1 controls, line and paragraph separators, bidirectional overrides: all that can fake a line. */
// oxlint-disable-next-line no-control-regex
const UNSAFE_CHARACTERS = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

/** The text with characters that could end or disguise a log line written as `\n` or `\u001b`. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE_CHARACTERS, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\r') return '\\r'
    if (character === '\t') return '\\t'
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** The text cut to 8,192 characters, with the secrets replaced that have a shape of their own. */
function redactText(text: string): string {
  const cut = text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text
  return withoutSecrets(cut)
}

/** A message is text; whatever else a careless caller hands in becomes text. */
export function redactMessage(message: unknown): string {
  const safe = redactValue(message, 0)
  return escapeControls(typeof safe === 'string' ? safe : (JSON.stringify(safe) ?? 'undefined'))
}

/**
 * The fields as plain JSON: values under secret-looking names replaced, errors spelled out, everything bounded
 * (64 fields and 100 items each, 5 levels). Whatever cannot be read is replaced by a remark; never throws.
 */
export function redactFields(fields: LogFields): Record<string, unknown> {
  const safe = redactValue(fields, 0)
  return typeof safe === 'object' && safe !== null ? (safe as Record<string, unknown>) : { value: safe }
}

function redactValue(value: unknown, depth: number): unknown {
  try {
    if (typeof value === 'object' && value !== null) return redactObject(value, depth)
    if (typeof value === 'function') return '[function]'
    if (typeof value === 'string') return redactText(value)
    const isJson = value === null || typeof value === 'boolean' || value === undefined || Number.isFinite(value)
    return isJson ? value : String(value as number | bigint | symbol)
  } catch {
    return '[unreadable]'
  }
}

function redactObject(value: object, depth: number): unknown {
  if (value instanceof Error) return redactError(value, depth)
  if (value instanceof Date) return value.toJSON()
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (depth >= DEPTH_MAX) return '[too deep]'
  if (value instanceof Map) return redactObject(Object.fromEntries(value), depth)
  if (value instanceof Set) return redactObject([...value], depth)
  if (Array.isArray(value)) {
    const items = value.slice(0, ITEMS_MAX).map((item) => redactValue(item, depth + 1))
    return value.length > ITEMS_MAX ? [...items, `[${value.length - ITEMS_MAX} more]`] : items
  }
  const safe: Record<string, unknown> = Object.create(null)
  const names = Object.keys(value)
  for (const name of names.slice(0, FIELDS_MAX)) {
    const read = redactValue(readField(value, name), depth + 1)
    safe[redactText(name)] = isSecret(name, read) ? REDACTED : read
  }
  if (names.length > FIELDS_MAX) safe['…'] = `[${names.length - FIELDS_MAX} more]`
  return safe
}

function readField(value: object, name: string): unknown {
  try {
    return (value as Record<string, unknown>)[name]
  } catch {
    return '[unreadable]'
  }
}

function isSecret(name: string, value: unknown): boolean {
  const isRevealing = typeof value === 'string' || (typeof value === 'object' && value !== null)
  return isRevealing && SECRET_NAME.test(name) && !HARMLESS_NAME.test(name)
}

/** Our own errors explain themselves; of all others the stack is kept, since they may be bugs. */
function redactError(error: Error, depth: number): unknown {
  const safe: Record<string, unknown> = { name: redactText(error.name), message: redactText(error.message) }
  if ('code' in error && (typeof error.code === 'string' || typeof error.code === 'number')) safe.code = error.code
  if (error instanceof P2PError) {
    if (Object.keys(error.details).length > 0) safe.details = redactValue(error.details, depth + 1)
  } else {
    safe.stack = framesOf(error)
  }
  if (depth >= DEPTH_MAX) return safe
  if (error.cause !== undefined) safe.cause = redactValue(error.cause, depth + 1)
  if (error instanceof AggregateError) safe.errors = redactValue(error.errors, depth + 1)
  return safe
}

/** The stack without the message, which may hold anything. */
function framesOf(error: Error): string[] {
  if (typeof error.stack !== 'string') return []
  return error.stack
    .slice(0, TEXT_CHARACTERS_MAX)
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, STACK_FRAMES_MAX)
    .map((line) => redactText(line.trim()))
}
