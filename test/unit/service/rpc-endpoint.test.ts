import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { defineService, method } from '../../../src/service/index.ts'
import { z } from '../../../src/service/sdk/index.ts'
import { ADMIN, startNode, type TestNode, TRACE } from './support/node.ts'

/** The methods of the specification's examples, in the one form of names: `subtract` is `spec/subtract` here. */
function specService(seen: string[]) {
  const numbers = z.object({ minuend: z.number(), subtrahend: z.number() })
  const anything = z
    .object({ a: z.unknown(), b: z.unknown(), c: z.unknown(), d: z.unknown(), e: z.unknown() })
    .partial()
  const note = (name: string) =>
    method({ description: name, public: true, params: anything, handler: () => void seen.push(name) })
  return defineService({
    name: 'spec',
    version: '1.0.0',
    description: 'The examples of JSON-RPC 2.0 section 7',
    methods: {
      subtract: method({
        description: 'Subtracts',
        public: true,
        params: numbers,
        handler: ({ minuend, subtrahend }) => minuend - subtrahend,
      }),
      update: note('update'),
      foobar: note('foobar'),
      notify_hello: note('notify_hello'),
      notify_sum: note('notify_sum'),
      sum: method({
        description: 'Sums',
        public: true,
        params: z.object({ x: z.number(), y: z.number(), z: z.number() }),
        handler: ({ x, y, z }) => x + y + z,
      }),
      get_data: method({ description: 'Data', public: true, handler: () => ['hello', 5] }),
    },
  })
}

