import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Principal } from '../../../src/base/identity.ts'
import type { ServiceRecord } from '../../../src/base/member.ts'
import { defineService, method, type MethodCall, type ServiceDefinition } from '../../../src/service/index.ts'
import { INVOCATIONS_MAX } from '../../../src/service/calls/local-dispatch.ts'
import { PARAMS_BYTES_MAX } from '../../../src/service/calls/peer-shares.ts'
import { parseLinkMessage } from '../../../src/service/link/link-message.ts'
import { z } from '../../../src/service/sdk/index.ts'
import { StubAudit } from './http/stub-audit.ts'
import { ManualClock } from './support/manual-clock.ts'
import { FRAME_BYTES_MAX, type MemoryChannel, MemoryNetwork } from './support/memory-peers.ts'
import { ADMIN, call, introduce, startNode, type TestNode, TRACE, turn, VIEWER } from './support/node.ts'

/** Says where it ran and who called; waits, fails and floods on request. */
function probe(calls: MethodCall[] = []): { service: ServiceDefinition; release: (value: unknown) => void } {
  const gate = Promise.withResolvers<unknown>()
  const service = defineService({
    name: 'probe',
    version: '1',
    description: '',
    methods: {
      where: method({
        description: '',
        public: true,
        requiredRole: 'viewer',
        handler(params, context) {
          calls.push(context)
          const { caller, relayedBy, traceId, service } = context
          return { node: service.proxy === undefined ? '' : service.name, caller, relayedBy, traceId, params }
        },
      }),
      wait: method({
        description: '',
        public: true,
        handler(_params, context) {
          calls.push(context)
          return gate.promise
        },
      }),
      rule: method({ description: '', public: true, requiredRole: 'admin', handler: () => 'done' }),
      internal: method({ description: '', handler: () => 'done' }),
      double: method({ description: '', public: true, params: z.object({ n: z.number() }), handler: ({ n }) => 2 * n }),
      flood: method({ description: '', public: true, handler: () => 'x'.repeat(FRAME_BYTES_MAX) }),
      unspeakable: method({ description: '', public: true, handler: () => ({ n: 1n }) }),
    },
  })
  return { service, release: gate.resolve }
}

interface Pair {
  near: TestNode
  far: TestNode
  calls: MethodCall[]
  release: (value: unknown) => void
  clock: ManualClock
  network: MemoryNetwork
}

/** Two nodes; only the far one has the service. */
async function withPair(use: (pair: Pair) => Promise<void>): Promise<void> {
  const clock = new ManualClock()
  const network = new MemoryNetwork()
  const calls: MethodCall[] = []
  const { service, release } = probe(calls)
  const near = await startNode({ nodeId: 'near', role: 'coordinator', clock, network })
  const far = await startNode({ nodeId: 'far', clock, network, services: [service] })
  introduce(near, far)
  try {
    await use({ near, far, calls, release, clock, network })
  } finally {
    const stopped = Promise.all([near.manager.stop(), far.manager.stop()])
    await turn()
    clock.advance(5_000)
    await stopped
  }
}

