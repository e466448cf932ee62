import type { JsonSchema } from '../../../service/index.ts'
import { accepts, areDisjoint, isMultiple, isSameJson } from './accepts.ts'
import { Budget } from './budget.ts'
import {
  isSchema,
  isTypeWithin,
  names,
  number,
  resolve,
  schemaMap,
  schemas,
  type SchemaValue,
  takesAll,
  takesNothing,
  type TypeName,
  typesOf,
  unknownKeywords,
  valuesOf,
} from './keywords.ts'
import { merge } from './merge.ts'
import { highest, lowest } from './number-bounds.ts'

export interface Finding {
  /** A sentence for people. */
  what: string
  /** False: it may be a difference that breaks nobody. */
  isCertain: boolean
}

/** Findings that are told. */
const FINDINGS_MAX = 20

const TYPE_WORDS: Record<TypeName, string> = {
  null: 'null',
  boolean: 'a boolean',
  integer: 'an integer',
  number: 'a number',
  string: 'a string',
  array: 'an array',
  object: 'an object',
}

/**
 * What a caller could stumble over when a schema changes (JSON Schema, draft 2020-12, as Zod writes it).
 * - `params`: the new one must take whatever the old one took
 * - `result`: whatever the new one gives must be what the old one promised; additional properties are no harm
 */
export function schemaFindings(before: JsonSchema, after: JsonSchema, side: 'params' | 'result'): Finding[] {
  if (isSameJson(before, after)) return []
  const [sub, sup] = side === 'params' ? [before, after] : [after, before]
  const findings = new Comparison(sub, sup, side).within(sub, sup, side, 0)
  const byText = new Map<string, Finding>()
  for (const finding of findings) {
    const known = byText.get(finding.what)
    if (!known || !known.isCertain) byText.set(finding.what, finding)
  }
  return [...byText.values()].slice(0, FINDINGS_MAX)
}

/** Whether all that `sub` takes is taken by `sup`; each finding is a reason why not. */
class Comparison {
  readonly #subRoot: SchemaValue
  readonly #supRoot: SchemaValue
  readonly #side: 'params' | 'result'
  /** Pairs under comparison: one that comes up again inside itself holds if the rest does. */
  readonly #open = new Map<SchemaValue, Set<SchemaValue>>()
  readonly #budget = new Budget()

  constructor(subRoot: SchemaValue, supRoot: SchemaValue, side: 'params' | 'result') {
    this.#subRoot = subRoot
    this.#supRoot = supRoot
    this.#side = side
  }

