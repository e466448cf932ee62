import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Principal } from '../../../src/base/identity.ts'
import { defineService, method, type MethodCall, type ResultCache } from '../../../src/service/index.ts'
import { z } from '../../../src/service/sdk/index.ts'
import { ADMIN, call, startNode, type TestNode, turn, VIEWER } from './support/node.ts'

/** Methods that wait until a test lets them go. */
function gatedService() {
  const calls: MethodCall[] = []
  let open = Promise.withResolvers<unknown>()
  const service = defineService({
    name: 'gated',
    version: '1',
    description: '',
    methods: {
      wait: method({
        description: 'Waits',
        public: true,
        timeoutMs: 1_000,
        handler: (_params, context) => {
          calls.push(context)
          return open.promise
        },
      }),
    },
  })
  const release = (value: unknown): void => {
    open.resolve(value)
    open = Promise.withResolvers()
  }
  return { service, calls, release }
}

async function withNode(
  options: Parameters<typeof startNode>[0],
  use: (node: TestNode) => Promise<void>,
): Promise<void> {
  const node = await startNode(options)
  try {
    await use(node)
  } finally {
    await node.manager.stop()
  }
}

describe('who may call a method', () => {
  const echo = (options: { public?: boolean; requiredRole?: 'viewer' | 'operator' | 'admin' }) =>
    method({ description: '', ...options, handler: () => 'done' })
  const doors = defineService({
    name: 'doors',
    version: '1',
    description: '',
    methods: {
      internal: echo({}),
      usual: echo({ public: true }),
      viewing: echo({ public: true, requiredRole: 'viewer' }),
      ruling: echo({ public: true, requiredRole: 'admin' }),
    },
  })
  const person = (role: 'viewer' | 'operator' | 'admin'): Principal => ({ kind: 'person', name: 'p', role })
  const otherNode: Principal = { kind: 'node', nodeId: 'n2', role: 'coordinator' }
  const sameNode: Principal = { kind: 'node', nodeId: 'n1', role: 'worker', service: 'other' }
  const denied = 'P2P_RPC_ACCESS_DENIED'
  const table: [Principal, Record<string, string>][] = [
    [
      { kind: 'anonymous' },
      {
        internal: 'P2P_RPC_AUTHENTICATION_REQUIRED',
        usual: 'P2P_RPC_AUTHENTICATION_REQUIRED',
        viewing: 'P2P_RPC_AUTHENTICATION_REQUIRED',
        ruling: 'P2P_RPC_AUTHENTICATION_REQUIRED',
      },
    ],
    [person('viewer'), { internal: denied, usual: denied, viewing: 'done', ruling: denied }],
    [person('operator'), { internal: denied, usual: 'done', viewing: 'done', ruling: denied }],
    [person('admin'), { internal: denied, usual: 'done', viewing: 'done', ruling: 'done' }],
    [otherNode, { internal: denied, usual: 'done', viewing: 'done', ruling: 'done' }],
    [sameNode, { internal: 'done', usual: 'done', viewing: 'done', ruling: 'done' }],
  ]
  for (const [caller, expected] of table) {
    test(`as ${JSON.stringify(caller)}`, () =>
      withNode({ services: [doors] }, async (node) => {
        const outcome: Record<string, unknown> = {}
        for (const name of Object.keys(expected)) {
          outcome[name] = await call(node, `doors/${name}`, {}, { caller }).catch(
            (error: { code: string }) => error.code,
          )
        }
        assert.deepEqual(outcome, expected)
      }))
  }

  test('is decided before the parameters are looked at', () =>
    withNode({ services: [doors] }, async (node) => {
      await assert.rejects(call(node, 'doors/usual', [1, 2, 3], { caller: VIEWER }), { code: denied })
    }))
})

