import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { schemaFindings } from '../../../../src/deploy/plan/compatibility/schema-comparison.ts'
import { incompatibilities } from '../../../../src/deploy/plan/index.ts'
import type { JsonSchema, MethodDescriptor } from '../../../../src/service/index.ts'

// The same cases in every run: what fails here fails everywhere.
fc.configureGlobal({ seed: 20_260_801 })

const TARGET = { target: 'draft-2020-12' } as const

function json(schema: z.ZodType, side: 'params' | 'result' = 'params'): JsonSchema {
  return z.toJSONSchema(schema, { ...TARGET, io: side === 'params' ? 'input' : 'output' }) as JsonSchema
}

/** `!` certain, `?` unclear. */
function params(before: z.ZodType, after: z.ZodType): string[] {
  return schemaFindings(json(before), json(after), 'params').map(
    ({ what, isCertain }) => `${isCertain ? '!' : '?'} ${what}`,
  )
}

function result(before: z.ZodType, after: z.ZodType): string[] {
  const found = schemaFindings(json(before, 'result'), json(after, 'result'), 'result')
  return found.map(({ what, isCertain }) => `${isCertain ? '!' : '?'} ${what}`)
}

const BOOK = z.object({ title: z.string(), pages: z.number().int() })

test('what only widens parameters, or adds to results, breaks nobody', () => {
  const wider: [z.ZodType, z.ZodType][] = [
    [BOOK, BOOK],
    [BOOK, BOOK.extend({ isbn: z.string().optional() })],
    [BOOK, BOOK.extend({ isbn: z.string().default('') })],
    [BOOK, BOOK.partial()],
    [BOOK, z.object({ title: z.string(), pages: z.number() })],
    [BOOK, z.object({ title: z.union([z.string(), z.number()]), pages: z.number().int().nullable() })],
    [BOOK, z.looseObject({ title: z.unknown() })],
    [BOOK, z.object({})],
    [z.enum(['a', 'b']), z.enum(['a', 'b', 'c'])],
    [z.enum(['a', 'b']), z.string().max(1)],
    [z.literal('a'), z.enum(['a', 'b'])],
    [z.string().min(3).max(5), z.string().min(2).max(6)],
    [z.email(), z.string()],
    [z.number().gt(3).lt(5), z.number().min(3).max(5)],
    [z.int().min(4), z.int().gt(3)],
    [z.number().multipleOf(0.3), z.number().multipleOf(0.1)],
    [z.array(z.string()).min(1).max(2), z.array(z.string().nullable()).max(3)],
    [z.tuple([z.string(), z.int()]), z.tuple([z.string()], z.number())],
    [z.tuple([z.string(), z.string()]), z.array(z.string())],
    [z.record(z.string(), z.int()), z.record(z.string(), z.number())],
    [z.object({ a: z.int(), b: z.int() }), z.record(z.string(), z.number())],
    [z.boolean(), z.union([z.literal(true), z.literal(false), z.string()])],
    [
      z.discriminatedUnion('k', [z.object({ k: z.literal('a'), n: z.int() }), z.object({ k: z.literal('b') })]),
      z.discriminatedUnion('k', [
        z.object({ k: z.literal('a'), n: z.number() }),
        z.object({ k: z.literal('b') }),
        z.object({ k: z.literal('c') }),
      ]),
    ],
    [
      z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })),
      z.object({ a: z.string(), b: z.string() }),
    ],
    [z.string().regex(/a/).regex(/b/), z.string().regex(/b/)],
    [z.never(), z.string()],
    [z.string(), z.unknown()],
  ]
  for (const [i, [before, after]] of wider.entries()) {
    const known = params(before, after)
    // A record looks at names that an object ignored: that may be seen, and is no refusal.
    assert.deepEqual(
      known.filter((what) => !what.startsWith('?')),
      [],
      `${i}`,
    )
    if (i !== 20) assert.deepEqual(known, [], `${i}`)
  }
  assert.deepEqual(result(BOOK, BOOK.extend({ isbn: z.string() })), [])
  assert.deepEqual(result(BOOK.partial(), BOOK), [])
  assert.deepEqual(result(z.object({ kind: z.string() }), z.object({ kind: z.enum(['a']) })), [])
})

