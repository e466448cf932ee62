import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defineService, method, type MethodCall, type ServiceDefinition } from '../../../src/service/index.ts'
import { ServiceError, z } from '../../../src/service/sdk/index.ts'
import { ManualClock } from './support/manual-clock.ts'
import { MemoryNetwork } from './support/memory-peers.ts'
import { ADMIN, call, introduce, startNode, type TestNode, TRACE, turn } from './support/node.ts'

type Items = AsyncIterableIterator<unknown>

async function* counted(): AsyncGenerator<number> {
  yield 1
}

/** A service that counts, fails, hangs and lies, item by item. */
function counter() {
  const ended: string[] = []
  const calls: MethodCall[] = []
  const options = { description: '', public: true, stream: true } as const
  const service = defineService({
    name: 'counter',
    version: '1',
    description: '',
    methods: {
      count: method({
        ...options,
        params: z.object({ to: z.number() }),
        item: z.object({ n: z.number() }),
        async *handler({ to }, context) {
          calls.push(context)
          try {
            for (let n = 1; n <= to; n++) yield { n, hidden: true }
          } finally {
            ended.push('count')
          }
        },
      }),
      bytes: method({
        ...options,
        async *handler() {
          yield Buffer.from('abc')
          yield new Uint8Array([1, 2])
        },
      }),
      lie: method({
        ...options,
        item: z.object({ n: z.number() }),
        async *handler() {
          yield { n: 1 }
          try {
            yield { n: 'x' } as never
          } finally {
            ended.push('lie')
          }
        },
      }),
      fail: method({
        ...options,
        async *handler() {
          yield 1
          throw new ServiceError('BROKE', 'It broke', { at: 1 })
        },
      }),
      hang: method({
        ...options,
        timeoutMs: 1_000,
        async *handler(_params, context) {
          calls.push(context)
          yield 1
          await new Promise((_resolve, reject) => {
            context.signal.addEventListener('abort', () => reject(context.signal.reason as Error))
          }).finally(() => ended.push('hang'))
        },
      }),
      array: method({ ...options, handler: () => [1, 2] as never }),
      unmarked: method({
        description: '',
        public: true,
        handler: () => counted() as never,
      }),
      single: method({
        ...options,
        concurrency: 1,
        queue: 0,
        async *handler() {
          yield 1
          await new Promise(() => {})
        },
      }),
    },
  })
  return { service, ended, calls }
}

/** The same here, and from another node. */
async function both(use: (node: TestNode, probe: ReturnType<typeof counter>, where: string) => Promise<void>) {
  for (const where of ['here', 'on another node']) {
    const clock = new ManualClock()
    const network = new MemoryNetwork()
    const probe = counter()
    const far = await startNode({ nodeId: 'far', clock, network, services: [probe.service] })
    const near = await startNode({ nodeId: 'near', clock, network })
    introduce(near, far)
    await use(where === 'here' ? far : near, probe, where)
    for (const node of [near, far]) {
      await turn()
      const { calling, serving, running } = node.manager.tableSizes()
      assert.deepEqual({ calling, serving, running }, { calling: 0, serving: 0, running: 0 }, where)
      await node.manager.stop()
    }
  }
}