describe('parameters', () => {
  const typed = defineService({
    name: 'typed',
    version: '1',
    description: '',
    methods: {
      check: method({
        description: '',
        public: true,
        params: z.strictObject({ list: z.array(z.object({ n: z.number() })), at: z.coerce.date().optional() }),
        handler: (params) => params,
      }),
      free: method({ description: '', public: true, handler: (params) => params }),
      lying: method({
        description: '',
        public: true,
        result: z.object({ n: z.number() }),
        handler: () => ({ n: 'x' }) as never,
      }),
      broken: method({
        description: '',
        public: true,
        params: z.looseObject({}).refine(() => {
          throw new Error('a bug in the schema')
        }),
        handler: () => 1,
      }),
      slowly: method({
        description: '',
        public: true,
        params: z.object({ n: z.number() }).refine(async ({ n }) => Promise.resolve(n > 0), 'must be positive'),
        handler: ({ n }) => n,
      }),
    },
  })

  test('that the schema forbids are refused with the path of each issue', () =>
    withNode({ services: [typed] }, async (node) => {
      const error = (await call(node, 'typed/check', { list: [{ n: 1 }, { n: 'x' }], extra: 1 }).catch(
        (e: unknown) => e,
      )) as {
        code: string
        details: { issues: { path: string }[] }
      }
      assert.equal(error.code, 'P2P_RPC_INVALID_PARAMS')
      assert.deepEqual(error.details.issues.map(({ path }) => path).sort(), ['', 'list[1].n'])
    }))

  test('reach the method parsed', () =>
    withNode({ services: [typed] }, async (node) => {
      const parsed = (await call(node, 'typed/check', { list: [], at: '2026-01-01' })) as { at: Date }
      assert.ok(parsed.at instanceof Date)
    }))

  test('of a method without a schema are an object, positional ones are refused', () =>
    withNode({ services: [typed] }, async (node) => {
      assert.deepEqual(await call(node, 'typed/free'), {})
      assert.deepEqual(await call(node, 'typed/free', { a: 1 }), { a: 1 })
      await assert.rejects(call(node, 'typed/free', [1]), { code: 'P2P_RPC_INVALID_PARAMS' })
    }))

  test('are also checked by schemas that take their time', () =>
    withNode({ services: [typed] }, async (node) => {
      assert.equal(await call(node, 'typed/slowly', { n: 1 }), 1)
      await assert.rejects(call(node, 'typed/slowly', { n: -1 }), { code: 'P2P_RPC_INVALID_PARAMS' })
    }))

  test('whose check itself breaks are a failure of the method', () =>
    withNode({ services: [typed] }, async (node) => {
      await assert.rejects(call(node, 'typed/broken'), {
        code: 'P2P_RPC_SERVICE_FAILED',
        message: /p2p logs --trace 0123456789abcdef0123456789abcdef/,
      })
    }))

  test('a result that its schema forbids never leaves', () =>
    withNode({ services: [typed] }, async (node) => {
      await assert.rejects(call(node, 'typed/lying'), { code: 'P2P_RPC_INVALID_RESULT' })
    }))
})