test('what parameters no longer take is named with its place', () => {
  const narrower: [z.ZodType, z.ZodType, string][] = [
    [z.object({}), BOOK.pick({ title: true }), '! params.title is now required'],
    [z.object({ a: z.string().optional() }), z.object({ a: z.string() }), '! params.a is now required'],
    [z.object({ a: z.string() }), z.object({ a: z.number() }), '! params.a no longer takes a string'],
    [z.object({ a: z.number() }), z.object({ a: z.int() }), '! params.a no longer takes a number with a fraction'],
    [z.object({ a: z.string().nullable() }), z.object({ a: z.string() }), '! params.a no longer takes null'],
    [z.object({ a: z.enum(['x', 'y']) }), z.object({ a: z.enum(['x']) }), '! params.a no longer takes "y"'],
    [
      z.object({ a: z.string() }),
      z.object({ a: z.enum(['x', 'z']) }),
      '! params.a no longer takes a string other than "x", "z"',
    ],
    [
      z.object({ a: z.string() }),
      z.object({ a: z.string().min(2) }),
      '! params.a no longer takes a string shorter than 2',
    ],
    [
      z.object({ a: z.string().max(9) }),
      z.object({ a: z.string().max(8) }),
      '! params.a no longer takes a string longer than 8',
    ],
    [z.object({ a: z.string() }), z.object({ a: z.email() }), '! params.a no longer takes a string that is no "email"'],
    [
      z.object({ a: z.string() }),
      z.object({ a: z.string().regex(/^x/) }),
      '! params.a no longer takes a string that does not match "^x"',
    ],
    [
      z.object({ a: z.number().min(1) }),
      z.object({ a: z.number().min(2) }),
      '! params.a no longer takes a number below 2',
    ],
    [
      z.object({ a: z.number().min(1) }),
      z.object({ a: z.number().gt(1) }),
      '! params.a no longer takes a number up to 1',
    ],
    [z.object({ a: z.number() }), z.object({ a: z.number().lt(1) }), '! params.a no longer takes a number from 1 on'],
    [
      z.object({ a: z.number() }),
      z.object({ a: z.number().multipleOf(5) }),
      '! params.a no longer takes a number that is no multiple of 5',
    ],
    [
      z.object({ a: z.array(z.string()) }),
      z.object({ a: z.array(z.string()).max(3) }),
      '! params.a no longer takes an array of more than 3 items',
    ],
    [z.object({ a: z.array(z.string()) }), z.object({ a: z.array(z.int()) }), '! params.a[] no longer takes a string'],
    [z.tuple([z.string(), z.string()]), z.tuple([z.string(), z.int()]), '! params[1] no longer takes a string'],
    [
      z.strictObject({ a: z.string(), b: z.string() }),
      z.strictObject({ a: z.string() }),
      '! params.b is no longer taken',
    ],
    [z.record(z.string(), z.string()), z.record(z.string(), z.int()), '! params.* no longer takes a string'],
    [
      z.record(z.string(), z.string()),
      z.strictObject({}),
      '! params no longer takes an object with properties of any name',
    ],
    [z.unknown(), z.string(), '! params no longer takes values of every kind'],
    [z.string(), z.never(), '! params no longer takes any value'],
    [
      z.discriminatedUnion('k', [z.object({ k: z.literal('a') }), z.object({ k: z.literal('b') })]),
      z.discriminatedUnion('k', [z.object({ k: z.literal('a') }), z.object({ k: z.literal('c') })]),
      '! params no longer takes an object with k "b"',
    ],
    [
      z.discriminatedUnion('k', [z.object({ k: z.literal('a') }), z.object({ k: z.literal('b') })]),
      z.discriminatedUnion('k', [z.object({ k: z.literal('a'), n: z.int() }), z.object({ k: z.literal('b') })]),
      '! params.n is now required',
    ],
    [
      z.object({ a: z.object({ b: z.string() }) }),
      z.object({ a: z.object({ b: z.boolean() }) }),
      '! params.a.b no longer takes a string',
    ],
  ]
  for (const [before, after, what] of narrower) assert.deepEqual(params(before, after), [what])
})