describe('a call to another node', () => {
  test('runs there, with its result, trace and deadline', () =>
    withPair(async ({ near, calls, clock }) => {
      assert.equal(await call(near, 'probe/double', { n: 21 }), 42)
      assert.equal(await call(near, 'probe/double', [4]), 8)
      const answer = (await call(near, 'probe/where', { a: [1, { b: null }] }, { timeoutMs: 700 })) as Record<
        string,
        unknown
      >
      assert.deepEqual(answer.params, { a: [1, { b: null }] })
      assert.equal(answer.traceId, TRACE)
      assert.equal(calls[0]?.deadlineMs, clock.nowMs() + 700)
    }))

  test('of a person is that person there, on the word of the node that is known by its certificate', () =>
    withPair(async ({ near }) => {
      const answer = (await call(near, 'probe/where', {}, { caller: VIEWER })) as Record<string, unknown>
      assert.deepEqual(answer.caller, VIEWER)
      assert.equal(answer.relayedBy, 'near')
      await assert.rejects(call(near, 'probe/rule', {}, { caller: VIEWER }), { code: 'P2P_RPC_ACCESS_DENIED' })
      assert.equal(await call(near, 'probe/rule', {}, { caller: ADMIN }), 'done')
    }))

  test('of an own service comes from this node and service', () =>
    withPair(async ({ near }) => {
      const caller: Principal = { kind: 'node', nodeId: 'near', role: 'coordinator', service: 'reporter' }
      assert.deepEqual(((await call(near, 'probe/where', {}, { caller })) as { caller: unknown }).caller, caller)
      await assert.rejects(call(near, 'probe/internal', {}, { caller, target: 'far' }), {
        code: 'P2P_RPC_ACCESS_DENIED',
      })
    }))

  test('is not passed on for strangers and other nodes', () =>
    withPair(async ({ near, calls }) => {
      const stranger = call(near, 'probe/where', {}, { caller: { kind: 'anonymous' } })
      await assert.rejects(stranger, { code: 'P2P_RPC_AUTHENTICATION_REQUIRED' })
      const third: Principal = { kind: 'node', nodeId: 'third', role: 'worker' }
      await assert.rejects(call(near, 'probe/where', {}, { caller: third }), { code: 'P2P_RPC_ACCESS_DENIED' })
      assert.equal(calls.length, 0)
    }))

  test('fails with the error of the other node, codes and details unchanged', () =>
    withPair(async ({ near }) => {
      const error = (await call(near, 'probe/double', { n: 'x' }).catch((e: unknown) => e)) as {
        code: string
        details: { issues: { path: string }[] }
      }
      assert.equal(error.code, 'P2P_RPC_INVALID_PARAMS')
      assert.equal(error.details.issues[0]?.path, 'n')
    }))

  test('whose result is no JSON or too large for a frame fails, and the connection stays', () =>
    withPair(async ({ near }) => {
      await assert.rejects(call(near, 'probe/unspeakable'), { code: 'P2P_RPC_INVALID_RESULT' })
      await assert.rejects(call(near, 'probe/flood'), { code: 'P2P_TRANSPORT_TOO_LARGE' })
      assert.equal(await call(near, 'probe/double', { n: 1 }), 2)
    }))

  test('whose parameters are no JSON is not sent', () =>
    withPair(async ({ near }) => {
      await assert.rejects(call(near, 'probe/where', { n: 1n }), { code: 'P2P_RPC_INVALID_PARAMS' })
    }))

  test('ends at its deadline; an answer that comes later finds nobody', () =>
    withPair(async ({ near, calls, clock, release }) => {
      const outcome = assert.rejects(call(near, 'probe/wait', {}, { timeoutMs: 300 }), {
        code: 'P2P_RPC_DEADLINE_EXCEEDED',
      })
      await turn()
      const { signal } = calls[0] as MethodCall
      clock.advance(300)
      await outcome
      assert.equal(signal.aborted, true)
      release('late')
      await turn()
      assert.equal(await call(near, 'probe/double', { n: 1 }), 2)
    }))

  test('may wait without end: no deadline at all is one day on the other side', () =>
    withPair(async ({ near, calls, clock, release }) => {
      const answer = call(near, 'probe/wait', {}, { timeoutMs: Infinity })
      await turn()
      assert.ok((calls[0]?.deadlineMs as number) <= clock.nowMs() + 30_000)
      release('done')
      assert.equal(await answer, 'done')
    }))

  test('that is aborted is aborted on the other node', () =>
    withPair(async ({ near, calls }) => {
      const caller = new AbortController()
      const outcome = assert.rejects(call(near, 'probe/wait', {}, { signal: caller.signal }), {
        code: 'P2P_RPC_CANCELLED',
      })
      await turn()
      const { signal } = calls[0] as MethodCall
      caller.abort()
      await outcome
      await turn()
      assert.equal(signal.aborted, true)
    }))

  test('fails as retryable when the connection closes, on both sides', () =>
    withPair(async ({ near, calls }) => {
      const outcomes = [1, 2, 3].map(() => call(near, 'probe/wait').catch((e: unknown) => e))
      await turn()
      const signals = calls.map(({ signal }) => signal)
      near.peers.get('far')?.close('cable cut')
      for (const error of (await Promise.all(outcomes)) as {
        code: string
        facts: { retryable: boolean }
        message: string
      }[]) {
        assert.equal(error.code, 'P2P_TRANSPORT_CHANNEL_CLOSED')
        assert.equal(error.facts.retryable, true)
        assert.match(error.message, /node far .*cable cut/)
      }
      assert.deepEqual(
        signals.map(({ aborted }) => aborted),
        [true, true, true],
      )
      assert.equal(await call(near, 'probe/double', { n: 1 }), 2)
    }))

  test('cuts off a peer that asks and does not read', () =>
    withPair(async ({ near, far, release }) => {
      const outcome = assert.rejects(call(near, 'probe/wait'), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
      await turn()
      ;(far.peers.get('near') as MemoryChannel).isFull = true
      release('unread')
      await outcome
    }))
})

describe('a person another node speaks for', () => {
  test('may not do by a worker what is for people, and by a coordinator may', async () => {
    const network = new MemoryNetwork()
    const system = defineService({
      name: 'system',
      version: '1',
      description: '',
      methods: {
        renew_certificate: method({ description: '', public: true, requiredRole: 'admin', handler: () => 'renewed' }),
      },
    })
    const far = await startNode({ nodeId: 'far', network, services: [system] })
    const worker = await startNode({ nodeId: 'worker', network })
    const coordinator = await startNode({ nodeId: 'coordinator', role: 'coordinator', network })
    introduce(far, worker, coordinator)
    const renew = (node: TestNode, caller?: Principal) =>
      call(node, 'system/renew_certificate', {}, { ...(caller && { caller }) })
    await assert.rejects(renew(worker), {
      code: 'P2P_RPC_ACCESS_DENIED',
      message: /node worker does not speak for people here/,
    })
    await assert.rejects(renew(worker, { kind: 'node', nodeId: 'worker', role: 'worker' }), {
      code: 'P2P_RPC_ACCESS_DENIED',
      message: /it is for people/,
    })
    // By HTTP, with its certificate.
    await assert.rejects(renew(far, { kind: 'node', nodeId: 'worker', role: 'worker' }), {
      code: 'P2P_RPC_ACCESS_DENIED',
    })
    assert.equal(await renew(coordinator), 'renewed')
    assert.equal(await renew(coordinator, { kind: 'node', nodeId: 'coordinator', role: 'coordinator' }), 'renewed')
    assert.equal(await renew(far), 'renewed')
    await Promise.all([far, worker, coordinator].map(({ manager }) => manager.stop()))
  })

  test('is recorded so often, and not for ever: what a node makes up does not fill the trail', async () => {
    const network = new MemoryNetwork()
    const audit = new StubAudit()
    const { service } = probe()
    const far = await startNode({ nodeId: 'far', network, services: [service], audit })
    const near = await startNode({ nodeId: 'near', network })
    introduce(far, near)
    const names = Array.from({ length: 400 }, (_, n): Principal => ({ kind: 'person', name: `p${n}`, role: 'admin' }))
    const outcomes = await Promise.allSettled(names.map((caller) => call(near, 'probe/rule', {}, { caller })))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.deepEqual(
      new Set(refused.map(({ reason }) => (reason as { code: string }).code)),
      new Set(['P2P_RPC_RATE_LIMITED']),
    )
    assert.equal(refused.length, 100)
    assert.equal(audit.written.filter((line) => line.startsWith('intent ')).length, 300)
    assert.equal(await call(far, 'probe/rule'), 'done', 'who asks the node itself is not limited by it')
    const coordinator = await startNode({ nodeId: 'coordinator', role: 'coordinator', network })
    introduce(far, coordinator)
    await Promise.all(names.map((caller) => call(coordinator, 'probe/rule', {}, { caller })))
    await Promise.all([far, near, coordinator].map(({ manager }) => manager.stop()))
  })
})

/** What one peer may have running when it is alone: as much as there is room left. */
const SHARE_ALONE = INVOCATIONS_MAX / 2

describe('too many calls', () => {
  test('to one node are refused, and room comes back when they end', () =>
    withPair(async ({ near, release }) => {
      const waiting = Array.from({ length: SHARE_ALONE }, () => call(near, 'probe/wait'))
      await turn()
      await assert.rejects(call(near, 'probe/wait'), { code: 'P2P_RPC_OVERLOADED', message: /8192 calls of near/ })
      release('done')
      assert.equal((await Promise.all(waiting)).length, SHARE_ALONE)
      assert.equal(await call(near, 'probe/double', { n: 1 }), 2)
    }))

  test('of some nodes leave room for whoever comes next, whatever they do', async () => {
    const network = new MemoryNetwork()
    const { service, release } = probe()
    const far = await startNode({ nodeId: 'far', network, services: [service] })
    const floods = ['r1', 'r2', 'r3']
    const nodes = await Promise.all([...floods, 'honest'].map((nodeId) => startNode({ nodeId, network })))
    introduce(far, ...nodes)
    for (const node of nodes) await call(node, 'probe/double', { n: 1 })
    // They say they call for services and people, to have more than one share, and give up what they called.
    const contexts = [{ service: 'one' }, { person: { name: 'ada', role: 'admin' } }, {}]
    for (const [at, { peers }] of nodes.slice(0, floods.length).entries()) {
      const channel = peers.get('far') as MemoryChannel
      for (let id = 100; id < 100 + INVOCATIONS_MAX; id++) {
        const context = { timeout_ms: 5_000, trace_id: TRACE, ...contexts[(id + at) % contexts.length] }
        channel.send('rpc', Buffer.from(JSON.stringify({ id, method: 'probe/wait', context })))
        channel.send('rpc', Buffer.from(JSON.stringify({ method: '$/cancel', params: { id } })))
      }
    }
    await turn()
    const { unfinished } = far.manager.tableSizes()
    assert.ok(unfinished <= INVOCATIONS_MAX - 1_024, `${unfinished} of ${INVOCATIONS_MAX} were given away`)
    const honest = nodes.at(-1) as TestNode
    const calls = Array.from({ length: 1_000 }, () => call(honest, 'probe/wait'))
    assert.equal(await call(honest, 'probe/double', { n: 4 }), 8)
    assert.equal(await call(far, 'probe/double', { n: 5 }), 10)
    release('done')
    assert.deepEqual(new Set(await Promise.all(calls)), new Set(['done']))
    await turn()
    assert.equal(far.manager.tableSizes().unfinished, 0)
    await Promise.all([far, ...nodes].map(({ manager }) => manager.stop()))
  })

  test('of one node are refused there, whatever that node thinks of limits', () =>
    withPair(async ({ near, far, release }) => {
      await call(near, 'probe/double', { n: 1 })
      const channel = near.peers.get('far') as MemoryChannel
      const back = far.peers.get('near') as MemoryChannel
      back.recordsFrames = true
      const context = { timeout_ms: 5_000, trace_id: TRACE }
      for (let id = 100; id < 100 + SHARE_ALONE + 3; id++) {
        channel.send('rpc', Buffer.from(JSON.stringify({ id, method: 'probe/wait', context })))
      }
      await turn()
      assert.equal(far.manager.tableSizes().serving, SHARE_ALONE)
      assert.deepEqual(
        back.sent.map((text) => (JSON.parse(text) as { error: { data: { code: string } } }).error.data.code),
        Array(3).fill('P2P_RPC_OVERLOADED'),
      )
      release('done')
      await turn()
      assert.deepEqual(far.manager.tableSizes(), { channels: 1, calling: 0, serving: 0, running: 0, unfinished: 0 })
    }))

  test('with large parameters are refused before they fill the memory', () =>
    withPair(async ({ near, far, release }) => {
      await call(near, 'probe/double', { n: 1 })
      const channel = near.peers.get('far') as MemoryChannel
      const back = far.peers.get('near') as MemoryChannel
      back.recordsFrames = true
      const params = { text: 'x'.repeat(FRAME_BYTES_MAX - 1_024) }
      const fitting = Math.ceil(PARAMS_BYTES_MAX / JSON.stringify(params).length)
      for (let id = 100; id < 100 + fitting + 2; id++) {
        const head = { id, method: 'probe/wait', context: { timeout_ms: 5_000, trace_id: TRACE } }
        channel.send('rpc', Buffer.from(`${JSON.stringify(head)}\n${JSON.stringify(params)}`))
      }
      await turn()
      assert.equal(far.manager.tableSizes().serving, fitting)
      assert.equal(back.sent.filter((text) => text.includes('"P2P_RPC_OVERLOADED"')).length, 2)
      release('done')
      await turn()
      assert.equal(await call(near, 'probe/double', { n: 2 }), 4)
    }))

  test('on one node are refused, those included that were given up and have not returned', async () => {
    const { service, release } = probe()
    const node = await startNode({ services: [service] })
    const waiting = Array.from({ length: INVOCATIONS_MAX }, () =>
      call(node, 'probe/wait', {}, { timeoutMs: 100 }).catch(() => {}),
    )
    await turn()
    node.clock.advance(100)
    await Promise.all(waiting)
    assert.deepEqual(node.manager.tableSizes(), {
      channels: 0,
      calling: 0,
      serving: 0,
      running: 0,
      unfinished: INVOCATIONS_MAX,
    })
    await assert.rejects(call(node, 'probe/double', { n: 1 }), { code: 'P2P_RPC_OVERLOADED' })
    release('at last')
    await turn()
    assert.equal(await call(node, 'probe/double', { n: 1 }), 2)
    await node.manager.stop()
  })
})

describe('frames that are no messages', () => {
  const good = {
    jsonrpc: '2.0',
    id: 1,
    method: 'probe/where',
    context: { timeout_ms: 10, trace_id: TRACE },
  }
  const bad: Record<string, unknown> = {
    'a number': 1,
    null: null,
    'an answer without an id': { result: 1 },
    'an id that is a text': { ...good, id: '1' },
    'a negative id': { ...good, id: -1 },
    'no context': { ...good, context: undefined },
    'no trace': { ...good, context: { timeout_ms: 10 } },
    'a trace of other letters': { ...good, context: { timeout_ms: 10, trace_id: 'x'.repeat(32) } },
    'no time': { ...good, context: { timeout_ms: 0, trace_id: TRACE } },
    'a service name that is none': { ...good, context: { ...good.context, service: '","x":"' } },
    'a role that is none': { ...good, context: { ...good.context, person: { name: 'a', role: 'root' } } },
    'a method that is a number': { ...good, method: 7 },
    'a cancellation of nothing': { method: '$/cancel' },
    'hops below 0': { ...good, context: { ...good.context, hops: -1 } },
    'a span that is none': { ...good, context: { ...good.context, span_id: 'x' } },
    'an id that six bytes do not hold': { ...good, id: 2 ** 48 },
  }
  for (const [what, message] of Object.entries(bad)) {
    test(`are dropped: ${what}`, () => {
      assert.equal(parseLinkMessage(Buffer.from(JSON.stringify(message))).kind, 'invalid')
    })
  }

  test('are dropped: no JSON, nothing, binary of no known kind', () => {
    for (const bytes of [
      Buffer.from('{'),
      Buffer.from([0xff]),
      Buffer.alloc(0),
      Buffer.alloc(20, 10),
      Buffer.from([3, 0, 0]),
    ]) {
      assert.equal(parseLinkMessage(bytes).kind, 'invalid')
    }
    assert.equal(parseLinkMessage(Buffer.from(JSON.stringify(good))).kind, 'request')
  })

  test('are requests with parameters nobody may have: these are answered with the reason', () =>
    withPair(async ({ near, far, calls }) => {
      await call(near, 'probe/double', { n: 1 })
      const channel = near.peers.get('far') as MemoryChannel
      const back = far.peers.get('near') as MemoryChannel
      back.recordsFrames = true
      const header = JSON.stringify({ ...good, id: 900 })
      for (const params of [
        '{"a":[{"constructor":1}]}',
        '{"__proto__":{"x":1}}',
        '{"\\u005f_proto__":1}',
        `${'['.repeat(40)}${']'.repeat(40)}`,
        '"a text"',
        '7',
        '',
        '{"a":1',
        '{} {}',
      ]) {
        channel.send('rpc', Buffer.from(`${header}\n${params}`))
        await turn()
        const answer = JSON.parse(back.sent.pop() as string) as { id: number; error: { data: { code: string } } }
        assert.equal(answer.id, 900, params)
        assert.match(answer.error.data.code, /^P2P_RPC_(INVALID_REQUEST|PARSE_ERROR)$/, params)
      }
      assert.equal(calls.length, 0)
    }))

  test('disturb nothing: the connection goes on working', () =>
    withPair(async ({ near }) => {
      await call(near, 'probe/double', { n: 1 })
      const channel = near.peers.get('far') as MemoryChannel
      for (const text of [
        '',
        '{',
        '{"id":77,"result":1}',
        '{"method":"$/cancel","params":{"id":77}}',
        JSON.stringify(bad),
      ]) {
        channel.send('rpc', Buffer.from(text))
      }
      await turn()
      assert.equal(await call(near, 'probe/double', { n: 2 }), 4)
    }))

  test('an id that is still being answered is not taken twice', () =>
    withPair(async ({ near, calls, release }) => {
      const first = call(near, 'probe/wait')
      await turn()
      const channel = near.peers.get('far') as MemoryChannel
      channel.send('rpc', Buffer.from(JSON.stringify({ ...good, method: 'probe/wait' })))
      await turn()
      assert.equal(calls.length, 1)
      release('once')
      assert.equal(await first, 'once')
    }))
})

describe('where a call runs', () => {
  /** Three nodes; `answer` on each says its name. */
  async function cluster(): Promise<{
    nodes: Record<'c1' | 'w1' | 'w2', TestNode>
    network: MemoryNetwork
    stop: () => Promise<unknown>
  }> {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    const answering = (nodeId: string): ServiceDefinition =>
      defineService({
        name: 'namer',
        version: '1',
        description: '',
        methods: { name: method({ description: '', public: true, requiredRole: 'viewer', handler: () => nodeId }) },
      })
    const c1 = await startNode({ nodeId: 'c1', role: 'coordinator', clock, network, services: [answering('c1')] })
    const w1 = await startNode({ nodeId: 'w1', clock, network, services: [answering('w1')] })
    const w2 = await startNode({ nodeId: 'w2', clock, network, services: [answering('w2')] })
    introduce(c1, w1, w2)
    const stop = () => Promise.all([c1, w1, w2].map(({ manager }) => manager.stop()))
    return { nodes: { c1, w1, w2 }, network, stop }
  }

  test('is told by the target: here, a node, a role, anywhere else', async () => {
    const { nodes, stop } = await cluster()
    const { c1, w1 } = nodes
    const name = (node: TestNode, target?: string): Promise<unknown> =>
      call(node, 'namer/name', {}, target ? { target } : {})
    assert.equal(await name(w1), 'w1')
    assert.equal(await name(w1, 'local'), 'w1')
    assert.equal(await name(w1, 'w1'), 'w1')
    assert.equal(await name(w1, 'w2'), 'w2')
    assert.equal(await name(w1, 'worker'), 'w1')
    assert.equal(await name(w1, 'coordinator'), 'c1')
    assert.equal(await name(c1, 'coordinator'), 'c1')
    assert.deepEqual([await name(c1, 'worker'), await name(c1, 'worker')].sort(), ['w1', 'w2'])
    assert.deepEqual([await name(c1, 'remote'), await name(c1, 'remote')].sort(), ['w1', 'w2'])
    await stop()
  })

  test('is never a dead node, and a suspect or failing one only when there is no better', async () => {
    const { nodes, stop } = await cluster()
    const { c1, w1, w2 } = nodes
    const name = (): Promise<unknown> => call(c1, 'namer/name', {}, { target: 'remote' })
    c1.membership.set(w1.identity, w1.manager.records(), 'suspect')
    assert.deepEqual([await name(), await name(), await name()], ['w2', 'w2', 'w2'])
    c1.membership.set(w2.identity, w2.manager.records(), 'dead')
    assert.deepEqual([await name(), await name()], ['w1', 'w1'])
    c1.membership.set(w1.identity, w1.manager.records(), 'left')
    await assert.rejects(name(), {
      code: 'P2P_RPC_NO_INSTANCE',
      message: /namer .*target remote.*looked on: w1 \(left\), w2 \(dead\)/,
    })
    const failing: ServiceRecord[] = w1.manager.records().map((record) => ({ ...record, health: 'failing' }))
    c1.membership.set(w1.identity, failing)
    assert.equal(await name(), 'w1')
    c1.membership.set(w2.identity, w2.manager.records())
    assert.deepEqual([await name(), await name()], ['w2', 'w2'])
    await stop()
  })

  test('is the next instance when one cannot be reached, and the first failure when none can', async () => {
    const { nodes, network, stop } = await cluster()
    network.unreachable.add('w1')
    for (let i = 0; i < 4; i++) assert.equal(await call(nodes.c1, 'namer/name', {}, { target: 'remote' }), 'w2')
    nodes.c1.peers.get('w2')?.close()
    network.unreachable.add('w2')
    await assert.rejects(call(nodes.c1, 'namer/name', {}, { target: 'remote' }), { code: 'P2P_TRANSPORT_UNREACHABLE' })
    await assert.rejects(call(nodes.c1, 'namer/name', {}, { target: 'w2' }), { code: 'P2P_TRANSPORT_UNREACHABLE' })
    await stop()
  })

  test('is the instance with the fewest calls from here', async () => {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    const first = probe()
    const second = probe()
    const near = await startNode({ nodeId: 'near', clock, network })
    const a = await startNode({ nodeId: 'a', clock, network, services: [first.service] })
    const b = await startNode({ nodeId: 'b', clock, network, services: [second.service] })
    introduce(near, a, b)
    const waiting = [1, 2, 3].map(() => call(near, 'probe/wait', {}, { target: 'a' }))
    await turn()
    const later = [1, 2, 3].map(() => call(near, 'probe/wait'))
    await turn()
    second.release('b')
    assert.deepEqual(await Promise.all(later), ['b', 'b', 'b'])
    first.release('a')
    await Promise.all(waiting)
    await Promise.all([near, a, b].map(({ manager }) => manager.stop()))
  })

  test('waits for a connection no longer than its deadline or its caller', async () => {
    const { nodes, network, stop } = await cluster()
    network.dialGate = new Promise(() => {})
    const late = assert.rejects(call(nodes.c1, 'namer/name', {}, { target: 'w1', timeoutMs: 100 }), {
      code: 'P2P_RPC_DEADLINE_EXCEEDED',
    })
    nodes.c1.clock.advance(100)
    await late
    const caller = new AbortController()
    const gone = assert.rejects(call(nodes.c1, 'namer/name', {}, { target: 'w1', signal: caller.signal }), {
      code: 'P2P_RPC_CANCELLED',
    })
    caller.abort()
    await gone
    const dials = network.dialled.length
    await assert.rejects(call(nodes.c1, 'namer/name', {}, { target: 'w2', signal: caller.signal }), {
      code: 'P2P_RPC_CANCELLED',
    })
    assert.equal(network.dialled.length, dials, 'for a caller who has gone nobody is dialled')
    await stop()
  })

  test('must exist: unknown nodes, methods and services are named, with what was probably meant', async () => {
    const { nodes, stop } = await cluster()
    const { c1, w1 } = nodes
    const refusal = (method: string, target?: string): Promise<{ code: string; message: string }> =>
      call(c1, method, {}, target ? { target } : {}).then(
        () => assert.fail('no refusal'),
        (error: unknown) => error as { code: string; message: string },
      )
    const node = await refusal('namer/name', 'w11')
    assert.equal(node.code, 'P2P_NETWORK_NODE_UNKNOWN')
    assert.match(node.message, /No node w11 .*did you mean w1\? Known: c1, w1, w2/)
    const method = await refusal('namer/nam')
    assert.equal(method.code, 'P2P_RPC_METHOD_NOT_FOUND')
    assert.match(method.message, /Service namer has no method nam .*did you mean namer\/name\?/)
    assert.match((await refusal('nammer/name')).message, /No service nammer .*did you mean namer\/name\?/)
    assert.match((await refusal('other/else')).message, /No service other on any node of the cluster$/)
    assert.match((await refusal('namer.name')).message, /not of the form service\/method/)
    assert.match((await refusal('namer/name/x', 'w1')).message, /not of the form service\/method/)
    assert.equal((await refusal('namer/other', 'local')).code, 'P2P_RPC_METHOD_NOT_FOUND')
    assert.equal((await refusal('namer/other', 'w1')).code, 'P2P_RPC_METHOD_NOT_FOUND')
    c1.membership.set(w1.identity, [], 'dead')
    // An open channel says more than the membership does.
    assert.equal((await refusal('namer/nam', 'w1')).code, 'P2P_RPC_METHOD_NOT_FOUND')
    c1.peers.get('w1')?.close()
    assert.equal((await refusal('namer/name', 'w1')).code, 'P2P_RPC_NO_INSTANCE')
    await stop()
  })
})

describe('the proxy', () => {
  /** A service whose method lets a test use its proxy. */
  async function withProxy(
    use: (near: TestNode, run: (work: (context: MethodCall) => unknown) => Promise<unknown>) => Promise<void>,
  ) {
    const network = new MemoryNetwork()
    const clock = new ManualClock()
    let work: (context: MethodCall) => unknown = () => undefined
    const user = defineService({
      name: 'user',
      version: '1',
      description: '',
      methods: { run: method({ description: '', public: true, handler: (_params, context) => work(context) }) },
    })
    const tricky = defineService({
      name: 'tricky',
      version: '1',
      description: '',
      methods: {
        coordinator: method({ description: '', public: true, handler: () => 'the method' }),
        far: method({ description: '', public: true, handler: () => 'the method far' }),
      },
    })
    const near = await startNode({
      nodeId: 'near',
      role: 'coordinator',
      clock,
      network,
      services: [user, tricky, probe().service],
    })
    const far = await startNode({ nodeId: 'far', clock, network, services: [probe().service] })
    introduce(near, far)
    await use(near, (next) => {
      work = next
      return call(near, 'user/run', {}, { timeoutMs: 900 })
    })
    await Promise.all([near.manager.stop(), far.manager.stop()])
  }
  const caller = { kind: 'node', nodeId: 'near', role: 'coordinator', service: 'user' }

  test('calls methods here, on a role and on a node, as the calling service', () =>
    withProxy(async (_near, run) => {
      await run(async ({ service: { proxy } }) => {
        for (const answer of [
          await proxy.probe.where({ a: 1 }),
          await proxy.probe.local.where({ a: 1 }),
          await proxy.probe.coordinator.where({ a: 1 }),
          await proxy.probe.worker.where({ a: 1 }),
          await proxy.probe.remote.where({ a: 1 }),
          await proxy.probe.far.where({ a: 1 }),
        ]) {
          assert.deepEqual(answer.caller, caller)
          assert.deepEqual(answer.params, { a: 1 })
          assert.equal(answer.traceId, TRACE)
        }
        await assert.rejects(proxy.probe.nowhere.where(), { code: 'P2P_NETWORK_NODE_UNKNOWN' })
      })
    }))

  test('takes a name that is called as a method, whatever nodes and roles are called', () =>
    withProxy(async (_near, run) => {
      await run(async ({ service: { proxy } }) => {
        assert.equal(await proxy.tricky.coordinator(), 'the method')
        assert.equal(await proxy.tricky.coordinator.coordinator(), 'the method')
        assert.equal(await proxy.tricky.far(), 'the method far')
        await assert.rejects(proxy.tricky.far.far(), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
      })
    }))

  test('is no promise, and gives the same handle for the same name', () =>
    withProxy(async (_near, run) => {
      await run(async ({ service: { proxy } }) => {
        assert.equal(await Promise.resolve(proxy.probe), proxy.probe)
        assert.equal(proxy.probe.where, proxy.probe.where)
        assert.equal(proxy.probe.far.where, proxy.probe.far.where)
        for (let i = 0; i < 5_000; i++) void proxy.probe[`made-up-${i}`]
      })
    }))

  test('carries the deadline and the cancellation of the call being served', () =>
    withProxy(async (near, run) => {
      await run(async ({ service: { proxy }, deadlineMs }) => {
        const failed = assert.rejects(proxy.probe.far.wait({}, { timeoutMs: 60_000 }), {
          code: 'P2P_RPC_DEADLINE_EXCEEDED',
        })
        assert.equal(deadlineMs, near.clock.nowMs() + 900)
        await turn()
        near.clock.advance(899)
        await turn()
        near.clock.advance(1)
        await failed
      }).catch((error: { code: string }) => assert.equal(error.code, 'P2P_RPC_DEADLINE_EXCEEDED'))
      await run(async ({ service: { proxy } }) => {
        const own = new AbortController()
        const failed = assert.rejects(proxy.probe.far.wait({}, { signal: own.signal }), { code: 'P2P_RPC_CANCELLED' })
        own.abort()
        await failed
      })
    }))

  test('begins anew in what goes on after the call was answered', () =>
    withProxy(async (near, run) => {
      const background = Promise.withResolvers<void>()
      let answer: Promise<{ traceId: string }> | undefined
      await run(({ service: { proxy } }) => {
        const later = background.promise.then(() => proxy.probe.where({}))
        answer = later
        return 'answered'
      })
      near.clock.advance(5_000)
      background.resolve()
      assert.notEqual((await answer)?.traceId, TRACE)
    }))
})

test('20,000 calls leave nothing behind in any table', () =>
  withPair(async ({ near, far }) => {
    for (let round = 0; round < 200; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, n) => call(near, 'probe/double', { n })))
      await Promise.all(
        Array.from({ length: 36 }, (_, n) =>
          call(near, n % 2 === 0 ? 'probe/double' : 'probe/nothing', {}).catch(() => {}),
        ),
      )
    }
    for (const node of [near, far]) {
      assert.deepEqual(node.manager.tableSizes(), { channels: 1, calling: 0, serving: 0, running: 0, unfinished: 0 })
    }
    assert.equal(near.clock.timerCount <= 3, true)
  }))
