import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  BaseService,
  defineService,
  method,
  ServiceError,
  serviceMethod,
  type ServiceClient,
  type ServiceProxy,
  z,
} from '../../../src/service/sdk/index.ts'
import { createServiceMetrics, METRIC_NAMES_MAX } from '../../../src/service/sdk/service-metrics.ts'
import { call, introduce, startNode } from './support/node.ts'
import { MemoryNetwork } from './support/memory-peers.ts'

const greeter = defineService({
  name: 'greeter',
  version: '1.2.3',
  description: 'Greets',
  methods: {
    greet: method({
      description: 'Greets somebody',
      public: true,
      params: z.object({ name: z.string(), times: z.number().default(1) }),
      result: z.object({ text: z.string() }),
      handler: ({ name, times }) => ({ text: `Hello ${name}`.repeat(times) }),
    }),
  },
})

describe('defineService', () => {
  test('gives a handler the types of its schemas, and callers the types of the methods', () => {
    const client = {} as ServiceClient<typeof greeter>
    // These lines are checked by the compiler: each wrong one must be an error.
    const types = (): void => {
      const result: Promise<{ text: string }> = client.greet({ name: 'Ada' })
      // @ts-expect-error a parameter is missing
      void client.greet({})
      // @ts-expect-error no such method
      void client.wave({})
      // @ts-expect-error the handler returns what the result schema forbids
      void method({ description: '', result: z.object({ n: z.number() }), handler: () => ({ n: 'x' }) })
      // @ts-expect-error the parameter has another type
      void method({ description: '', params: z.object({ n: z.number() }), handler: ({ n }) => n.length })
      const fromProxy = ({} as ServiceProxy).greeter as ServiceClient<typeof greeter>
      void [result, fromProxy]
    }
    assert.equal(typeof types, 'function')
  })

  test('fills in defaults, and sends nothing that the result schema does not name', async () => {
    const chatty = defineService({
      ...greeter,
      name: 'chatty',
      methods: {
        tell: method({
          description: 'Tells too much',
          public: true,
          result: z.object({ shown: z.string() }),
          handler: () => ({ shown: 'a', hidden: 'b' }),
        }),
      },
    })
    const node = await startNode({ services: [greeter, chatty] })
    assert.deepEqual(await call(node, 'greeter/greet', { name: 'Ada', times: 2 }), { text: 'Hello AdaHello Ada' })
    assert.deepEqual(await call(node, 'greeter/greet', ['Ada']), { text: 'Hello Ada' })
    assert.deepEqual(await call(node, 'chatty/tell'), { shown: 'a' })
    await node.manager.stop()
  })

  test('runs initialize before the first call and cleanup after the last', async () => {
    const order: string[] = []
    const service = defineService({
      ...greeter,
      initialize: ({ name, signal }) => {
        order.push(`initialize ${name}`)
        signal.addEventListener('abort', () => order.push('signal'))
      },
      cleanup: () => void order.push('cleanup'),
    })
    const node = await startNode({ services: [service] })
    await call(node, 'greeter/greet', { name: 'x' })
    await node.manager.stop()
    assert.deepEqual(order, ['initialize greeter', 'signal', 'cleanup'])
  })

  for (const [what, broken] of Object.entries({
    'a service name with a slash': { ...greeter, name: 'a/b' },
    'an empty service name': { ...greeter, name: '' },
    'a method name with a space': { ...greeter, methods: { 'a b': greeter.methods.greet } },
    'a time limit of nothing': { ...greeter, methods: { greet: { ...greeter.methods.greet, timeoutMs: 0 } } },
    'a method without a description': { ...greeter, methods: { greet: { handler: () => 1 } } },
    'a method that every service has already': { ...greeter, methods: { ping: greeter.methods.greet } },
  })) {
    test(`with ${what} cannot be registered`, async () => {
      await assert.rejects(startNode({ services: [broken as unknown as typeof greeter] }), {
        code: 'P2P_SERVICE_LOAD_FAILED',
      })
    })
  }
})

test('a service with too many methods does not start, and says why', async () => {
  const methods = Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`m${i}`, greeter.methods.greet]))
  const node = await startNode({ services: [defineService({ ...greeter, methods })] })
  assert.match(node.manager.get('greeter')?.failure ?? '', /129 methods, 128 are allowed/)
  await node.manager.stop()
})

describe('every service', () => {
  test('answers ping and get_service_info, to viewers too', async () => {
    const node = await startNode({ services: [greeter] })
    await call(node, 'greeter/greet', { name: 'x' })
    await assert.rejects(call(node, 'greeter/greet', {}))
    node.clock.advance(5_000)
    const viewer = { caller: { kind: 'person', name: 'v', role: 'viewer' } } as const
    assert.deepEqual(await call(node, 'greeter/ping', {}, viewer), {
      status: 'alive',
      service: 'greeter',
      uptime: 5,
      timestamp: new Date(node.clock.wallMs()).toISOString(),
      heartbeat: true,
    })
    const info = (await call(node, 'greeter/get_service_info', {}, viewer)) as Record<string, unknown>
    assert.deepEqual(Object.keys(info).sort(), [
      'counters',
      'description',
      'exposed_methods',
      'gauges',
      'health_report',
      'metadata',
      'metrics_summary',
      'name',
      'status',
      'timers',
      'uptime',
      'version',
    ])
    assert.deepEqual(info.exposed_methods, ['greet', 'ping', 'get_service_info'])
    assert.deepEqual(info.metrics_summary, { calls: 3, errors: 1, in_flight: 1 })
    await node.manager.stop()
  })

  test('is callable by nothing but its marked methods: no part of its life cycle can be called', async () => {
    const node = await startNode({ services: [{ ...greeter, initialize() {}, cleanup() {} }] })
    for (const name of [
      'initialize',
      'cleanup',
      'constructor',
      'toString',
      '__proto__',
      'name',
      'hasOwnProperty',
      'methods',
    ]) {
      await assert.rejects(call(node, `greeter/${name}`), { code: 'P2P_RPC_METHOD_NOT_FOUND' }, name)
    }
    await node.manager.stop()
  })
})

