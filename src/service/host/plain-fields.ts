import { P2PError } from '../../base/errors.ts'
import type { LogFields } from '../../base/log.ts'

const STACK_CHARACTERS_MAX = 8_192
const CAUSES_MAX = 5

/**
 * The fields of a log line as JSON takes them: errors spelled out in the form the node's log gives them. Never throws; a value
 * that cannot be JSON is left out. Secrets are replaced and sizes bounded by the node's log itself.
 */
export function plainFields(fields: LogFields): Record<string, unknown> {
  const plain: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    try {
      const text = JSON.stringify(value, spelledOut)
      if (text !== undefined) plain[name] = JSON.parse(text)
    } catch {
      plain[name] = '[unreadable]'
    }
  }
  return plain
}

function spelledOut(_name: string, value: unknown): unknown {
  if (value instanceof Error) return plainError(value, CAUSES_MAX)
  if (typeof value === 'bigint') return String(value)
  return value
}

function plainError(error: Error, causesLeft: number): object {
  const { name, message, cause } = error
  const code: unknown = (error as { code?: unknown }).code
  return {
    name,
    message,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(error instanceof P2PError ? { details: error.details } : { stack: framesOf(error) }),
    ...(cause instanceof Error && causesLeft > 0 && { cause: plainError(cause, causesLeft - 1) }),
  }
}

/** The stack without the message, which may hold anything. */
function framesOf({ stack }: Error): string[] {
  return String(stack)
    .slice(0, STACK_CHARACTERS_MAX)
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .map((line) => line.trim())
}
