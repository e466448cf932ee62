import assert from 'node:assert/strict'
import { test } from 'node:test'
import { convert } from '../../../src/cli/params/convert.ts'
import { methodHelp } from '../../../src/cli/params/method-help.ts'
import { paramsFrom } from '../../../src/cli/params/params-from.ts'
import type { JsonSchema, MethodView } from '../../../src/cli/session/wire.ts'

function method(params: JsonSchema | null): MethodView {
  return {
    name: 'find',
    description: 'Finds things',
    params,
    result: null,
    required_role: 'viewer',
    timeout_ms: 30_000,
    cache_ttl_ms: 0,
  }
}

const SCHEMA: JsonSchema = {
  type: 'object',
  required: ['text', 'kind'],
  additionalProperties: false,
  properties: {
    text: { type: 'string', description: 'What to look for' },
    kind: { type: 'string', enum: ['disk', 'cpu'], default: 'disk' },
    limit: { type: 'integer', default: 10 },
    ratio: { type: 'number' },
    deep: { type: 'boolean' },
    tags: { type: 'array', items: { type: 'string' } },
    sizes: { type: 'array', items: { type: 'integer' } },
    filter: { type: 'object' },
    since: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
  },
}

test('each parameter becomes the JSON value its schema asks for', () => {
  const texts = [
    'text=a=b',
    'limit=5',
    'ratio=1.5e2',
    'deep=false',
    'tags=x',
    'tags=y,z',
    'sizes=1',
    'filter={"a":1}',
    'since=null',
  ]
  assert.deepEqual(paramsFrom('inventory/find', method(SCHEMA), texts), {
    text: 'a=b',
    limit: 5,
    ratio: 150,
    deep: false,
    tags: ['x', 'y,z'],
    sizes: [1],
    filter: { a: 1 },
    since: null,
  })
})

test('a string stays a string, whatever it looks like', () => {
  for (const text of ['5', 'true', 'null', '{"a":1}', '']) assert.equal(convert('p', [text], { type: 'string' }), text)
})

test('a list may be given as JSON too', () => {
  assert.deepEqual(convert('p', ['[1, 2]'], { type: 'array', items: { type: 'integer' } }), [1, 2])
})

test('without a type, JSON is taken as JSON and the rest as text', () => {
  assert.equal(convert('p', ['5'], {}), 5)
  assert.equal(convert('p', ['five'], {}), 'five')
})

test('an enumeration of numbers gives numbers', () => {
  assert.equal(convert('p', ['2'], { enum: [1, 2] }), 2)
})

test('a value of the wrong type is refused with what is expected', () => {
  const cases: [text: string, schema: JsonSchema, message: RegExp][] = [
    ['five', { type: 'integer' }, /--param p: expected integer, not "five"/],
    ['1.5', { type: 'integer' }, /expected integer/],
    ['', { type: 'number' }, /expected number/],
    ['Infinity', { type: 'number' }, /expected number/],
    ['yes', { type: 'boolean' }, /expected boolean/],
    ['[1]', { type: 'object' }, /expected object/],
    ['{', { type: 'object' }, /expected object/],
    ['ssd', { type: 'string', enum: ['disk', 'cpu'] }, /expected one of disk, cpu/],
    ['x', { anyOf: [{ type: 'integer' }, { type: 'null' }] }, /expected integer or null/],
  ]
  for (const [text, schema, message] of cases) {
    assert.throws(() => convert('p', [text], schema), { code: 'P2P_CLI_USAGE', message }, text)
  }
  assert.throws(() => convert('p', ['a', 'b'], { type: 'string' }), { code: 'P2P_CLI_USAGE', message: /given 2 times/ })
})

test('an unknown parameter is refused with the one that was meant', () => {
  const attempt =
    (...texts: string[]) =>
    () =>
      paramsFrom('inventory/find', method(SCHEMA), texts)
  assert.throws(attempt('txet=a'), {
    code: 'P2P_CLI_USAGE',
    message: 'inventory/find has no parameter "txet"; did you mean text?',
  })
  assert.throws(attempt('zzzzzz=a'), { message: /it takes text, kind, limit/ })
  assert.throws(attempt('__proto__=a'), { message: /has no parameter "__proto__"/ })
  assert.throws(attempt('text'), { message: '--param "text" is not of the form name=value' })
  assert.throws(attempt('=5'), { message: /not of the form/ })
})

test('a missing parameter is named; one with a default is not missing', () => {
  assert.throws(() => paramsFrom('inventory/find', method(SCHEMA), ['limit=5']), {
    code: 'P2P_CLI_USAGE',
    message: /^inventory\/find needs text; /,
  })
})

test('a method without a schema, or open to more, takes any name', () => {
  assert.deepEqual(paramsFrom('a/b', method(null), ['x=1', 'y=z']), { x: 1, y: 'z' })
  const open: JsonSchema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: true }
  assert.deepEqual(paramsFrom('a/b', method(open), ['a=1', 'b=2']), { a: '1', b: 2 })
})

test('the help of a method shows its parameters with type, default and meaning', () => {
  const help = methodHelp('inventory', method(SCHEMA), (_format, text) => text)
  assert.match(help, /^p2p call inventory\/find --param text=… --param kind=… \[--param limit=…\]/)
  assert.match(help, /^text +string +required +What to look for$/m)
  assert.match(help, /^kind +disk \| cpu +required/m)
  assert.match(help, /^limit +integer +10/m)
  assert.match(help, /^tags +string, several/m)
  assert.match(help, /^since +integer \| null/m)
  assert.match(help, /Needs the role viewer\. Waits up to 30 s\./)
  assert.match(
    methodHelp('a', method(null), (_f, text) => text),
    /give them as --params JSON/,
  )
  assert.match(
    methodHelp('a', method({ type: 'object', properties: {} }), (_f, text) => text),
    /takes no parameters/,
  )
})