test('what results no longer promise is named', () => {
  assert.deepEqual(result(BOOK, BOOK.partial({ pages: true })), ['! result.pages is no longer always there'])
  assert.deepEqual(result(BOOK, BOOK.omit({ pages: true })), ['! result.pages is no longer always there'])
  assert.deepEqual(result(BOOK, BOOK.extend({ title: z.string().nullable() })), ['! result.title may now be null'])
  assert.deepEqual(result(z.enum(['a']), z.enum(['a', 'b'])), ['! result may now be "b"'])
  assert.deepEqual(result(z.int(), z.number()), ['! result may now be a number with a fraction'])
  assert.deepEqual(result(BOOK.partial(), z.object({ title: z.string().optional() })), [
    '? result.pages, which was optional, is not given any more',
  ])
})

test('what cannot be told is a warning, not a refusal', () => {
  assert.deepEqual(params(z.string().regex(/^a/), z.string().regex(/^ab?/)), [
    '? whether the pattern of params takes the same strings as before cannot be told',
  ])
  assert.deepEqual(params(BOOK, z.strictObject(BOOK.shape)), [
    '? params now looks at properties that it ignored before',
  ])
  const findings = (before: JsonSchema, after: JsonSchema): string[] =>
    schemaFindings(before, after, 'params').map(({ what, isCertain }) => `${isCertain ? '!' : '?'} ${what}`)
  assert.deepEqual(findings({ type: 'array' }, { type: 'array', contains: { type: 'string' } }), [
    '? what `contains` of params means is not known here',
  ])
  assert.deepEqual(findings({ type: 'string', if: {} }, { type: 'string', minLength: 1 }), [
    '? params no longer takes a string shorter than 1',
  ])
  assert.deepEqual(findings({ $ref: '#/$defs/none' }, { type: 'string' }), [
    '? params refers to a schema that is not there',
  ])
  assert.deepEqual(findings({ $ref: '#' }, { type: 'string' }), ['? params refers to a schema that is not there'])
})

test('schemas that refer to themselves are compared', () => {
  const tree = (leaf: z.ZodType): z.ZodType => {
    const self: z.ZodType = z.object({
      leaf,
      get kids() {
        return z.array(self)
      },
    })
    return self
  }
  assert.deepEqual(params(tree(z.int()), tree(z.number())), [])
  assert.deepEqual(params(tree(z.number()), tree(z.int())), ['! params.leaf no longer takes a number with a fraction'])
})

test('a schema made to cost time is given up', () => {
  const deep = (leaf: JsonSchema): JsonSchema => {
    let schema = leaf
    for (let i = 0; i < 200; i++) schema = { type: 'array', items: schema }
    return schema
  }
  const found = schemaFindings(deep({ type: 'string' }), deep({ type: 'number' }), 'params')
  assert.deepEqual(found, [{ what: 'the schema is too large to be compared', isCertain: false }])
  const wide = (type: string): JsonSchema => {
    const $defs: Record<string, unknown> = { s0: { type } }
    for (let i = 1; i < 12; i++) {
      $defs[`s${i}`] = {
        anyOf: Array.from({ length: 6 }, () => ({ type: 'array', items: { $ref: `#/$defs/s${i - 1}` } })),
      }
    }
    return { $ref: '#/$defs/s11', $defs }
  }
  const tooLarge = schemaFindings(wide('string'), wide('number'), 'params')
  assert.ok(tooLarge.length > 0 && tooLarge.every(({ isCertain }) => !isCertain))
  const bomb = { type: 'string', pattern: '^(a+)+$' }
  assert.equal(schemaFindings({ enum: [`${'a'.repeat(40)}!`] }, bomb, 'params')[0]?.isCertain, false)
})

