import { CliError } from '../../base/errors.ts'
import type { JsonSchema } from '../session/wire.ts'

/**
 * What a person typed for one parameter, as the JSON value its schema asks for.
 * @param texts one, or several for a list
 * @throws {CliError} P2P_CLI_USAGE
 */
export function convert(name: string, texts: readonly string[], schema: JsonSchema): unknown {
  const types = typesOf(schema)
  const [first = '', ...others] = texts
  if (types.has('array') && (others.length > 0 || !first.trimStart().startsWith('['))) {
    return texts.map((text) => convertOne(name, text, schema.items ?? {}))
  }
  if (others.length > 0)
    throw new CliError('P2P_CLI_USAGE', `--param ${name} is given ${texts.length} times, and takes one value`)
  return convertOne(name, first, schema)
}

function convertOne(name: string, text: string, schema: JsonSchema): unknown {
  const allowed = schema.enum
  if (allowed) {
    const found = allowed.find((value) => String(value) === text)
    if (found !== undefined) return found
    throw mismatch(name, text, `one of ${allowed.map(String).join(', ')}`)
  }
  const types = typesOf(schema)
  // In the order of how much a text must look like it: a string takes everything, so it comes last.
  if (types.has('null') && text === 'null') return null
  if (types.has('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  if (types.has('integer') && /^-?\d+$/.test(text)) return Number(text)
  if (types.has('number') && text.trim() !== '' && Number.isFinite(Number(text))) return Number(text)
  if (types.has('object') || types.has('array')) {
    const value = jsonOf(text)
    if (types.has(Array.isArray(value) ? 'array' : typeof value)) return value
  }
  if (types.has('string')) return text
  if (types.size === 0) return jsonOf(text) ?? text
  throw mismatch(name, text, [...types].join(' or '))
}

function typesOf(schema: JsonSchema): Set<string> {
  const own = schema.type === undefined ? [] : [schema.type].flat()
  return new Set([...own, ...(schema.anyOf ?? []).flatMap((option) => [...typesOf(option)])])
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function mismatch(name: string, text: string, expected: string): CliError {
  return new CliError('P2P_CLI_USAGE', `--param ${name}: expected ${expected}, not "${text}"`)
}
