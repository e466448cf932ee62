import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Principal } from '../../../src/base/identity.ts'
import { defineService, method, type MethodCall } from '../../../src/service/index.ts'
import { HOPS_MAX } from '../../../src/service/calls/local-dispatch.ts'
import type { MethodOptions } from '../../../src/service/sdk/index.ts'
import { sourceOfDefinition } from '../../../src/service/definition/service-body.ts'
import { ManualClock } from './support/manual-clock.ts'
import { MemoryNetwork } from './support/memory-peers.ts'
import { ADMIN, call, introduce, startNode, type TestNode, turn } from './support/node.ts'

const service = (nodeId: string, name?: string): Principal => ({
  kind: 'node',
  nodeId,
  role: 'worker',
  ...(name !== undefined && { service: name }),
})

/** One method with these options, that waits until it is let go. */
function gated(options: Partial<MethodOptions>) {
  const open: ((value: unknown) => void)[] = []
  const definition = defineService({
    name: 'gated',
    version: '1',
    description: '',
    methods: {
      wait: method({
        description: '',
        public: true,
        ...(options as object),
        handler: () => new Promise((resolve) => open.push(resolve)),
      }),
    },
  })
  return { definition, open }
}

describe('callers', () => {
  test('are the only ones who may call, services on other nodes only if it is public', async () => {
    for (const isPublic of [true, false]) {
      const { definition, open } = gated({ callers: ['billing'], public: isPublic })
      const node = await startNode({ services: [definition] })
      const outcome = async (caller: Principal): Promise<unknown> => {
        const answer = call(node, 'gated/wait', {}, { caller }).catch((error: { code: string }) => error.code)
        open.pop()?.('done')
        return answer
      }
      const denied = 'P2P_RPC_ACCESS_DENIED'
      assert.equal(await outcome(service('n1', 'billing')), 'done')
      assert.equal(await outcome(service('n1', 'other')), denied)
      assert.equal(await outcome(service('n1')), denied)
      assert.equal(await outcome(service('n2', 'billing')), isPublic ? 'done' : denied)
      assert.equal(await outcome(ADMIN), denied)
      await assert.rejects(call(node, 'gated/wait', {}, { caller: service('n1', 'other') }), {
        message: /only these services may call it: billing/,
      })
      await node.manager.stop()
    }
  })
})

describe('rate', () => {
  test('is counted per caller, and comes back with time', async () => {
    const definition = defineService({
      name: 'rated',
      version: '1',
      description: '',
      methods: {
        get: method({ description: '', public: true, rate: { perMinute: 60, burst: 2 }, handler: () => 'done' }),
      },
    })
    const node = await startNode({ services: [definition] })
    const get = (caller: Principal): Promise<unknown> => call(node, 'rated/get', {}, { caller })
    const [a, b] = [service('n1', 'a'), service('n1', 'b')]
    assert.deepEqual([await get(a), await get(a), await get(b)], ['done', 'done', 'done'])
    await assert.rejects(get(a), {
      code: 'P2P_RPC_RATE_LIMITED',
      message: 'node:n1/a calls rated/get too often: wait 1000 ms',
    })
    node.clock.advance(1_000)
    assert.equal(await get(a), 'done')
    await node.manager.stop()
  })
})

describe('rate of a person another node speaks for', () => {
  test('is counted apart, so that no node uses up what is somebody else’s', async () => {
    const network = new MemoryNetwork()
    const definition = defineService({
      name: 'rated',
      version: '1',
      description: '',
      methods: {
        get: method({ description: '', public: true, rate: { perMinute: 60, burst: 1 }, handler: () => 'done' }),
      },
    })
    const node = await startNode({ network, services: [definition] })
    const others = await Promise.all(['n2', 'n3'].map((nodeId) => startNode({ nodeId, network })))
    introduce(node, ...others)
    const [n2, n3] = others as [TestNode, TestNode]
    assert.equal(await call(n2, 'rated/get'), 'done')
    await assert.rejects(call(n2, 'rated/get', {}), { code: 'P2P_RPC_RATE_LIMITED' })
    assert.deepEqual([await call(n3, 'rated/get'), await call(node, 'rated/get')], ['done', 'done'])
    await Promise.all([node, n2, n3].map(({ manager }) => manager.stop()))
  })
})