test('whatever stands in a schema, a comparison ends with findings and never throws', () => {
  const { schema } = fc.letrec<{ schema: unknown }>((tie) => {
    const keywords =
      'type enum const anyOf oneOf allOf not $ref $defs items prefixItems properties required additionalProperties'
    const others = 'propertyNames minLength maximum multipleOf pattern format __proto__'
    const keyword = fc.constantFrom(...keywords.split(' '), ...others.split(' '))
    const word = fc.constantFrom<unknown[]>('string', 'object', '#', '#/properties/a', 'a', 0, -1, true, false, null)
    return {
      schema: fc.oneof(
        { maxDepth: 4 },
        word,
        fc.dictionary(keyword, tie('schema'), { maxKeys: 4 }),
        fc.dictionary(fc.constantFrom('a', 'constructor'), tie('schema')),
        fc.array(tie('schema'), { maxLength: 3 }),
      ),
    }
  })
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom('type', 'properties', 'anyOf', 'allOf', '$ref', '$defs'), schema),
      schema,
      fc.boolean(),
      (one, other, isFirst) => {
        const [before, after] = (isFirst ? [one, { ...Object(other) }] : [{ ...Object(other) }, one]) as [
          JsonSchema,
          JsonSchema,
        ]
        for (const side of ['params', 'result'] as const) assert.ok(Array.isArray(schemaFindings(before, after, side)))
      },
    ),
    { numRuns: 1_000 },
  )
})

function method(name: string, fields: Partial<MethodDescriptor> = {}): MethodDescriptor {
  return {
    service: 'shop',
    name,
    description: '',
    isPublic: true,
    timeoutMs: 30_000,
    cacheTtlMs: 0,
    requiredRole: 'operator',
    ...fields,
  }
}

test('methods that vanish, are hidden or change are found, with those who call them', () => {
  const before = [
    method('gone'),
    method('hidden'),
    method('raised', { requiredRole: 'viewer' }),
    method('same', { params: json(BOOK) }),
    method('changed', { params: json(z.object({})), result: json(BOOK) }),
    method('untold', { result: json(BOOK) }),
  ]
  const after = [
    method('hidden', { isPublic: false }),
    method('raised', { requiredRole: 'admin' }),
    method('same', { params: json(BOOK) }),
    method('changed', { params: json(BOOK), result: json(BOOK.omit({ title: true })) }),
    method('untold', { params: json(BOOK) }),
    method('new'),
  ]
  const found = incompatibilities(before, after, (name) => (name === 'gone' ? ['web', 'cron'] : []))
  assert.deepEqual(found.breaking, [
    { method: 'gone', what: 'the method is gone', callers: ['web', 'cron'] },
    {
      method: 'hidden',
      what: 'the method is no longer public: only services on the same node may call it',
      callers: [],
    },
    { method: 'changed', what: 'params.title is now required', callers: [] },
    { method: 'changed', what: 'params.pages is now required', callers: [] },
    { method: 'changed', what: 'result.title is no longer always there', callers: [] },
  ])
  assert.deepEqual(
    found.unclear.map(({ method: name, what }) => `${name}: ${what}`),
    [
      'raised: people need the role admin now, viewer was enough',
      'untold: params are checked now, and were not before',
      'untold: the result is no longer promised by a schema',
    ],
  )
})

/** A schema with a source of values it takes. */
interface Model {
  schema: z.ZodType
  values: fc.Arbitrary<unknown>
}

/** Two versions of a schema: the same in shape, here and there different. */
interface Versions {
  before: Model
  after: Model
}