describe('a call ends', () => {
  test("at the method's own limit, and the method is told", async () => {
    const { service, calls, release } = gatedService()
    await withNode({ services: [service] }, async (node) => {
      const outcome = assert.rejects(call(node, 'gated/wait'), {
        code: 'P2P_RPC_DEADLINE_EXCEEDED',
        message: 'gated/wait did not answer within 1000 ms',
      })
      await turn()
      const { signal } = calls[0] as MethodCall
      node.clock.advance(999)
      assert.equal(signal.aborted, false)
      node.clock.advance(1)
      assert.equal(signal.aborted, true)
      await outcome
      release('too late')
    })
  })

  test("at the caller's deadline when that is earlier, also for a signal first asked for afterwards", async () => {
    const { service, calls } = gatedService()
    await withNode({ services: [service] }, async (node) => {
      const outcome = assert.rejects(call(node, 'gated/wait', {}, { timeoutMs: 300 }), {
        code: 'P2P_RPC_DEADLINE_EXCEEDED',
      })
      await turn()
      node.clock.advance(300)
      await outcome
      assert.equal(calls[0]?.signal.aborted, true)
    })
  })

  test('each at its own moment, however many wait', async () => {
    const { service } = gatedService()
    await withNode({ services: [service] }, async (node) => {
      const ended: number[] = []
      const waits = [700, 100, 400, 100].map((timeoutMs) =>
        call(node, 'gated/wait', {}, { timeoutMs }).catch(() => void ended.push(timeoutMs)),
      )
      await turn()
      for (const [upToMs, expected] of [
        [99, []],
        [100, [100, 100]],
        [400, [100, 100, 400]],
        [700, [100, 100, 400, 700]],
      ] as const) {
        node.clock.advance(upToMs - (node.clock.nowMs() - 1_000))
        await turn()
        assert.deepEqual(ended, expected)
      }
      await Promise.all(waits)
    })
  })

  test('at once when its deadline has passed before it began', async () => {
    const { service, calls } = gatedService()
    await withNode({ services: [service] }, async (node) => {
      await assert.rejects(call(node, 'gated/wait', {}, { timeoutMs: 0 }), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
      assert.equal(calls.length, 0)
    })
  })

  test('when its caller aborts', async () => {
    const { service, calls } = gatedService()
    await withNode({ services: [service] }, async (node) => {
      const caller = new AbortController()
      const outcome = assert.rejects(call(node, 'gated/wait', {}, { signal: caller.signal }), {
        code: 'P2P_RPC_CANCELLED',
      })
      await turn()
      const { signal } = calls[0] as MethodCall
      caller.abort()
      await outcome
      assert.equal(signal.aborted, true)
      await assert.rejects(call(node, 'gated/wait', {}, { signal: caller.signal }), { code: 'P2P_RPC_CANCELLED' })
    })
  })

  test('with the node: what runs may finish within the limit, then it is given up', async () => {
    const { service, release } = gatedService()
    const node = await startNode({ services: [service] })
    const finished = call(node, 'gated/wait')
    await turn()
    const stopped = node.manager.stop()
    await assert.rejects(call(node, 'gated/wait'), { code: 'P2P_RPC_NO_INSTANCE' })
    release('done')
    assert.equal(await finished, 'done')
    await stopped

    const stuck = await startNode({
      services: [{ ...service, methods: { wait: { ...service.methods.wait, timeoutMs: 60_000 } } }],
    })
    const givenUp = assert.rejects(call(stuck, 'gated/wait', {}, { timeoutMs: 60_000 }), { code: 'P2P_RPC_CANCELLED' })
    await turn()
    const stopping = stuck.manager.stop()
    await turn()
    stuck.clock.advance(5_000)
    await Promise.all([givenUp, stopping])
    assert.equal(stuck.clock.timerCount, 0)
  })
})

describe('a method with cacheTtlMs', () => {
  function cachedService() {
    let runs = 0
    const service = defineService({
      name: 'cached',
      version: '1',
      description: '',
      methods: {
        get: method({
          description: '',
          public: true,
          cacheTtlMs: 5_000,
          handler: (params) => {
            runs++
            if ((params as { fail?: boolean }).fail) throw new Error('no')
            return { runs, params }
          },
        }),
      },
    })
    return { service, runs: () => runs }
  }
  /** The plainest cache there is. */
  function mapCache(): ResultCache & { keys: string[]; ttls: number[] } {
    const known = new Map<string, unknown>()
    const keys: string[] = []
    const ttls: number[] = []
    return {
      keys,
      ttls,
      async getOrCompute(scope, key, ttlMs, compute) {
        keys.push(`${scope} ${key}`)
        ttls.push(ttlMs)
        if (!known.has(key)) known.set(key, await compute())
        return known.get(key)
      },
    }
  }

  test('runs once for equal parameters, in whatever order they are written', async () => {
    const { service, runs } = cachedService()
    const cache = mapCache()
    await withNode({ services: [service], cache }, async (node) => {
      const first = await call(node, 'cached/get', { a: 1, b: [2, { c: 3, d: 4 }] })
      assert.deepEqual(await call(node, 'cached/get', { b: [2, { d: 4, c: 3 }], a: 1 }), first)
      assert.equal(runs(), 1)
      await call(node, 'cached/get', { a: 1, b: [{ c: 3, d: 4 }, 2] })
      assert.equal(runs(), 2)
      assert.deepEqual(cache.ttls, [5_000, 5_000, 5_000])
      assert.match(cache.keys[0] as string, /^rpc n1\/cached\/get@1\?[\w-]{43}$/)
    })
  })

  test('runs once also when it is called without parameters, which is the same as with none by name', async () => {
    const { service, runs } = cachedService()
    await withNode({ services: [service], cache: mapCache() }, async (node) => {
      await call(node, 'cached/get')
      await call(node, 'cached/get')
      await call(node, 'cached/get', {})
      assert.equal(runs(), 1)
    })
  })

  test('is still decided on per caller', async () => {
    const { service } = cachedService()
    await withNode({ services: [service], cache: mapCache() }, async (node) => {
      await call(node, 'cached/get', {}, { caller: ADMIN })
      await assert.rejects(call(node, 'cached/get', {}, { caller: VIEWER }), { code: 'P2P_RPC_ACCESS_DENIED' })
    })
  })

  test('fails as usual, and what is no plain JSON is computed every time', async () => {
    const { service, runs } = cachedService()
    const cache = mapCache()
    await withNode({ services: [service], cache }, async (node) => {
      await assert.rejects(call(node, 'cached/get', { fail: true }), { code: 'P2P_RPC_SERVICE_FAILED' })
      const cycle: Record<string, unknown> = {}
      cycle.self = cycle
      for (const params of [{ at: new Map() }, { n: Number.NaN }, cycle]) {
        const before = runs()
        await call(node, 'cached/get', params)
        await call(node, 'cached/get', params)
        assert.equal(runs(), before + 2)
      }
      assert.equal(cache.keys.length, 1)
    })
  })

  test('computes every time without a cache', async () => {
    const { service, runs } = cachedService()
    await withNode({ services: [service] }, async (node) => {
      await call(node, 'cached/get')
      await call(node, 'cached/get')
      assert.equal(runs(), 2)
    })
  })
})

test('calls, failures and durations are counted per method', async () => {
  const { service, release } = gatedService()
  await withNode({ services: [service] }, async (node) => {
    const running = call(node, 'gated/wait')
    await turn()
    await assert.rejects(call(node, 'gated/wait', {}, { caller: VIEWER }))
    node.clock.advance(40)
    const find = () => node.manager.methodMetrics().find(({ method }) => method === 'wait')
    assert.deepEqual([find()?.calls, find()?.errors, find()?.inFlight], [1, 1, 1])
    release(1)
    await running
    const metrics = find()
    assert.deepEqual([metrics?.calls, metrics?.errors, metrics?.inFlight, metrics?.durationMsTotal], [2, 1, 0, 40])
    assert.deepEqual(
      metrics?.durations.filter(({ count }) => count > 0),
      [
        { upToMs: 0.25, count: 1 },
        { upToMs: 50, count: 1 },
      ],
    )
  })
})
