import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RpcError, TransportError } from '../../../src/base/errors.ts'
import type { ServiceRecord } from '../../../src/base/member.ts'
import { CircuitBreaker } from '../../../src/service/calls/circuit-breaker.ts'
import { defineService, method, type MethodCall, type ServiceDefinition } from '../../../src/service/index.ts'
import { backoffMs, isTransient, neverRan } from '../../../src/service/calls/resilience.ts'
import { RetryBudget } from '../../../src/service/calls/retry-budget.ts'
import { ManualClock } from './support/manual-clock.ts'
import { MemoryNetwork } from './support/memory-peers.ts'
import { call, countingRandom, introduce, startNode, type TestNode, turn } from './support/node.ts'

const failure = (code: ConstructorParameters<typeof RpcError>[0]) => new RpcError(code, code)

describe('a circuit breaker', () => {
  const lost = new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', 'lost')

  test('opens when at least five calls and half of them failed, and admits none', () => {
    const breaker = new CircuitBreaker()
    for (let i = 0; i < 6; i++) breaker.succeeded(0)
    for (let i = 0; i < 5; i++) breaker.failed(lost, 0)
    // The successes came before the window, which began with the first failure.
    assert.equal(breaker.isClosed, false)
    assert.equal(breaker.admits(999), false)
    const mixed = new CircuitBreaker()
    mixed.failed(lost, 0)
    for (let i = 0; i < 20; i++) mixed.succeeded(1)
    for (let i = 0; i < 10; i++) mixed.failed(lost, 2)
    assert.equal(mixed.isClosed, true)
  })

  test('lets one call try after a second, and closes when it succeeds', () => {
    const breaker = new CircuitBreaker()
    for (let i = 0; i < 5; i++) breaker.failed(lost, 0)
    assert.deepEqual([breaker.admits(1_000), breaker.admits(1_000)], [true, false])
    breaker.succeeded(1_001)
    assert.deepEqual([breaker.isClosed, breaker.admits(1_001), breaker.admits(1_001)], [true, true, true])
  })

  test('waits twice as long after each try that fails, at most thirty seconds', () => {
    const breaker = new CircuitBreaker()
    for (let i = 0; i < 5; i++) breaker.failed(lost, 0)
    let nowMs = 0
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      assert.equal(breaker.admits(nowMs + waitMs - 1), false, String(waitMs))
      assert.equal(breaker.admits(nowMs + waitMs), true, String(waitMs))
      nowMs += waitMs
      breaker.failed(lost, nowMs)
    }
  })

  test('takes an answer for an answer, and a caller who gives up for nothing', () => {
    const breaker = new CircuitBreaker()
    for (let i = 0; i < 50; i++) {
      breaker.failed(failure('P2P_RPC_SERVICE_FAILED'), 0)
      breaker.failed(failure('P2P_RPC_CANCELLED'), 0)
      breaker.failed(failure('P2P_RPC_INVALID_PARAMS'), 0)
    }
    assert.equal(breaker.isClosed, true)
    for (let i = 0; i < 400; i++) breaker.failed(lost, 0)
    breaker.admits(1_000)
    breaker.failed(failure('P2P_RPC_CANCELLED'), 1_000)
    assert.equal(breaker.admits(1_000), true, 'the next call tries')
  })

  test('forgets failures of long ago', () => {
    const breaker = new CircuitBreaker()
    for (let i = 0; i < 40; i++) breaker.failed(lost, i * 11_000)
    assert.equal(breaker.isClosed, true)
  })
})

describe('a retry budget', () => {
  test('allows ten at once, then one for five calls, and one a second', () => {
    const budget = new RetryBudget(0)
    const take = (nowMs: number): number => {
      let taken = 0
      while (budget.withdraw(nowMs)) taken++
      return taken
    }
    assert.equal(take(0), 10)
    for (let i = 0; i < 51; i++) budget.deposit()
    assert.equal(take(0), 10)
    assert.equal(take(3_500), 3)
    for (let i = 0; i < 10_000; i++) budget.deposit()
    assert.equal(take(3_500), 100)
  })
})