function twice<T>(one: fc.Arbitrary<T>, model: (of: T) => Model): fc.Arbitrary<Versions> {
  const versions = fc.tuple(one, one).map(([before, after]) => ({ before: model(before), after: model(after) }))
  const same = one.map((of) => ({ before: model(of), after: model(of) }))
  return fc.oneof(versions, same)
}

const RANGE = fc.record({ min: fc.integer({ min: 0, max: 2 }), max: fc.integer({ min: 2, max: 4 }) })
const NAMES = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 })

const SCALARS: fc.Arbitrary<Versions> = fc.oneof(
  twice(RANGE, ({ min, max }) => ({
    schema: z.string().min(min).max(max),
    values: fc.string({ minLength: min, maxLength: max, unit: fc.constantFrom('a', 'b') }),
  })),
  twice(RANGE, ({ min, max }) => ({ schema: z.int().min(min).max(max), values: fc.integer({ min, max }) })),
  twice(RANGE, ({ min, max }) => ({
    schema: z
      .number()
      .gt(min)
      .lt(max + 1),
    values: fc.constantFrom(0.25, 0.5, 0.75).map((part) => min + part * (max + 1 - min)),
  })),
  twice(fc.constantFrom(1, 2, 4), (step) => ({
    schema: z.number().multipleOf(step),
    values: fc.integer({ min: -3, max: 3 }).map((n) => n * step),
  })),
  twice(NAMES, (names) => ({ schema: z.enum(names), values: fc.constantFrom(...names) })),
  twice(fc.constantFrom<unknown[]>('a', 1, true, null), (value) => ({
    schema: z.literal(value as string),
    values: fc.constant(value),
  })),
  twice(fc.constantFrom('null', 'boolean', 'string'), (type) => {
    if (type === 'null') return { schema: z.null(), values: fc.constant(null) }
    if (type === 'boolean') return { schema: z.boolean(), values: fc.boolean() }
    return { schema: z.string(), values: fc.string({ maxLength: 5 }) }
  }),
)

function both(of: readonly Versions[], model: (items: Model[], version: 'before' | 'after') => Model): Versions {
  return {
    before: model(
      of.map(({ before }) => before),
      'before',
    ),
    after: model(
      of.map(({ after }) => after),
      'after',
    ),
  }
}

function arrays(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  return fc.tuple(inner, RANGE, RANGE).map(([item, before, after]) =>
    both([item], ([each], version) => {
      const { min, max } = version === 'before' ? before : after
      const { schema, values } = each as Model
      return { schema: z.array(schema).min(min).max(max), values: fc.array(values, { minLength: min, maxLength: max }) }
    }),
  )
}

function tuples(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  return fc.array(inner, { minLength: 1, maxLength: 2 }).map((of) =>
    both(of, (items) => ({
      schema: z.tuple(items.map(({ schema }) => schema) as [z.ZodType]),
      values: fc.tuple(...items.map(({ values }) => values)),
    })),
  )
}

function unions(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  return fc.tuple(fc.array(inner, { minLength: 2, maxLength: 3 }), fc.boolean()).map(([of, isWider]) =>
    both(of, (items, version) => {
      const forms = version === 'before' && isWider ? items.slice(1) : items
      const schema = z.union(forms.map((form) => form.schema) as [z.ZodType, z.ZodType])
      return { schema, values: fc.oneof(...forms.map(({ values }) => values)) }
    }),
  )
}

function records(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  return inner.map((of) =>
    both([of], ([each]) => {
      const { schema, values } = each as Model
      return { schema: z.record(z.string(), schema), values: fc.dictionary(fc.constantFrom('a', 'b', 'c'), values) }
    }),
  )
}

const PRESENCE = fc.constantFrom('required', 'required', 'optional', 'absent')