describe('BaseService', () => {
  test('works without a node: logs nowhere, measures, and refuses to call', () => {
    const service = new BaseService('alone')
    service.logger.info('unheard')
    service.metrics.increment('n')
    service.reportHealth('failing')
    assert.deepEqual(service.metrics.snapshot().counters, { n: 1 })
    assert.throws(() => service.proxy.other, /not started by a node/)
    assert.equal(service.initialize(), undefined)
    assert.equal(service.signal.aborted, false)
  })

  test('has a decorator that marks methods only', () => {
    const decorate = serviceMethod({ description: 'x' })
    const contextOf = (facts: object) =>
      ({ kind: 'method', name: 'm', static: false, private: false, ...facts }) as never
    decorate(() => 1, contextOf({}))
    assert.throws(() => decorate(() => 1, contextOf({ static: true })), TypeError)
    assert.throws(() => decorate(() => 1, contextOf({ private: true })), TypeError)
    assert.throws(() => decorate(() => 1, contextOf({ kind: 'field' })), TypeError)
  })
})

describe('an error of a method', () => {
  const failing = defineService({
    name: 'failing',
    version: '1',
    description: '',
    methods: {
      known: method({
        description: 'Fails on purpose',
        public: true,
        handler: () => {
          throw new ServiceError('BOOK_UNKNOWN', 'No book has the id 7', { id: 7 })
        },
      }),
      unknown: method({
        description: 'Fails by accident',
        public: true,
        handler: () => {
          throw new Error('password=hunter2')
        },
      }),
      relayed: method({
        description: 'Calls what fails',
        public: true,
        handler: (_params, { service }) => service.proxy.nowhere.nothing(),
      }),
    },
  })

  test('reaches the caller whole when it is a ServiceError, of any copy of the class', async () => {
    const node = await startNode({ services: [failing] })
    await assert.rejects(call(node, 'failing/known'), {
      code: 'P2P_RPC_SERVICE_FAILED',
      message: 'No book has the id 7',
      details: { method: 'failing/known', reason: 'BOOK_UNKNOWN', id: 7 },
    })
    await node.manager.stop()
  })

  test('is told to nobody but the log when it is any other', async () => {
    const lines: unknown[] = []
    const { silentLogger } = await import('../../../src/base/log.ts')
    const log = { ...silentLogger, error: (message: string, fields: unknown) => void lines.push([message, fields]) }
    const network = new MemoryNetwork()
    const near = await startNode({ nodeId: 'near', network })
    // A built-in service's own codes are told; these errors are not ours wherever they are thrown.
    const far = await startNode({ nodeId: 'far', network, services: [failing], log })
    introduce(near, far)
    for (const node of [near, far]) {
      const error = (await call(node, 'failing/unknown').catch((e: unknown) => e)) as Error & { details: unknown }
      assert.match(
        error.message,
        /failing\/unknown failed on node far; the reason is in the log: p2p logs --trace 0123/,
      )
      assert.doesNotMatch(JSON.stringify([error.message, error.details]), /hunter2/)
    }
    assert.equal(lines.length, 2)
    assert.match(((lines[0] as unknown[])[1] as { error: Error }).error.message, /hunter2/)
    await Promise.all([near.manager.stop(), far.manager.stop()])
  })
})

describe('the metrics of a service', () => {
  test('count, hold and time', async () => {
    let now = 0
    const metrics = createServiceMetrics(() => now)
    metrics.increment('a')
    metrics.increment('a', 4)
    metrics.gauge('g', 3)
    metrics.gauge('g', 2)
    metrics.timing('t', 5)
    await assert.rejects(
      metrics.time('t', () => {
        now += 15
        throw new Error('measured all the same')
      }),
    )
    assert.deepEqual(metrics.snapshot(), {
      counters: { a: 5 },
      gauges: { g: 2 },
      timers: { t: { count: 2, avg_ms: 10, min_ms: 5, max_ms: 15 } },
    })
  })

  test('have a limit to their names, and say when it was passed', () => {
    const metrics = createServiceMetrics(() => 0)
    for (let i = 0; i < METRIC_NAMES_MAX + 10; i++) metrics.gauge(`g${i}`, i)
    const { gauges, counters } = metrics.snapshot()
    assert.equal(Object.keys(gauges).length, METRIC_NAMES_MAX)
    assert.deepEqual(counters, { metric_names_dropped: 10 })
    metrics.increment('n'.repeat(129))
    assert.deepEqual(metrics.snapshot().counters, { metric_names_dropped: 11 })
  })
})