test('what surely did not run, and what may succeed when it is made again', () => {
  for (const code of ['P2P_RPC_NO_INSTANCE', 'P2P_RPC_OVERLOADED', 'P2P_TRANSPORT_UNREACHABLE'] as const) {
    assert.deepEqual([neverRan(failure(code)), isTransient(failure(code))], [true, true], code)
  }
  for (const code of ['P2P_TRANSPORT_CHANNEL_CLOSED', 'P2P_RPC_DEADLINE_EXCEEDED'] as const) {
    assert.deepEqual([neverRan(failure(code)), isTransient(failure(code))], [false, true], code)
  }
  for (const code of ['P2P_RPC_SERVICE_FAILED', 'P2P_RPC_CANCELLED', 'P2P_RPC_RATE_LIMITED'] as const) {
    assert.deepEqual([neverRan(failure(code)), isTransient(failure(code))], [false, false], code)
  }
  assert.equal(isTransient(new Error('x')), false)
  const waits = [1, 2, 3, 10].map((retry) => backoffMs(retry, countingRandom))
  assert.deepEqual(waits, [18.75, 37.5, 75, 750])
})

interface Cluster {
  near: TestNode
  a: TestNode
  b: TestNode
  clock: ManualClock
  network: MemoryNetwork
  /** Nodes on which the method ran, in order. */
  ran: string[]
}

/** Two nodes with a service, and one without; the method does what `behave` says. */
async function withCluster(
  behave: (node: string, run: number, call: MethodCall) => unknown,
  use: (cluster: Cluster) => Promise<void>,
  options: { idempotent?: boolean } = {},
): Promise<void> {
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const ran: string[] = []
  const worker = (node: string): ServiceDefinition =>
    defineService({
      name: 'worker',
      version: '1',
      description: '',
      methods: {
        run: method({
          description: '',
          public: true,
          ...options,
          handler: (_params, context) => behave(node, ran.push(node), context) as never,
        }),
      },
    })
  const near = await startNode({ nodeId: 'near', clock, network })
  const a = await startNode({ nodeId: 'a', clock, network, services: [worker('a')] })
  const b = await startNode({ nodeId: 'b', clock, network, services: [worker('b')] })
  introduce(near, a, b)
  try {
    await use({ near, a, b, clock, network, ran })
  } finally {
    const stopped = Promise.all([near, a, b].map(({ manager }) => manager.stop()))
    await turn()
    clock.advance(5_000)
    await stopped
  }
}

/** Lets time pass, a little at a time, until the call is settled. */
async function within<T>(clock: ManualClock, answer: Promise<T>): Promise<T> {
  const state = { isSettled: false }
  const settled = answer.finally(() => (state.isSettled = true))
  settled.catch(() => {})
  for (let i = 0; i < 1_000 && !state.isSettled; i++) {
    await turn()
    if (!state.isSettled) clock.advance(1)
  }
  return settled
}

/** The channel over which the call came is cut. */
const cut = (cluster: () => Cluster, node: string) => {
  cluster().near.peers.get(node)?.close('cut')
  return new Promise(() => {})
}

