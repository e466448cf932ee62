import type { JsonSchema } from '../../../service/index.ts'
import { isSameJson } from './accepts.ts'
import { names, schemaMap, type SchemaValue } from './keywords.ts'

const LOWER_BOUNDS = new Set(['minLength', 'minimum', 'exclusiveMinimum', 'minItems'])
const UPPER_BOUNDS = new Set(['maxLength', 'maximum', 'exclusiveMaximum', 'maxItems'])

/** One schema that takes what all of them take; undefined: they are not so simple. */
export function merge(
  parts: readonly SchemaValue[],
  resolved: (schema: SchemaValue) => SchemaValue | undefined,
): JsonSchema | undefined {
  const merged = new Map<string, unknown>()
  for (const part of parts) {
    const schema = resolved(part)
    if (schema === undefined || typeof schema === 'boolean') return undefined
    for (const [keyword, value] of Object.entries(schema)) {
      const both = merged.has(keyword) ? mergeValues(keyword, merged.get(keyword), value) : value
      if (both === undefined) return undefined
      merged.set(keyword, both)
    }
  }
  return Object.fromEntries(merged)
}

function mergeValues(keyword: string, a: unknown, b: unknown): unknown {
  if (isSameJson(a, b)) return a
  if (typeof a === 'number' && typeof b === 'number') {
    if (LOWER_BOUNDS.has(keyword)) return Math.max(a, b)
    return UPPER_BOUNDS.has(keyword) ? Math.min(a, b) : undefined
  }
  if (keyword === 'required') return [...new Set([...names(a), ...names(b)])]
  if (keyword !== 'properties') return undefined
  const properties = new Map<string, SchemaValue>(Object.entries(schemaMap(a)))
  for (const [name, schema] of Object.entries(schemaMap(b))) {
    const present = properties.get(name)
    properties.set(name, present === undefined ? schema : { allOf: [present, schema] })
  }
  return Object.fromEntries(properties)
}
