import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import type { JsonSchema, ServiceDetails } from '../../../src/cli/session/wire.ts'
import { clientTypes } from '../../../src/cli/typescript/client-types.ts'
import { docComment, typeOfSchema } from '../../../src/cli/typescript/type-of-schema.ts'

const root = resolve(import.meta.dirname, '../../..')

/** The type on one line. */
function typed(schema: z.ZodType, io: 'input' | 'output' = 'output'): string {
  const json = z.toJSONSchema(schema, { io }) as object
  return typeOfSchema(json, { isInput: io === 'input', indent: '' }).replaceAll(/\s+/g, ' ')
}

test('a schema becomes the type its values have', () => {
  const cases: [z.ZodType, string][] = [
    [z.string(), 'string'],
    [z.int(), 'number'],
    [z.null(), 'null'],
    [z.unknown(), 'unknown'],
    [z.literal('a'), '"a"'],
    [z.enum(['a', 'b']), '"a" | "b"'],
    [z.string().nullable(), 'string | null'],
    [z.array(z.union([z.string(), z.number()])), '(string | number)[]'],
    [z.tuple([z.string(), z.number()]), '[string, number]'],
    [z.tuple([z.string()], z.number()), '[string, ...number[]]'],
    [z.record(z.string(), z.number()), 'Record<string, number>'],
    [z.strictObject({}), 'Record<string, never>'],
    [z.object({ a: z.string(), b: z.number().optional() }), '{ a: string b?: number }'],
    [z.object({ 'odd-name': z.boolean() }), '{ "odd-name": boolean }'],
    [z.array(z.object({ a: z.string() })), '{ a: string }[]'],
    [z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })), '{ a: string b: string }'],
  ]
  for (const [schema, expected] of cases) assert.equal(typed(schema), expected)
})

test('a member with a default may be left out by callers, and is always there in results', () => {
  const schema = z.object({ days: z.number().default(14) })
  assert.equal(typed(schema, 'input'), '{ days?: number }')
  assert.equal(typed(schema, 'output'), '{ days: number }')
})

test('a schema that refers to itself ends', () => {
  const tree: z.ZodType = z.lazy(() => z.object({ children: z.array(tree) }))
  assert.match(typed(tree), /^\{ children: \{ children: .*unknown/)
})

test('what cannot be said is unknown, never narrower', () => {
  assert.equal(typeOfSchema({}, { isInput: false, indent: '' }), 'unknown')
  assert.equal(typeOfSchema({ anyOf: [{ type: 'string' }, {}] }, { isInput: false, indent: '' }), 'unknown')
  assert.equal(typeOfSchema({ enum: [{ a: 1 }, 'b'] }, { isInput: false, indent: '' }), 'unknown')
})

test('a description cannot end the comment it stands in', () => {
  assert.doesNotMatch(docComment('a */ evil()\nb', ''), /\*\/ evil/)
})

const details = (name: string, methods: Partial<ServiceDetails['method_details'][number]>[]): ServiceDetails => ({
  status: 'running',
  health: 'healthy',
  info: {
    name,
    version: '1.0.0',
    description: 'Lends */ books',
    metadata: { builtin: false, started_at: null, failure: null },
  },
  methods: [],
  method_details: methods.map((method) => ({
    name: 'm',
    description: '',
    params: null,
    result: null,
    required_role: 'viewer',
    timeout_ms: 1,
    cache_ttl_ms: 0,
    ...method,
  })),
})

test('the written file compiles, and types calls and targets', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-types-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const name of ['p2p-core', '@types', 'zod']) {
    mkdirSync(join(folder, 'node_modules'), { recursive: true })
    symlinkSync(name === 'p2p-core' ? root : join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const lend = z.strictObject({ id: z.int(), days: z.number().default(14) })
  const params = z.toJSONSchema(lend, { io: 'input' }) as JsonSchema
  const result = z.toJSONSchema(z.object({ title: z.string() })) as JsonSchema
  const services = [
    details('library', [
      { name: 'lend', params, result },
      { name: 'anything' },
      { name: 'tail', stream: true, item: { type: 'string' } },
    ]),
    details('li-brary', []),
    details('Li_Brary', []),
  ]
  writeFileSync(join(folder, 'services.ts'), clientTypes(services, 'a\ntest'))
  const use = (line: string): string =>
    `import type { ClusterServices } from './services.ts'\ndeclare const s: ClusterServices\n${line}\n`
  const good = [
    "const title: string = (await s.library.lend({ id: 7 })).title; await s.library.coordinator.lend({ id: 7, days: 3 }); await s.library['edge-1']?.lend({ id: 1 })",
    'await s.library.anything(); for await (const line of await s.library.tail()) line.trim(); void title; export {}',
  ]
  writeFileSync(join(folder, 'good.ts'), use(good.join('\n')))
  writeFileSync(join(folder, 'bad-param.ts'), use("await s.library.lend({ id: 'seven' }); export {}"))
  writeFileSync(join(folder, 'bad-missing.ts'), use('await s.library.lend({}); export {}'))
  writeFileSync(join(folder, 'bad-method.ts'), use('await s.library.steal({}); export {}'))
  const base = { extends: join(root, 'tsconfig.json'), include: ['*.ts'], exclude: [] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(base))
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  const wrong = [...new Set([...stdout.matchAll(/([\w-]+)\.ts\(\d+,\d+\): error/g)].map((match) => match[1]))].sort()
  assert.deepEqual(wrong, ['bad-method', 'bad-missing', 'bad-param'], stdout)
})
