import type { JsonSchema } from '../../../service/index.ts'

const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const
export type TypeName = (typeof TYPES)[number]

/** Keywords that say nothing about which values are taken. */
const ANNOTATIONS = new Set([
  '$schema',
  '$id',
  '$defs',
  '$comment',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  // An annotation since draft 2019-09 (validation vocabulary, section 8).
  'contentEncoding',
  'contentMediaType',
])

const KNOWN = new Set([
  'type',
  'enum',
  'const',
  'anyOf',
  'oneOf',
  'allOf',
  '$ref',
  'minLength',
  'maxLength',
  'pattern',
  'format',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'items',
  'prefixItems',
  'minItems',
  'maxItems',
  'properties',
  'required',
  'additionalProperties',
  'propertyNames',
])

/** A schema is true (anything), false (nothing) or an object of keywords. */
export type SchemaValue = JsonSchema | boolean

/** A schema with the document it is part of, which its references mean. */
export interface Located {
  schema: SchemaValue
  root: SchemaValue
}

/** Keywords that are neither understood nor known to say nothing. */
export function unknownKeywords(schema: JsonSchema): string[] {
  return Object.keys(schema).filter((keyword) => !KNOWN.has(keyword) && !ANNOTATIONS.has(keyword))
}

export function isSchema(value: unknown): value is SchemaValue {
  return typeof value === 'boolean' || (typeof value === 'object' && value !== null && !Array.isArray(value))
}

/** Takes anything: no keyword says otherwise. */
export function takesAll(schema: SchemaValue): boolean {
  return typeof schema === 'boolean' ? schema : Object.keys(schema).every((keyword) => ANNOTATIONS.has(keyword))
}

/** Takes nothing. */
export function takesNothing(schema: SchemaValue): boolean {
  if (typeof schema === 'boolean') return !schema
  const { not } = schema
  return isSchema(not) && takesAll(not)
}

/** The schema that `$ref` names; only references into the same document. @returns undefined when there is none */
export function resolve({ schema, root }: Located): Located | undefined {
  let current = schema
  // A chain of references longer than this refers to itself.
  for (let i = 0; i < 32; i++) {
    if (typeof current === 'boolean' || typeof current.$ref !== 'string') return { schema: current, root }
    const target = byPointer(root, current.$ref)
    if (target === undefined) return undefined
    current = target
  }
  return undefined
}

/** JSON Pointer as a URI fragment (RFC 6901 section 6). */
function byPointer(root: SchemaValue, reference: string): SchemaValue | undefined {
  if (reference === '#') return root
  if (!reference.startsWith('#/')) return undefined
  let current: unknown = root
  for (const part of reference.slice(2).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) return undefined
    current = (current as Record<string, unknown>)[key]
  }
  return isSchema(current) ? current : undefined
}

/** The types a schema may take, by its own `type`, `enum` and `const`. */
export function typesOf(schema: JsonSchema): readonly TypeName[] {
  const named = TYPES.filter((name) => (Array.isArray(schema.type) ? schema.type.includes(name) : schema.type === name))
  if (named.length > 0) return named
  const values = valuesOf(schema)
  return values ? [...new Set(values.map(typeOfValue))] : TYPES.filter((name) => name !== 'integer')
}

/** The values a schema lists; undefined: it lists none. */
export function valuesOf(schema: JsonSchema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : undefined
}

/** The narrowest type a value has. */
export function typeOfValue(value: unknown): TypeName {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string') return 'string'
  return typeof value === 'boolean' ? 'boolean' : 'object'
}

/** Every integer is a number. */
export function isTypeWithin(type: TypeName, types: readonly TypeName[]): boolean {
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

/** A keyword's value, where it is a number; the same for what follows: what is of another type says nothing. */
export function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

export function schemas(value: unknown): SchemaValue[] {
  return Array.isArray(value) ? value.filter(isSchema) : []
}

export function schemaMap(value: unknown): Readonly<Record<string, SchemaValue>> {
  if (!isSchema(value) || typeof value === 'boolean') return {}
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, SchemaValue] => isSchema(entry[1])))
}

export function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
}