  within(subHere: SchemaValue, supHere: SchemaValue, path: string, depth: number): Finding[] {
    if (!this.#budget.spend(depth)) return [unclear('the schema is too large to be compared')]
    const sub = resolve({ schema: subHere, root: this.#subRoot })?.schema
    const sup = resolve({ schema: supHere, root: this.#supRoot })?.schema
    if (sub === undefined || sup === undefined) return [unclear(`${path} refers to a schema that is not there`)]
    if (takesAll(sup) || takesNothing(sub)) return []
    if (takesNothing(sup) || typeof sup === 'boolean') return [this.#breaks(path, 'any value')]
    const open = this.#open.get(sub) ?? new Set()
    if (open.has(sup)) return []
    this.#open.set(sub, open.add(sup))
    const findings =
      typeof sub === 'boolean' || takesAll(sub)
        ? [this.#breaks(path, 'values of every kind')]
        : this.#withinObject(sub, sup, path, depth + 1)
    open.delete(sup)
    return findings
  }

  #withinObject(sub: JsonSchema, sup: JsonSchema, path: string, depth: number): Finding[] {
    const { anyOf, oneOf, ...rest } = sub
    const branches = [...schemas(anyOf), ...schemas(oneOf)]
    // Both at once is more than Zod writes: what takes either takes no less.
    if (branches.length > 0) {
      return branches.flatMap((branch) => this.within(takesAll(rest) ? branch : both(rest, branch), sup, path, depth))
    }
    const values = valuesOf(sub)
    if (values) return this.#valuesWithin(values, sup, path)
    const types = typesOf(sub)
    if (types.length > 1) return types.flatMap((type) => this.#typeWithin({ ...sub, type }, type, sup, path, depth))
    return this.#typeWithin(sub, types[0] as TypeName, sup, path, depth)
  }

  #valuesWithin(values: readonly unknown[], sup: JsonSchema, path: string): Finding[] {
    const findings: Finding[] = []
    for (const value of values) {
      const answer = accepts({ schema: sup, root: this.#supRoot }, value, this.#budget)
      if (answer === false) findings.push(this.#breaks(path, text(value)))
      else if (answer === undefined) findings.push(unclear(`whether ${path} may be ${text(value)} cannot be told`))
    }
    return findings
  }

  /** `sub` takes one type only. */
  #typeWithin(sub: JsonSchema, type: TypeName, sup: JsonSchema, path: string, depth: number): Finding[] {
    const { anyOf, oneOf, allOf, ...own } = sup
    const findings = this.#ownWithin(sub, type, own, path, depth)
    for (const branches of [schemas(anyOf), schemas(oneOf)]) {
      if (branches.length > 0) findings.push(...this.#withinOneOf(sub, type, branches, path, depth))
    }
    for (const part of schemas(allOf)) findings.push(...this.within(sub, part, path, depth))
    return findings
  }

  #withinOneOf(
    sub: JsonSchema,
    type: TypeName,
    branches: readonly SchemaValue[],
    path: string,
    depth: number,
  ): Finding[] {
    if (type === 'boolean' || type === 'null') {
      return this.#valuesWithin(type === 'null' ? [null] : [false, true], { anyOf: branches }, path)
    }
    const attempts = branches.map((branch) => this.within(sub, branch, path, depth))
    if (attempts.some((findings) => findings.length === 0)) return []
    const possible = attempts.filter((_, i) => {
      const branch = { schema: branches[i] as SchemaValue, root: this.#supRoot }
      return !areDisjoint({ schema: sub, root: this.#subRoot }, branch, this.#budget)
    })
    if (possible.length === 0) return [this.#breaks(path, this.#kindOf(sub, type))]
    if (possible.length === 1) return possible[0] as Finding[]
    return [unclear(`whether one of the forms of ${path} takes ${TYPE_WORDS[type]} as before cannot be told`)]
  }

  /** Against the keywords of `sup` itself: none of them combines schemas. */
  #ownWithin(sub: JsonSchema, type: TypeName, sup: JsonSchema, path: string, depth: number): Finding[] {
    if (takesAll(sup)) return []
    const types = typesOf(sup)
    if (!isTypeWithin(type, types)) {
      const isNarrower = type === 'number' && types.includes('integer')
      return [this.#breaks(path, isNarrower ? 'a number with a fraction' : this.#kindOf(sub, type))]
    }
    const values = valuesOf(sup)
    if (values) {
      if (type === 'boolean' || type === 'null') {
        return this.#valuesWithin(type === 'null' ? [null] : [false, true], sup, path)
      }
      return [this.#breaks(path, `${TYPE_WORDS[type]} other than ${list(values)}`)]
    }
    const parts = schemas(sub.allOf)
    if (parts.length > 0) return this.#intersectionWithin(sub, parts, sup, path, depth)
    const findings = this.#keywordsWithin(sub, type, sup, path, depth)
    const unknown = unknownKeywords(sup).filter((keyword) => !isSameJson(sub[keyword], sup[keyword]))
    findings.push(...unknown.map((keyword) => unclear(`what \`${keyword}\` of ${path} means is not known here`)))
    // What narrows the first one in a way that is not understood may be why the second one is enough.
    const isNarrowed = unknownKeywords(sub).length > 0
    return isNarrowed ? findings.map(({ what }) => ({ what, isCertain: false })) : findings
  }

  /** Enough that one part is within; else the parts are merged, if they are so simple that this can be done. */
  #intersectionWithin(
    sub: JsonSchema,
    parts: readonly SchemaValue[],
    sup: JsonSchema,
    path: string,
    depth: number,
  ): Finding[] {
    const { allOf: _, ...rest } = sub
    const all = [rest, ...parts]
    for (const part of all) {
      const typed = typeof part === 'boolean' || part.type || part.$ref ? part : { ...part, type: sub.type }
      if (this.within(typed, sup, path, depth).length === 0) return []
    }
    const merged = merge(all, (schema) => resolve({ schema, root: this.#subRoot })?.schema)
    return merged
      ? this.within(merged, sup, path, depth)
      : [unclear(`how the parts of ${path} go together cannot be told`)]
  }

  #keywordsWithin(sub: JsonSchema, type: TypeName, sup: JsonSchema, path: string, depth: number): Finding[] {
    switch (type) {
      case 'null':
      case 'boolean':
        return []
      case 'integer':
      case 'number':
        return this.#numbersWithin(sub, type, sup, path)
      case 'string':
        return this.#stringsWithin(sub, sup, path)
      case 'array':
        return this.#arraysWithin(sub, sup, path, depth)
      case 'object':
        return this.#objectsWithin(sub, sup, path, depth)
    }
  }

  #numbersWithin(sub: JsonSchema, type: 'integer' | 'number', sup: JsonSchema, path: string): Finding[] {
    const findings: Finding[] = []
    const [low, supLow] = [lowest(sub, type), lowest(sup, type)]
    if (supLow.value > low.value || (supLow.value === low.value && supLow.isOpen && !low.isOpen)) {
      findings.push(this.#breaks(path, `a number ${supLow.isOpen ? 'up to' : 'below'} ${supLow.value}`))
    }
    const [high, supHigh] = [highest(sub, type), highest(sup, type)]
    if (supHigh.value < high.value || (supHigh.value === high.value && supHigh.isOpen && !high.isOpen)) {
      findings.push(
        this.#breaks(
          path,
          `a number ${supHigh.isOpen ? 'from' : 'above'} ${supHigh.value}${supHigh.isOpen ? ' on' : ''}`,
        ),
      )
    }
    const step = number(sup.multipleOf)
    const subStep = number(sub.multipleOf) ?? (type === 'integer' ? 1 : undefined)
    if (step !== undefined && (subStep === undefined || !isMultiple(subStep, step))) {
      findings.push(this.#breaks(path, `a number that is no multiple of ${step}`))
    }
    return findings
  }

  #stringsWithin(sub: JsonSchema, sup: JsonSchema, path: string): Finding[] {
    const findings: Finding[] = []
    const [min, max] = [number(sup.minLength) ?? 0, number(sup.maxLength) ?? Infinity]
    if (min > (number(sub.minLength) ?? 0)) findings.push(this.#breaks(path, `a string shorter than ${min}`))
    if (max < (number(sub.maxLength) ?? Infinity)) findings.push(this.#breaks(path, `a string longer than ${max}`))
    if (sup.format !== undefined && sup.format !== sub.format) {
      findings.push(this.#breaks(path, `a string that is no ${text(sup.format)}`))
    } else if (sup.pattern !== undefined && sup.pattern !== sub.pattern) {
      const isNew = sub.pattern === undefined && sub.format === undefined
      findings.push(
        isNew
          ? this.#breaks(path, `a string that does not match ${text(sup.pattern)}`)
          : unclear(`whether the pattern of ${path} takes the same strings as before cannot be told`),
      )
    }
    return findings
  }

  #arraysWithin(sub: JsonSchema, sup: JsonSchema, path: string, depth: number): Finding[] {
    const findings: Finding[] = []
    const subMax = number(sub.maxItems) ?? Infinity
    const [min, max] = [number(sup.minItems) ?? 0, number(sup.maxItems) ?? Infinity]
    if (min > (number(sub.minItems) ?? 0)) findings.push(this.#breaks(path, `an array of fewer than ${min} items`))
    if (max < subMax) findings.push(this.#breaks(path, `an array of more than ${max} items`))
    const [subPrefix, supPrefix] = [schemas(sub.prefixItems), schemas(sup.prefixItems)]
    const [subItems, supItems] = [schemaOr(sub.items, true), schemaOr(sup.items, true)]
    const fixed = Math.max(subPrefix.length, supPrefix.length)
    for (let i = 0; i < fixed && i < Math.min(subMax, max); i++) {
      findings.push(...this.within(subPrefix[i] ?? subItems, supPrefix[i] ?? supItems, `${path}[${i}]`, depth))
    }
    if (Math.min(subMax, max) > fixed) findings.push(...this.within(subItems, supItems, `${path}[]`, depth))
    return findings
  }

  #objectsWithin(sub: JsonSchema, sup: JsonSchema, path: string, depth: number): Finding[] {
    const [subProperties, supProperties] = [schemaMap(sub.properties), schemaMap(sup.properties)]
    const findings: Finding[] = []
    const always = new Set(names(sub.required))
    for (const name of names(sup.required)) {
      if (always.has(name)) continue
      const how = this.#side === 'params' ? 'is now required' : 'is no longer always there'
      findings.push({ what: `${path}.${name} ${how}`, isCertain: true })
    }
    const required = new Set(names(sup.required))
    for (const [name, property] of Object.entries(supProperties)) {
      const before = Object.hasOwn(subProperties, name) ? subProperties[name] : undefined
      if (before !== undefined) findings.push(...this.within(before, property, `${path}.${name}`, depth))
      else if (isTyped(sub.additionalProperties)) {
        findings.push(...this.within(sub.additionalProperties as SchemaValue, property, `${path}.${name}`, depth))
      } else if (this.#side === 'result' && !required.has(name)) {
        findings.push(unclear(`${path}.${name}, which was optional, is not given any more`))
      }
    }
    for (const [name, property] of Object.entries(subProperties)) {
      if (!Object.hasOwn(supProperties, name)) findings.push(...this.#extraWithin(name, property, sup, path, depth))
    }
    findings.push(...this.#othersWithin(sub, sup, path, depth), ...this.#namesWithin(sub, sup, path, depth))
    return findings
  }

  /** A property that only `sub` names. */
  #extraWithin(name: string, property: SchemaValue, sup: JsonSchema, path: string, depth: number): Finding[] {
    if (takesNothing(property)) return []
    const others = schemaOr(sup.additionalProperties, true)
    if (isTyped(others)) return this.within(property, others, `${path}.${name}`, depth)
    // A caller does not look at what it was not told of.
    if (others !== false || this.#side === 'result') return []
    return [{ what: `${path}.${name} is no longer taken`, isCertain: true }]
  }

  /** Properties that neither names. */
  #othersWithin(sub: JsonSchema, sup: JsonSchema, path: string, depth: number): Finding[] {
    const [before, after] = [schemaOr(sub.additionalProperties, true), schemaOr(sup.additionalProperties, true)]
    if (before === false || takesAll(after)) return []
    if (isTyped(before) && isTyped(after)) return this.within(before, after, `${path}.*`, depth)
    if (this.#side === 'result' && after === false) return []
    if (isTyped(before)) return [this.#breaks(path, 'an object with properties of any name')]
    // What was ignored before is refused, or looked at, now.
    return [unclear(`${path} now looks at properties that it ignored before`)]
  }

  #namesWithin(sub: JsonSchema, sup: JsonSchema, path: string, depth: number): Finding[] {
    if (!isSchema(sup.propertyNames) || isSameJson(sup.propertyNames, { type: 'string' })) return []
    const findings = Object.keys(schemaMap(sub.properties)).flatMap((name) =>
      this.#valuesWithin([name], sup.propertyNames as JsonSchema, `the name ${path}.${name}`),
    )
    if (sub.additionalProperties === false) return findings
    return [
      ...findings,
      ...this.within(schemaOr(sub.propertyNames, { type: 'string' }), sup.propertyNames, `a name in ${path}`, depth),
    ]
  }

  #kindOf(sub: JsonSchema, type: TypeName): string {
    const kind = Object.entries(schemaMap(sub.properties)).find(
      ([, property]) => typeof property !== 'boolean' && 'const' in property,
    )
    return kind ? `an object with ${kind[0]} ${text((kind[1] as JsonSchema).const)}` : TYPE_WORDS[type]
  }

  /** `values`: what one side takes, or gives, and the other does not. */
  #breaks(path: string, values: string): Finding {
    return { what: `${path} ${this.#side === 'params' ? 'no longer takes' : 'may now be'} ${values}`, isCertain: true }
  }
}

function unclear(what: string): Finding {
  return { what, isCertain: false }
}

function both(a: JsonSchema, b: SchemaValue): JsonSchema {
  return { ...a, allOf: [...schemas(a.allOf), b] }
}

function schemaOr(value: unknown, otherwise: SchemaValue): SchemaValue {
  return isSchema(value) ? value : otherwise
}

/** Says something of the values, beside that there may or may not be any. */
function isTyped(schema: unknown): boolean {
  return isSchema(schema) && typeof schema !== 'boolean' && !takesAll(schema)
}

function text(value: unknown): string {
  const json = JSON.stringify(value) ?? 'undefined'
  return json.length > 40 ? `${json.slice(0, 37)}…` : json
}

function list(values: readonly unknown[]): string {
  const shown = values.slice(0, 5).map(text).join(', ')
  return values.length > 5 ? `${shown} …` : shown
}
