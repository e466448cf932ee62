import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { errorText, parseRpcBody, RPC_LIMITS, resultText, type RpcBody } from '../../../../src/service/jsonrpc/index.ts'

const parse = (text: string): RpcBody => parseRpcBody(Buffer.from(text))
const request = (members: object): string => JSON.stringify({ jsonrpc: '2.0', method: 'a/b', id: 1, ...members })

function single(text: string): Extract<RpcBody, { kind: 'single' }>['entry'] {
  const body = parse(text)
  assert.equal(body.kind, 'single')
  return (body as Extract<RpcBody, { kind: 'single' }>).entry
}

function refusal(bytes: Uint8Array): { code: string; message: string } {
  const body = parseRpcBody(bytes)
  assert.equal(body.kind, 'refused')
  return (body as Extract<RpcBody, { kind: 'refused' }>).error
}

describe('a JSON-RPC request', () => {
  test('keeps method, params and id as they were sent', () => {
    assert.deepEqual(single(request({ params: { x: [1] } })), {
      kind: 'call',
      envelope: '2.0',
      id: 1,
      method: 'a/b',
      params: { x: [1] },
    })
    assert.equal((single(request({ id: 'seven' })) as { id: unknown }).id, 'seven')
  })

  test('without an id is a notification, with the id null it is not', () => {
    assert.equal((single(request({ id: undefined })) as { id: unknown }).id, undefined)
    assert.equal((single(request({ id: null })) as { id: unknown }).id, null)
  })

  for (const id of ['{}', '[]', 'true', '1e999', '9007199254740993']) {
    test(`with the id ${id} is refused under the id null`, () => {
      const entry = single(`{"jsonrpc":"2.0","method":"a/b","id":${id}}`)
      assert.equal(entry.kind, 'invalid')
      assert.equal(entry.id, null)
    })
  }

  for (const [what, members] of Object.entries({
    'a method that is a number': { method: 1 },
    'no method': { method: undefined },
    'params that are a string': { params: 'bar' },
    'params that are null': { params: null },
    'the version 1.0': { jsonrpc: '1.0' },
    'the version as a number': { jsonrpc: 2 },
  })) {
    test(`with ${what} is refused under its own id`, () => {
      const entry = single(request(members))
      assert.equal(entry.kind, 'invalid')
      assert.equal(entry.id, 1)
      assert.equal(entry.kind === 'invalid' && entry.error.code, 'P2P_RPC_INVALID_REQUEST')
    })
  }

  for (const text of ['1', '"a"', 'null', 'true']) {
    test(`that is ${text} is refused`, () => assert.equal(single(text).kind, 'invalid'))
  }
})

describe('the older envelope', () => {
  test('is a call when it has method and id, and is answered with result, error and id', () => {
    const entry = single('{"method":"a/b","params":{},"id":"1"}')
    assert.equal(entry.kind === 'call' && entry.envelope, 'legacy')
    assert.deepEqual(JSON.parse(resultText('legacy', '1', '{"ok":true}')), {
      result: { ok: true },
      error: null,
      id: '1',
    })
    const failed = JSON.parse(errorText('legacy', '1', new Error('secret'))) as { error: unknown; result: unknown }
    assert.equal(failed.result, null)
    assert.equal(typeof failed.error, 'string')
    assert.doesNotMatch(String(failed.error), /secret/)
  })

  test('without an id, with the id null, or in a batch is no request', () => {
    assert.equal(single('{"method":"a/b","params":{}}').kind, 'invalid')
    assert.equal(single('{"method":"a/b","id":null}').kind, 'invalid')
    const body = parse('[{"method":"a/b","params":{},"id":"1"}]')
    assert.ok(body.kind === 'batch' && body.entries[0]?.kind === 'invalid' && body.entries[0].id === '1')
  })
})

describe('a body', () => {
  test('that is no JSON or no UTF-8 is a parse error', () => {
    for (const bytes of [Buffer.from('{"jsonrpc'), Buffer.from(''), Buffer.from([0x22, 0xff, 0x22])]) {
      assert.equal(refusal(bytes).code, 'P2P_RPC_PARSE_ERROR')
    }
  })

  test('of exactly the allowed size passes, one byte more is refused', () => {
    const empty = request({ params: { x: '' } })
    const full = request({ params: { x: 'x'.repeat(RPC_LIMITS.bodyBytesMax - empty.length) } })
    assert.equal(full.length, RPC_LIMITS.bodyBytesMax)
    assert.equal(single(full).kind, 'call')
    assert.match(refusal(Buffer.from(`${full} `)).message, /1048576 are allowed/)
  })

  test('of exactly the allowed depth passes, one level more is refused', () => {
    const nested = (depth: number): string =>
      request({}).replace('}', `,"params":${'['.repeat(depth)}${']'.repeat(depth)}}`)
    assert.equal(single(nested(RPC_LIMITS.depthMax - 1)).kind, 'call')
    assert.match(refusal(Buffer.from(nested(RPC_LIMITS.depthMax))).message, /deeper than 32/)
  })

  test('of a megabyte of opening brackets is refused without blowing the stack', () => {
    assert.match(refusal(Buffer.alloc(RPC_LIMITS.bodyBytesMax, '[')).message, /deeper than 32/)
  })

  test('counts no brackets inside strings, escaped quotes included', () => {
    assert.equal(single(request({ params: { x: `"\\"${'['.repeat(100)}` } })).kind, 'call')
  })

  test('with an empty batch or one entry too many is refused, with the most that is allowed it passes', () => {
    const batch = (count: number): Buffer =>
      Buffer.from(`[${Array.from({ length: count }, () => request({})).join(',')}]`)
    assert.match(refusal(Buffer.from('[]')).message, /empty/)
    assert.match(refusal(batch(RPC_LIMITS.batchMax + 1)).message, /50 are allowed/)
    assert.equal(parseRpcBody(batch(RPC_LIMITS.batchMax)).kind, 'batch')
  })

  for (const key of ['"__proto__"', '"constructor"', '"prototype"', '"\\u005f_proto__"', '"__pro\\u0074o__"']) {
    test(`with the key ${key} at any place is refused`, () => {
      const text = request({ params: { a: [{ key: 1 }] } }).replace('"key"', key)
      assert.match(refusal(Buffer.from(text)).message, /is not allowed/)
    })
  }

  test('may have such words as values', () => {
    assert.equal(single(request({ params: { a: 'constructor', b: '__proto__ \\u0041' } })).kind, 'call')
  })

  test('of any bytes and any JSON is read without throwing', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => parseRpcBody(bytes).kind.length > 0))
    fc.assert(fc.property(fc.json({ maxDepth: 6 }), (text) => parse(text).kind.length > 0))
  })

  test('whose call was accepted gives back exactly its method', () => {
    fc.assert(
      fc.property(fc.string(), fc.oneof(fc.string(), fc.integer()), (method, id) => {
        const entry = single(JSON.stringify({ jsonrpc: '2.0', method, id }))
        assert.ok(entry.kind === 'call' && entry.method === method && entry.id === id)
      }),
    )
  })
})