describe('concurrency', () => {
  test('lets so many run, so many wait, and refuses the rest', async () => {
    const { definition, open } = gated({ concurrency: 2, queue: 1 })
    const node = await startNode({ services: [definition] })
    const calls = [1, 2, 3].map(() => call(node, 'gated/wait'))
    await assert.rejects(call(node, 'gated/wait'), { code: 'P2P_RPC_OVERLOADED', message: /2 calls .* run and 1 wait/ })
    await turn()
    assert.equal(open.length, 2)
    open[0]?.('a')
    await turn()
    assert.equal(open.length, 3)
    open[1]?.('b')
    open[2]?.('c')
    assert.deepEqual(await Promise.all(calls), ['a', 'b', 'c'])
    assert.deepEqual(node.manager.tableSizes().unfinished, 0)
    await node.manager.stop()
  })

  test('a node that fills the queue gives way to others, whichever of its services it names', async () => {
    const { definition, open } = gated({ concurrency: 1, queue: 4 })
    const node = await startNode({ services: [definition] })
    const running = call(node, 'gated/wait')
    const flood = [1, 2, 3, 4].map((n) => call(node, 'gated/wait', {}, { caller: service('rogue', `s${n}`) }))
    const outcomes = Promise.allSettled(flood)
    await turn()
    const honest = [call(node, 'gated/wait', {}, { caller: service('n2', 'shop') }), call(node, 'gated/wait')]
    await assert.rejects(call(node, 'gated/wait', {}, { caller: service('rogue', 's9') }), {
      code: 'P2P_RPC_OVERLOADED',
    })
    for (let n = 0; n < 5; n++) {
      await turn()
      open.shift()?.(n)
    }
    assert.equal(await running, 0)
    assert.deepEqual(await Promise.all(honest), [3, 4])
    const codes = (await outcomes).map((outcome) => (outcome.status === 'fulfilled' ? '' : outcome.reason.code))
    assert.deepEqual(codes, ['', '', 'P2P_RPC_OVERLOADED', 'P2P_RPC_OVERLOADED'])
    assert.deepEqual(node.manager.tableSizes(), { channels: 0, calling: 0, serving: 0, running: 0, unfinished: 0 })
    await node.manager.stop()
  })

  test('a call that is given up while it waits never runs, and leaves its place', async () => {
    const { definition, open } = gated({ concurrency: 1, queue: 1 })
    const node = await startNode({ services: [definition] })
    const running = call(node, 'gated/wait')
    const caller = new AbortController()
    const waiting = assert.rejects(call(node, 'gated/wait', {}, { signal: caller.signal }), {
      code: 'P2P_RPC_CANCELLED',
    })
    const late = assert.rejects(call(node, 'gated/wait', {}, { timeoutMs: 50 }), { code: 'P2P_RPC_OVERLOADED' })
    await late
    caller.abort()
    await waiting
    const next = call(node, 'gated/wait')
    open[0]?.('a')
    await running
    await turn()
    assert.equal(open.length, 2)
    open[1]?.('b')
    assert.equal(await next, 'b')
    assert.deepEqual(node.manager.tableSizes(), { channels: 0, calling: 0, serving: 0, running: 0, unfinished: 0 })
    await node.manager.stop()
  })

  test('a thousand calls that end at once follow one another without one inside the other', async () => {
    let depth = 0
    let deepest = 0
    const definition = defineService({
      name: 'quick',
      version: '1',
      description: '',
      methods: {
        run: method({
          description: '',
          public: true,
          concurrency: 1,
          queue: 2_000,
          handler: ({ wait }: { wait?: Promise<void> }) => {
            if (wait) return wait
            deepest = Math.max(deepest, ++depth)
            depth--
            return depth
          },
        }),
      },
    })
    const node = await startNode({ services: [definition] })
    const gate = Promise.withResolvers<void>()
    const calls = [call(node, 'quick/run', { wait: gate.promise })]
    for (let i = 0; i < 2_000; i++) calls.push(call(node, 'quick/run'))
    gate.resolve()
    await Promise.all(calls)
    assert.equal(deepest, 1)
    await node.manager.stop()
  })
})