describe('a call that fails on the way', () => {
  test('is made again, on the other instance, when its method may run twice', async () => {
    let cluster: Cluster
    const behave = (node: string, run: number) => (run === 1 ? cut(() => cluster, node) : node)
    await withCluster(
      behave,
      async (made) => {
        cluster = made
        const answer = await within(made.clock, call(made.near, 'worker/run'))
        assert.equal(made.ran.length, 2)
        assert.notEqual(made.ran[0], made.ran[1])
        assert.equal(answer, made.ran[1])
      },
      { idempotent: true },
    )
  })

  test('is not made again when its method says nothing, unless its caller does', async () => {
    let cluster: Cluster
    const behave = (node: string, run: number) => (run % 2 === 1 ? cut(() => cluster, node) : node)
    await withCluster(behave, async (made) => {
      cluster = made
      const { near, clock, ran } = made
      await assert.rejects(within(clock, call(near, 'worker/run')), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
      assert.equal(ran.length, 1)
      ran.push('')
      const request = {
        caller: { kind: 'person', name: 'ada', role: 'admin' } as const,
        traceId: '0'.repeat(32),
        retries: 1,
      }
      const again = near.manager.call('worker/run', {}, { ...request, deadlineMs: clock.nowMs() + 10_000 })
      assert.match(String(await within(clock, again)), /^[ab]$/)
      assert.equal(ran.length, 4)
    })
  })

  test('is made again twice at most, with more and more time between', async () => {
    let cluster: Cluster
    await withCluster(
      (node) => cut(() => cluster, node),
      async (made) => {
        cluster = made
        const { near, clock, ran } = made
        const beganMs = clock.nowMs()
        await assert.rejects(within(clock, call(near, 'worker/run')), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
        assert.equal(ran.length, 3)
        assert.ok(clock.nowMs() - beganMs >= 18.75 + 37.5)
      },
      { idempotent: true },
    )
  })

  test('is not made again after its deadline, nor when its caller has gone', async () => {
    let cluster: Cluster
    await withCluster(
      (node) => cut(() => cluster, node),
      async (made) => {
        cluster = made
        const { near, clock, ran } = made
        await assert.rejects(within(clock, call(near, 'worker/run', {}, { timeoutMs: 10 })), {
          code: 'P2P_TRANSPORT_CHANNEL_CLOSED',
        })
        assert.equal(ran.length, 1)
        const caller = new AbortController()
        const outcome = assert.rejects(call(near, 'worker/run', {}, { signal: caller.signal }))
        await turn()
        caller.abort()
        await outcome
        assert.equal(ran.length, 2)
      },
      { idempotent: true },
    )
  })

  test('costs at most a fifth more when everything fails: retries cannot storm', async () => {
    let cluster: Cluster
    await withCluster(
      () => {
        throw new RpcError('P2P_RPC_OVERLOADED', 'unused')
      },
      async (made) => {
        cluster = made
        const { near, clock, network } = cluster
        network.unreachable.add('a')
        network.unreachable.add('b')
        for (let i = 0; i < 200; i++) {
          await within(
            clock,
            call(near, 'worker/run').catch(() => {}),
          )
        }
        // Each call dials both; 10 retries are there at once, one for five calls comes back, and a few with time.
        assert.ok(network.dialled.length < 200 * 2 + 2 * (10 + 40 + 10), String(network.dialled.length))
      },
      { idempotent: true },
    )
  })
})

describe('an instance that refuses because it stops or is full', () => {
  test('sees its calls made elsewhere at once: they surely did not run', () =>
    withCluster(
      (node) => node,
      async ({ near, a, clock, ran }) => {
        // The record still says that the service is there.
        const stopped = a.manager.stop()
        await turn()
        clock.advance(5_000)
        await stopped
        for (let i = 0; i < 6; i++) assert.equal(await call(near, 'worker/run'), 'b')
        assert.deepEqual(new Set(ran), new Set(['b']))
      },
    ))

  test('gets no new call once its record says it drains, and finishes the old', async () => {
    const gate = Promise.withResolvers<string>()
    await withCluster(
      (node) => (node === 'a' ? gate.promise : node),
      async ({ near, a, ran }) => {
        const old = call(near, 'worker/run', {}, { target: 'a' })
        await turn()
        const draining: ServiceRecord[] = a.manager.records().map((record) => ({ ...record, health: 'stopping' }))
        near.membership.set(a.identity, draining)
        for (let i = 0; i < 4; i++) assert.equal(await call(near, 'worker/run'), 'b')
        gate.resolve('finished')
        assert.equal(await old, 'finished')
        assert.equal(ran.filter((node) => node === 'a').length, 1)
      },
    )
  })

  test('leaves the caller the first refusal when there is no other', () =>
    withCluster(
      (node) => node,
      async ({ near, a, b, clock }) => {
        const stopped = Promise.all([a.manager.stop(), b.manager.stop()])
        await turn()
        clock.advance(5_000)
        await stopped
        await assert.rejects(call(near, 'worker/run'), { code: 'P2P_RPC_NO_INSTANCE' })
      },
    ))
})

describe('an instance that mostly fails', () => {
  test('is left alone while its circuit is open, and tried again by one call', async () => {
    let isIll = true
    await withCluster(
      (node) => (node === 'a' && isIll ? new Promise(() => {}) : node),
      async ({ near, clock, ran }) => {
        for (let i = 0; i < 5; i++) {
          await assert.rejects(within(clock, call(near, 'worker/run', {}, { target: 'a', timeoutMs: 5 })), {
            code: 'P2P_RPC_DEADLINE_EXCEEDED',
          })
        }
        await assert.rejects(call(near, 'worker/run', {}, { target: 'a' }), {
          code: 'P2P_RPC_CIRCUIT_OPEN',
          message: /most calls to it on a failed; it is tried again in \d+ ms/,
        })
        ran.length = 0
        for (let i = 0; i < 10; i++) assert.equal(await call(near, 'worker/run'), 'b')
        isIll = false
        clock.advance(1_000)
        const answers = await Promise.all(Array.from({ length: 10 }, () => call(near, 'worker/run')))
        assert.equal(answers.filter((node) => node === 'a').length, 1, 'one call tries')
        const later = await Promise.all(Array.from({ length: 10 }, () => call(near, 'worker/run')))
        assert.ok(later.filter((node) => node === 'a').length >= 4)
      },
    )
  })

  test('has a circuit for what it says it has: nothing is remembered of services that somebody makes up', () =>
    withCluster(
      (node) => node,
      async ({ near, network }) => {
        network.unreachable.add('a')
        const ask = (service: string) => call(near, `${service}/run`, {}, { target: 'a' })
        for (let i = 0; i < 10; i++) await assert.rejects(ask('made_up'), { code: 'P2P_TRANSPORT_UNREACHABLE' })
        for (let i = 0; i < 5; i++) await assert.rejects(ask('worker'), { code: 'P2P_TRANSPORT_UNREACHABLE' })
        await assert.rejects(ask('worker'), { code: 'P2P_RPC_CIRCUIT_OPEN' })
      },
    ))

  test('is forgotten with its node', () =>
    withCluster(
      (node) => (node === 'a' ? new Promise(() => {}) : node),
      async ({ near, a, clock }) => {
        const ask = () => within(clock, call(near, 'worker/run', {}, { target: 'a', timeoutMs: 5 }))
        for (let i = 0; i < 5; i++) await assert.rejects(ask(), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
        await assert.rejects(ask(), { code: 'P2P_RPC_CIRCUIT_OPEN' })
        near.membership.set(a.identity, a.manager.records(), 'dead')
        near.membership.set(a.identity, a.manager.records())
        await assert.rejects(ask(), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
      },
    ))
})

describe('a node whose death is known', () => {
  test('gets no call from that moment on', () =>
    withCluster(
      (node) => node,
      async ({ near, a, ran }) => {
        for (let i = 0; i < 4; i++) await call(near, 'worker/run')
        assert.ok(ran.includes('a'))
        ran.length = 0
        near.membership.set(a.identity, a.manager.records(), 'dead')
        const answers = await Promise.all(Array.from({ length: 20 }, () => call(near, 'worker/run')))
        assert.deepEqual([new Set(answers), new Set(ran)], [new Set(['b']), new Set(['b'])])
      },
    ))
})

describe('options of a call through the proxy', () => {
  test('fallback is given instead of an error, but not to who gave up', async () => {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    const user = defineService({
      name: 'user',
      version: '1',
      description: '',
      methods: {
        run: method({
          description: '',
          public: true,
          handler: async (_params, { service: { proxy } }) => {
            const gone = new AbortController()
            gone.abort()
            return [
              await proxy.nobody.here({}, { fallback: 'value' }),
              await proxy.nobody.here({}, { fallback: ({ code }: RpcError) => code }),
              await proxy.nobody.here({}, { fallback: undefined }),
              await proxy.user.run.call({}, { signal: gone.signal, fallback: 1 }).catch(() => 'threw'),
            ] as unknown[]
          },
        }),
      },
    })
    const node = await startNode({ clock, network, services: [user] })
    assert.deepEqual(await call(node, 'user/run'), ['value', 'P2P_RPC_METHOD_NOT_FOUND', undefined, 'threw'])
    await node.manager.stop()
  })
})
