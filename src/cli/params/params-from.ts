import { CliError } from '../../base/errors.ts'
import { closest } from '../../config/index.ts'
import type { JsonSchema, MethodView } from '../session/wire.ts'
import { convert } from './convert.ts'

/**
 * The parameters of a call from `name=value` texts, typed as the method's schema says. A repeated name makes a list
 * where the schema has one.
 * @throws {CliError} P2P_CLI_USAGE: an unknown or missing name, a value that cannot be of its type
 */
export function paramsFrom(
  method: string,
  { params: schema }: MethodView,
  texts: readonly string[],
): Record<string, unknown> {
  const properties = schema?.properties ?? {}
  const given = new Map<string, string[]>()
  for (const text of texts) {
    const at = text.indexOf('=')
    if (at < 1) throw new CliError('P2P_CLI_USAGE', `--param "${text}" is not of the form name=value`)
    const name = text.slice(0, at)
    if (!Object.hasOwn(properties, name)) refuseUnknown(method, name, schema)
    given.set(name, [...(given.get(name) ?? []), text.slice(at + 1)])
  }
  const missing = (schema?.required ?? []).filter((name) => !given.has(name) && properties[name]?.default === undefined)
  if (missing.length > 0) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `${method} needs ${missing.join(', ')}; "p2p call ${method} --help" shows its parameters`,
    )
  }
  return Object.fromEntries([...given].map(([name, values]) => [name, convert(name, values, properties[name] ?? {})]))
}

function refuseUnknown(method: string, name: string, schema: JsonSchema | null): void {
  // Without a schema, or with one that takes anything, only the method itself can say.
  if (schema === null || schema.properties === undefined) return
  if (schema.additionalProperties !== undefined && schema.additionalProperties !== false) return
  const names = Object.keys(schema.properties)
  const suggestion = closest(name, names)
  const more = suggestion === undefined ? `it takes ${names.join(', ') || 'none'}` : `did you mean ${suggestion}?`
  throw new CliError('P2P_CLI_USAGE', `${method} has no parameter "${name}"; ${more}`)
}