describe('calls that make one another', () => {
  test('in a circle end with a clear error, here and between nodes', async () => {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    let runs = 0
    const circle = (target: string) =>
      defineService({
        name: 'circle',
        version: '1',
        description: '',
        methods: {
          go: method({
            description: '',
            public: true,
            handler: async (_params, { service: own }) => {
              runs++
              return (await own.proxy.circle[target].go({})) as unknown
            },
          }),
        },
      })
    const a = await startNode({ nodeId: 'a', clock, network, services: [circle('b')] })
    const b = await startNode({ nodeId: 'b', clock, network, services: [circle('a')] })
    introduce(a, b)
    await assert.rejects(call(a, 'circle/go'), {
      code: 'P2P_RPC_TOO_MANY_HOPS',
      message: /32 calls have made one another in a row; look for services that call each other in a circle/,
    })
    assert.equal(runs, HOPS_MAX + 1)
    await Promise.all([a.manager.stop(), b.manager.stop()])
  })
})

describe('the span of a call', () => {
  test('is the parent of the calls it makes, through every hop', async () => {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    const seen: Pick<MethodCall, 'traceId' | 'spanId' | 'parentSpanId' | 'hops'>[] = []
    const step = (name: string, next?: string) =>
      defineService({
        name,
        version: '1',
        description: '',
        methods: {
          go: method({
            description: '',
            public: true,
            handler: async (_params, { traceId, spanId, parentSpanId, hops, service: own }) => {
              seen.push({ traceId, spanId, parentSpanId, hops })
              return next === undefined ? 'done' : ((await own.proxy[next].go({})) as unknown)
            },
          }),
        },
      })
    const a = await startNode({ nodeId: 'a', clock, network, services: [step('first', 'second')] })
    const b = await startNode({ nodeId: 'b', clock, network, services: [step('second')] })
    introduce(a, b)
    assert.equal(await call(a, 'first/go'), 'done')
    const [first, second] = seen
    assert.equal(first?.traceId, second?.traceId)
    assert.match(first?.spanId ?? '', /^[0-9a-f]{16}$/)
    assert.deepEqual([first?.parentSpanId, second?.parentSpanId], [undefined, first?.spanId])
    assert.deepEqual([first?.hops, second?.hops], [0, 1])
    await Promise.all([a.manager.stop(), b.manager.stop()])
  })
})

describe('options that make no sense are refused when the service is loaded', () => {
  const wrong: [Partial<MethodOptions>, RegExp][] = [
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ callers: 'billing' as never }, /callers/],
    [{ callers: ['no name'] }, /callers/],
    [{ concurrency: 0 }, /concurrency/],
    [{ concurrency: 1.5 }, /concurrency/],
    [{ queue: 3 }, /queue .* without concurrency/],
    [{ concurrency: 1, queue: -1 }, /queue/],
    [{ rate: { perMinute: 0, burst: 1 } }, /rate/],
    [{ stream: true, cacheTtlMs: 5 }, /a stream is not kept/],
    [{ stream: true, result: {} as never }, /describe its items with item/],
    [{ item: {} as never }, /item without stream/],
  ]
  for (const [options, message] of wrong) {
    test(JSON.stringify(options), () => {
      const definition = gated(options).definition
      assert.throws(() => sourceOfDefinition(definition), { code: 'P2P_SERVICE_LOAD_FAILED', message })
    })
  }
})

test('nodes are told which methods may run twice', async () => {
  const { definition } = gated({ idempotent: true })
  const node: TestNode = await startNode({ services: [definition] })
  assert.deepEqual(node.manager.records()[0]?.idempotent, ['wait'])
  await node.manager.stop()
})