async function all(items: unknown): Promise<unknown[]> {
  const got: unknown[] = []
  for await (const item of items as Items) got.push(item)
  return got
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

describe('a method that streams', () => {
  test('gives its items one by one, each as its schema says', () =>
    both(async (node, { ended, calls }) => {
      assert.deepEqual(await all(await call(node, 'counter/count', { to: 3 })), [{ n: 1 }, { n: 2 }, { n: 3 }])
      assert.deepEqual([ended, calls[0]?.traceId], [['count'], TRACE])
      const bytes = (await all(await call(node, 'counter/bytes'))) as Uint8Array[]
      assert.deepEqual(
        bytes.map((item) => [...item]),
        [
          [97, 98, 99],
          [1, 2],
        ],
      )
    }))

  test('runs only as far as it is read, and ends when its reader leaves', () =>
    both(async (node, { ended }, where) => {
      const items = (await call(node, 'counter/count', { to: 1e9 })) as Items
      for await (const item of items) if ((item as { n: number }).n === 5) break
      await settle()
      assert.deepEqual(ended, ['count'], where)
    }))

  test('checks its parameters before, and refuses as any other', () =>
    both(async (node) => {
      await assert.rejects(call(node, 'counter/count', { to: 'x' }), { code: 'P2P_RPC_INVALID_PARAMS' })
      await assert.rejects(call(node, 'counter/count', { to: 1 }, { caller: { ...ADMIN, role: 'viewer' } as never }), {
        code: 'P2P_RPC_ACCESS_DENIED',
      })
    }))

  test('whose item its schema forbids fails with the path, and is told to stop', () =>
    both(async (node, { ended }) => {
      const items = (await call(node, 'counter/lie')) as Items
      assert.deepEqual((await items.next()).value, { n: 1 })
      await assert.rejects(items.next(), { code: 'P2P_RPC_INVALID_RESULT', message: /counter\/lie .* n: / })
      await settle()
      assert.deepEqual(ended, ['lie'])
    }))

  test('that throws fails as a call does', () =>
    both(async (node) => {
      const items = (await call(node, 'counter/fail')) as Items
      await items.next()
      await assert.rejects(items.next(), { code: 'P2P_RPC_SERVICE_FAILED', message: 'It broke' })
      assert.equal((await items.next()).done, true)
    }))

  test('in which nothing moves ends at its timeout, and its signal is aborted', () =>
    both(async (node, { ended, calls }) => {
      const items = (await call(node, 'counter/hang', {}, { timeoutMs: 5_000 })) as Items
      await items.next()
      await settle()
      const next = assert.rejects(items.next(), {
        code: 'P2P_RPC_DEADLINE_EXCEEDED',
        message: /nothing moved .* 1000 ms/,
      })
      await settle()
      node.clock.advance(999)
      await settle()
      assert.equal(calls[0]?.signal.aborted, false)
      node.clock.advance(30)
      await next
      await settle()
      assert.deepEqual([ended, calls[0]?.signal.aborted], [['hang'], true])
    }))

  test('is given up by the signal of its caller, at any time', () =>
    both(async (node, { ended }) => {
      const caller = new AbortController()
      const items = (await call(node, 'counter/hang', {}, { signal: caller.signal })) as Items
      await items.next()
      const next = assert.rejects(items.next(), { code: 'P2P_RPC_CANCELLED' })
      await settle()
      caller.abort()
      await next
      await settle()
      assert.deepEqual(ended, ['hang'])
    }))

  test('must say so, and must stream then', () =>
    both(async (node) => {
      await assert.rejects(call(node, 'counter/unmarked'), { code: 'P2P_RPC_INVALID_RESULT', message: /stream: true/ })
      await assert.rejects(call(node, 'counter/array'), { code: 'P2P_RPC_INVALID_RESULT', message: /async iterable/ })
    }))

  test('counts as running until it has ended', () =>
    both(async (node) => {
      const first = (await call(node, 'counter/single')) as Items
      await assert.rejects(call(node, 'counter/single'), { code: 'P2P_RPC_OVERLOADED' })
      await first.return?.()
      await settle()
    }))

  test('is waited for at the stop of its service, then given up', async () => {
    const { service } = counter()
    const node = await startNode({ services: [service] })
    const items = (await call(node, 'counter/single', {}, { timeoutMs: 60_000 })) as Items
    await items.next()
    const next = assert.rejects(items.next(), { code: 'P2P_RPC_CANCELLED', message: /its service is stopping/ })
    const stopped = node.manager.stop()
    await settle()
    node.clock.advance(5_000)
    await Promise.all([next, stopped])
  })
})

describe('a stream through the proxy', () => {
  async function withProxy(use: (run: (work: (context: MethodCall) => unknown) => Promise<unknown>) => Promise<void>) {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    let work: (context: MethodCall) => unknown = () => undefined
    const user: ServiceDefinition = defineService({
      name: 'user',
      version: '1',
      description: '',
      methods: {
        run: method({ description: '', public: true, handler: (_params, context) => work(context) }),
        relay: method({
          description: '',
          public: true,
          stream: true,
          async *handler(_params, { service }) {
            for await (const item of await service.proxy.counter.count({ to: 3 })) yield item
          },
        }),
      },
    })
    const near = await startNode({ nodeId: 'near', clock, network, services: [user] })
    const far = await startNode({ nodeId: 'far', clock, network, services: [counter().service] })
    introduce(near, far)
    await use((next) => {
      work = next
      return call(near, 'user/run')
    })
    await Promise.all([near.manager.stop(), far.manager.stop()])
  }

  test('is read with for await, and passed on by a method that streams itself', () =>
    withProxy(
      (run) =>
        run(async ({ service: { proxy } }) => {
          const seen: unknown[] = []
          for await (const item of await proxy.counter.count({ to: 2 })) seen.push(item)
          for await (const item of await proxy.user.relay()) seen.push(item)
          assert.deepEqual(
            seen,
            [1, 2, 1, 2, 3].map((n) => ({ n })),
          )
        }) as Promise<void>,
    ))
})

describe('a stream over POST /rpc', () => {
  async function ask(body: object, acceptsStream: boolean) {
    const node = await startNode({ services: [counter().service] })
    const request = { caller: ADMIN, traceId: TRACE, deadlineMs: node.clock.nowMs() + 1_000, acceptsStream }
    const answer = await node.manager.handleRpc(Buffer.from(JSON.stringify(body)), request)
    const lines: unknown[] = []
    for await (const line of answer.lines ?? []) {
      assert.match(line, /^[^\n]+\n$/)
      lines.push(JSON.parse(line))
    }
    await node.manager.stop()
    return {
      status: answer.status,
      body: answer.body === undefined ? undefined : (JSON.parse(answer.body) as unknown),
      lines,
    }
  }
  const rpc = (name: string, params: object = {}) => ({ jsonrpc: '2.0', id: 1, method: `counter/${name}`, params })

  test('is gathered into one array', async () => {
    const { status, body } = await ask(rpc('count', { to: 2 }), false)
    assert.deepEqual([status, body], [200, { jsonrpc: '2.0', result: [{ n: 1 }, { n: 2 }], id: 1 }])
    assert.deepEqual((await ask([rpc('bytes')], true)).body, [{ jsonrpc: '2.0', result: ['YWJj', 'AQI='], id: 1 }])
  })

  test('that is too long for one answer is refused with the remedy', async () => {
    const { body } = await ask(rpc('count', { to: 1e9 }), false)
    const { error } = body as { error: { message: string; data: { code: string } } }
    assert.equal(error.data.code, 'P2P_RPC_TOO_MANY_ITEMS')
    assert.match(error.message, /Accept: application\/x-ndjson/)
  })

  test('comes item by item, a line each, for who accepts that', async () => {
    const { lines, body } = await ask(rpc('count', { to: 2 }), true)
    assert.equal(body, undefined)
    assert.deepEqual(lines, [
      { jsonrpc: '2.0', item: { n: 1 }, id: 1 },
      { jsonrpc: '2.0', item: { n: 2 }, id: 1 },
      { jsonrpc: '2.0', result: null, id: 1 },
    ])
    const failed = (await ask(rpc('fail'), true)).lines as { item?: number; error?: { message: string } }[]
    assert.deepEqual([failed.length, failed[0]?.item, failed[1]?.error?.message], [2, 1, 'It broke'])
  })
})