describe('every example of JSON-RPC 2.0 section 7', () => {
  const seen: string[] = []
  let node: TestNode
  before(async () => {
    node = await startNode({ services: [specService(seen)] })
  })
  after(() => node.manager.stop())

  async function rpc(body: string): Promise<{ status: number; body: unknown }> {
    const answer = await node.manager.handleRpc(Buffer.from(body), {
      caller: ADMIN,
      traceId: TRACE,
      deadlineMs: node.clock.nowMs() + 1_000,
    })
    return { status: answer.status, body: answer.body === undefined ? undefined : JSON.parse(answer.body) }
  }
  /** Code and id of an error, the parts the specification fixes; its message must begin as it says. */
  const error = (code: number, message: string, id: unknown) => ({ code, message, id })
  function errorsOf(value: unknown): unknown {
    const answers = (Array.isArray(value) ? value : [value]) as Record<string, unknown>[]
    return answers.map((answer) => {
      assert.equal(answer.jsonrpc, '2.0')
      if (!('error' in answer)) return { result: answer.result, id: answer.id }
      const { code, message } = answer.error as { code: number; message: string }
      assert.deepEqual(Object.keys(answer).sort(), ['error', 'id', 'jsonrpc'])
      return error(code, message.slice(0, message.indexOf(':')), answer.id)
    })
  }

  test('call with positional parameters', async () => {
    const first = await rpc('{"jsonrpc": "2.0", "method": "spec/subtract", "params": [42, 23], "id": 1}')
    assert.deepEqual(first, { status: 200, body: { jsonrpc: '2.0', result: 19, id: 1 } })
    const second = await rpc('{"jsonrpc": "2.0", "method": "spec/subtract", "params": [23, 42], "id": 2}')
    assert.deepEqual(second.body, { jsonrpc: '2.0', result: -19, id: 2 })
  })

  test('call with named parameters, in either order', async () => {
    for (const params of ['{"subtrahend": 23, "minuend": 42}', '{"minuend": 42, "subtrahend": 23}']) {
      const { body } = await rpc(`{"jsonrpc": "2.0", "method": "spec/subtract", "params": ${params}, "id": 3}`)
      assert.deepEqual(body, { jsonrpc: '2.0', result: 19, id: 3 })
    }
  })

  test('a notification, with and without parameters', async () => {
    assert.deepEqual(await rpc('{"jsonrpc": "2.0", "method": "spec/update", "params": [1,2,3,4,5]}'), {
      status: 204,
      body: undefined,
    })
    assert.deepEqual(await rpc('{"jsonrpc": "2.0", "method": "spec/foobar"}'), { status: 204, body: undefined })
    assert.deepEqual(seen.splice(0), ['update', 'foobar'])
  })

  test('call of a method that does not exist', async () => {
    const { status, body } = await rpc('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}')
    assert.equal(status, 200)
    assert.deepEqual(errorsOf(body), [error(-32601, 'Method not found', '1')])
  })

  test('call with invalid JSON', async () => {
    const { status, body } = await rpc('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]')
    assert.equal(status, 400)
    assert.deepEqual(errorsOf(body), [error(-32700, 'Parse error', null)])
  })

  test('call with an invalid request object', async () => {
    const { status, body } = await rpc('{"jsonrpc": "2.0", "method": 1, "params": "bar"}')
    assert.equal(status, 400)
    assert.deepEqual(errorsOf(body), [error(-32600, 'Invalid Request', null)])
  })

  test('batch with invalid JSON', async () => {
    const { body } = await rpc(
      '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]',
    )
    assert.ok(!Array.isArray(body))
    assert.deepEqual(errorsOf(body), [error(-32700, 'Parse error', null)])
  })

  test('an empty batch', async () => {
    const { body } = await rpc('[]')
    assert.ok(!Array.isArray(body))
    assert.deepEqual(errorsOf(body), [error(-32600, 'Invalid Request', null)])
  })

  test('an invalid batch that is not empty', async () => {
    assert.deepEqual(errorsOf((await rpc('[1]')).body), [error(-32600, 'Invalid Request', null)])
    assert.deepEqual(errorsOf((await rpc('[1,2,3]')).body), Array(3).fill(error(-32600, 'Invalid Request', null)))
  })

  test('a batch of all kinds, answered in its order', async () => {
    const { status, body } = await rpc(`[
        {"jsonrpc": "2.0", "method": "spec/sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "spec/notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "spec/subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "spec/get_data", "id": "9"}
    ]`)
    assert.equal(status, 200)
    assert.deepEqual(errorsOf(body), [
      { result: 7, id: '1' },
      { result: 19, id: '2' },
      error(-32600, 'Invalid Request', null),
      error(-32601, 'Method not found', '5'),
      { result: ['hello', 5], id: '9' },
    ])
    assert.deepEqual(seen.splice(0), ['notify_hello'])
  })

  test('a batch of notifications only', async () => {
    const { status, body } = await rpc(`[
        {"jsonrpc": "2.0", "method": "spec/notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "spec/notify_hello", "params": [7]}
    ]`)
    assert.deepEqual([status, body], [204, undefined])
    assert.deepEqual(seen.splice(0), ['notify_sum', 'notify_hello'])
  })

  test('a notification that fails is answered by nothing', async () => {
    assert.equal((await rpc('{"jsonrpc":"2.0","method":"spec/subtract","params":["a"]}')).status, 204)
    assert.equal((await rpc('{"jsonrpc":"2.0","method":"no/such"}')).status, 204)
  })

  test('wrong parameters are named one by one, too many are counted', async () => {
    const wrong = (await rpc('{"jsonrpc":"2.0","method":"spec/subtract","params":{"minuend":"x"},"id":1}')).body as {
      error: { code: number; data: { details: { issues: { path: string }[] } } }
    }
    assert.equal(wrong.error.code, -32602)
    assert.deepEqual(wrong.error.data.details.issues.map(({ path }) => path).sort(), ['minuend', 'subtrahend'])
    const many = (await rpc('{"jsonrpc":"2.0","method":"spec/subtract","params":[1,2,3],"id":1}')).body as {
      error: { code: number; message: string }
    }
    assert.equal(many.error.code, -32602)
    assert.match(many.error.message, /takes 2 parameters \(minuend, subtrahend\), got 3/)
  })

  test('the older envelope is answered in its own form', async () => {
    const good = await rpc('{"method":"spec/subtract","params":{"minuend":3,"subtrahend":1},"id":"1"}')
    assert.deepEqual(good, { status: 200, body: { result: 2, error: null, id: '1' } })
    const bad = await rpc('{"method":"spec/nothing","params":{},"id":"1"}')
    assert.equal(bad.status, 200)
    assert.match((bad.body as { error: string }).error, /^Method not found/)
  })

  test('a result that cannot be JSON is an internal error of that call only', async () => {
    const big = defineService({
      name: 'big',
      version: '1',
      description: '',
      methods: { int: method({ description: 'A BigInt', public: true, handler: () => 1n }) },
    })
    const other = await startNode({ services: [big] })
    const { body } = await other.manager.handleRpc(Buffer.from('{"jsonrpc":"2.0","method":"big/int","id":1}'), {
      caller: ADMIN,
      traceId: TRACE,
      deadlineMs: other.clock.nowMs() + 1_000,
    })
    assert.match(String(body), /P2P_RPC_INVALID_RESULT/)
    await other.manager.stop()
  })
})
