import type { Budget } from './budget.ts'
import {
  isTypeWithin,
  type Located,
  names,
  number,
  resolve,
  schemaMap,
  schemas,
  type SchemaValue,
  takesAll,
  takesNothing,
  typeOfValue,
  typesOf,
  unknownKeywords,
  valuesOf,
} from './keywords.ts'

/** Keywords whose word on a single value is not asked: a foreign pattern is never run, and values listed in schemas are scalars. */
const UNASKED = [
  'pattern',
  'format',
  'properties',
  'required',
  'additionalProperties',
  'propertyNames',
  'items',
  'prefixItems',
]

/** Whether a schema takes one value; undefined: cannot tell. */
export function accepts({ schema, root }: Located, value: unknown, budget: Budget, depth = 0): boolean | undefined {
  if (!budget.spend(depth)) return undefined
  const resolved = resolve({ schema, root })
  if (!resolved) return undefined
  const at = resolved.schema
  if (takesAll(at)) return true
  if (takesNothing(at) || typeof at === 'boolean') return false
  const ask = (part: SchemaValue): boolean | undefined => accepts({ schema: part, root }, value, budget, depth + 1)
  const type = typeOfValue(value)
  if (!isTypeWithin(type, typesOf(at))) return false
  const listed = valuesOf(at)
  if (listed && !listed.some((other) => isSameJson(other, value))) return false
  const answers: (boolean | undefined)[] = schemas(at.allOf).map(ask)
  for (const branches of [schemas(at.anyOf), schemas(at.oneOf)]) {
    if (branches.length > 0) answers.push(anyOf(branches.map(ask)))
  }
  answers.push(isWithinLimits(at, value))
  if (unknownKeywords(at).length > 0) answers.push(undefined)
  if (UNASKED.some((keyword) => keyword in at && appliesTo(keyword, type))) answers.push(undefined)
  if (answers.includes(false)) return false
  return answers.includes(undefined) ? undefined : true
}

/** Of scalars; objects are the same when their members also stand in the same order. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function anyOf(answers: readonly (boolean | undefined)[]): boolean | undefined {
  if (answers.includes(true)) return true
  return answers.includes(undefined) ? undefined : false
}

function appliesTo(keyword: string, type: string): boolean {
  if (keyword === 'pattern' || keyword === 'format') return type === 'string'
  return keyword === 'items' || keyword === 'prefixItems' ? type === 'array' : type === 'object'
}

function isWithinLimits(schema: Exclude<SchemaValue, boolean>, value: unknown): boolean {
  const limit = (keyword: string, otherwise: number): number => number(schema[keyword]) ?? otherwise
  if (typeof value === 'string') {
    // In UTF-16 code units, as Zod counts.
    return value.length >= limit('minLength', 0) && value.length <= limit('maxLength', Infinity)
  }
  if (typeof value === 'number') {
    const step = number(schema.multipleOf)
    return (
      value >= limit('minimum', -Infinity) &&
      value <= limit('maximum', Infinity) &&
      value > limit('exclusiveMinimum', -Infinity) &&
      value < limit('exclusiveMaximum', Infinity) &&
      (step === undefined || isMultiple(value, step))
    )
  }
  if (Array.isArray(value)) return value.length >= limit('minItems', 0) && value.length <= limit('maxItems', Infinity)
  return true
}

/** Whether `value` is a whole multiple of `step`, but for the rounding of binary fractions. */
export function isMultiple(value: number, step: number): boolean {
  const times = value / step
  return Math.abs(times - Math.round(times)) < 1e-9 * Math.max(1, Math.abs(times))
}

/** Whether no value is taken by both: only said when it is certain. */
export function areDisjoint(a: Located, b: Located, budget: Budget, depth = 0): boolean {
  if (!budget.spend(depth)) return false
  const [first, second] = [resolve(a), resolve(b)]
  if (!first || !second) return false
  const [x, y] = [first.schema, second.schema]
  if (takesNothing(x) || takesNothing(y)) return true
  if (typeof x === 'boolean' || typeof y === 'boolean' || takesAll(x) || takesAll(y)) return false
  for (const [one, other, isSwapped] of [
    [first, second, false],
    [second, first, true],
  ] as const) {
    const at = one.schema as Exclude<SchemaValue, boolean>
    const branches = [...schemas(at.anyOf), ...schemas(at.oneOf)]
    const isApart = (branch: SchemaValue): boolean => {
      const part = { schema: branch, root: one.root }
      return isSwapped ? areDisjoint(other, part, budget, depth + 1) : areDisjoint(part, other, budget, depth + 1)
    }
    if (branches.length > 0) return branches.every(isApart)
  }
  const [listedX, listedY] = [valuesOf(x), valuesOf(y)]
  if (listedX) return listedX.every((value) => accepts(second, value, budget) === false)
  if (listedY) return listedY.every((value) => accepts(first, value, budget) === false)
  const types = typesOf(y)
  if (!typesOf(x).some((type) => isTypeWithin(type, types) || (type === 'number' && types.includes('integer'))))
    return true
  if (!isOnly(x, 'object') || !isOnly(y, 'object')) return false
  const [propertiesX, propertiesY] = [schemaMap(x.properties), schemaMap(y.properties)]
  const required = new Set([...names(x.required), ...names(y.required)])
  return [...required].some((name) => {
    const [p, q] = [propertiesX[name], propertiesY[name]]
    if (p === undefined || q === undefined) return false
    return areDisjoint({ schema: p, root: first.root }, { schema: q, root: second.root }, budget, depth + 1)
  })
}

function isOnly(schema: Exclude<SchemaValue, boolean>, type: string): boolean {
  return typesOf(schema).every((name) => name === type)
}