function objects(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  const property = fc.tuple(inner, PRESENCE, fc.option(PRESENCE))
  const all = fc.tuple(
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), property, { maxKeys: 3 }),
    fc.boolean(),
    fc.boolean(),
  )
  return all.map(([properties, ...strictness]) => {
    const named = Object.entries(properties)
    return both(
      named.map(([, [of]]) => of),
      (items, version) => {
        const entries = named.map(([name, [, before, after]], i) => {
          return { name, item: items[i] as Model, presence: version === 'before' ? before : (after ?? before) }
        })
        const present = entries.filter(({ presence }) => presence !== 'absent')
        const shape = Object.fromEntries(
          present.map(({ name, item, presence }) => [
            name,
            presence === 'optional' ? item.schema.optional() : item.schema,
          ]),
        )
        const requiredKeys = present.filter(({ presence }) => presence === 'required').map(({ name }) => name)
        const model = Object.fromEntries(present.map(({ name, item }) => [name, item.values]))
        const isStrict = strictness[version === 'before' ? 0 : 1]
        return {
          schema: isStrict ? z.strictObject(shape) : z.object(shape),
          values: fc.record(model, { requiredKeys, noNullPrototype: true }),
        }
      },
    )
  })
}

/** Scalars, or these inside others; twice at most, so that many pairs have no difference that matters. */
function nested(inner: fc.Arbitrary<Versions>): fc.Arbitrary<Versions> {
  return fc.oneof(inner, arrays(inner), tuples(inner), unions(inner), records(inner), objects(inner), objects(inner))
}

const VERSIONS = nested(nested(SCALARS))

test('where nothing is found in parameters, what the old schema takes is taken by the new one', () => {
  let silent = 0
  fc.assert(
    fc.property(VERSIONS, fc.infiniteStream(fc.integer()), ({ before, after }, seeds) => {
      if (schemaFindings(json(before.schema), json(after.schema), 'params').length > 0) return
      silent++
      for (const value of fc.sample(before.values, { numRuns: 6, seed: seeds.next().value })) {
        assert.ok(before.schema.safeParse(value).success, 'the generator fits the schema')
        assert.ok(after.schema.safeParse(value).success, JSON.stringify(value))
      }
    }),
    { numRuns: 600 },
  )
  assert.ok(silent > 100, `${silent} comparisons found nothing`)
})

test('where nothing is found in results, what the new one gives is what the old one promised', () => {
  let silent = 0
  fc.assert(
    fc.property(VERSIONS, fc.infiniteStream(fc.integer()), ({ before, after }, seeds) => {
      if (schemaFindings(json(before.schema, 'result'), json(after.schema, 'result'), 'result').length > 0) return
      silent++
      const promised = tolerant(before.schema)
      for (const value of fc.sample(after.values, { numRuns: 6, seed: seeds.next().value })) {
        assert.ok(promised.safeParse(value).success, JSON.stringify(value))
      }
    }),
    { numRuns: 600 },
  )
  assert.ok(silent > 100, `${silent} comparisons found nothing`)
})

/** The schema of a caller that does not look at what it was not told of. */
function tolerant(schema: z.ZodType): z.ZodType {
  return z.fromJSONSchema(withoutStrictness(json(schema)) as never)
}

function withoutStrictness(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutStrictness)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => key !== 'additionalProperties' || inner !== false)
      .map(([key, inner]) => [key, withoutStrictness(inner)]),
  )
}

test('a schema beside itself, and one that only takes more, are never a refusal', () => {
  fc.assert(
    fc.property(VERSIONS, ({ before: { schema }, after: other }) => {
      assert.deepEqual(schemaFindings(json(schema), json(schema), 'params'), [])
      const isCertain = (after: z.ZodType): boolean =>
        schemaFindings(json(schema), json(after), 'params').some((finding) => finding.isCertain)
      assert.ok(!isCertain(z.union([other.schema, schema])))
      assert.ok(!isCertain(schema.nullable()))
      const wider = z.object({ a: schema.optional(), b: other.schema.optional() })
      assert.deepEqual(schemaFindings(json(z.object({ a: schema })), json(wider), 'params'), [])
    }),
    { numRuns: 300 },
  )
})
