import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { silentLogger } from '../../../../src/base/log.ts'
import { EVENTS_WAITING_MAX } from '../../../../src/service/events/event-queue.ts'
import { EventHub } from '../../../../src/service/events/event-hub.ts'
import { checkPattern, checkTopic, matchesTopic } from '../../../../src/service/events/event-topic.ts'
import { LinkEvents } from '../../../../src/service/events/link-events.ts'
import { ProcessEvents } from '../../../../src/service/events/process-events.ts'
import { defineService, type ServiceDefinition } from '../../../../src/service/index.ts'
import { type ServiceEvent, type ServiceEvents, type SubscribeOptions, z } from '../../../../src/service/sdk/index.ts'
import { linkPair } from '../link/link-pair.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { MemoryNetwork } from '../support/memory-peers.ts'
import { countingRandom, introduce, startNode, StubMembership, type TestNode, turn } from '../support/node.ts'

type Heard = { by: string; data: unknown; event: ServiceEvent }

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn()
}

/** A service that notes what it hears; `events` is there once it has started. */
function listener(name: string, node: string, heard: Heard[], subscriptions: [string, SubscribeOptions?][]) {
  const own: { events?: ServiceEvents } = {}
  const definition: ServiceDefinition = defineService({
    name,
    version: '1',
    description: '',
    methods: {},
    initialize({ events }) {
      own.events = events
      for (const [pattern, options] of subscriptions) {
        events.subscribe(pattern, (data, event) => void heard.push({ by: `${name}@${node}`, data, event }), options)
      }
    },
  })
  return { definition, own }
}

/** Nodes that know each other, each with these services. */
async function cluster(
  services: Record<string, [string, SubscribeOptions?][]>,
  nodes: readonly string[],
): Promise<{
  heard: Heard[]
  nodes: TestNode[]
  readonly events: (service: string, node: string) => ServiceEvents
  readonly stop: () => Promise<unknown>
}> {
  const network = new MemoryNetwork()
  const clock = new ManualClock()
  const heard: Heard[] = []
  const owns = new Map<string, { events?: ServiceEvents }>()
  const started: TestNode[] = []
  for (const nodeId of nodes) {
    const definitions = Object.entries(services).map(([name, subscriptions]) => {
      const { definition, own } = listener(name, nodeId, heard, subscriptions)
      owns.set(`${name}@${nodeId}`, own)
      return definition
    })
    started.push(await startNode({ nodeId, network, clock, services: definitions }))
  }
  introduce(...started)
  return {
    heard,
    nodes: started,
    events: (service, node) => owns.get(`${service}@${node}`)?.events as ServiceEvents,
    stop: () => Promise.all(started.map(({ manager }) => manager.stop())),
  }
}

describe('topics', () => {
  test('are words with dots between them; a pattern is one, the beginning of some, or all', () => {
    for (const topic of ['orders', 'orders.created', 'a-b.c_d.1']) {
      checkTopic(topic)
      checkPattern(topic)
    }
    for (const pattern of ['*', 'orders.*', 'a.b.*']) checkPattern(pattern)
    for (const wrong of [
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      'a b',
      'ä',
      'all:a',
      'x'.repeat(129),
      'a*',
      '*.a',
      'a.*.b',
      '$/x',
    ]) {
      assert.throws(() => checkTopic(wrong), { code: 'P2P_RPC_INVALID_PARAMS' }, wrong)
      assert.throws(() => checkPattern(wrong), { code: 'P2P_RPC_INVALID_PARAMS' }, wrong)
    }
    assert.throws(() => checkTopic('orders.*'), { code: 'P2P_RPC_INVALID_PARAMS' })
    const matches = [
      ['orders.created', 'orders.created', true],
      ['orders.*', 'orders.created', true],
      ['orders.*', 'orders.eu.created', true],
      ['orders.*', 'orders', false],
      ['orders.*', 'ordersx.created', false],
      ['*', 'anything.at.all', true],
      ['orders', 'orders.created', false],
    ] as const
    for (const [pattern, topic, expected] of matches) {
      assert.equal(matchesTopic(pattern, topic), expected, `${pattern} ${topic}`)
    }
  })
})

describe('an event', () => {
  test('reaches one instance of each service that listens, and all of those that want it everywhere', async () => {
    const { heard, events, stop } = await cluster(
      {
        shop: [],
        billing: [['orders.*']],
        stock: [['orders.created']],
        cache: [['orders.*', { delivery: 'all' }]],
        deaf: [['other.*']],
      },
      ['n1', 'n2', 'n3'],
    )
    events('shop', 'n1').publish('orders.created', { id: 7 })
    await settle()
    assert.deepEqual(heard.map(({ by }) => by).sort(), ['billing@n1', 'cache@n1', 'cache@n2', 'cache@n3', 'stock@n1'])
    for (const { data, event } of heard) {
      assert.deepEqual(data, { id: 7 })
      assert.deepEqual([event.topic, event.from], ['orders.created', { nodeId: 'n1', service: 'shop' }])
      assert.match(event.traceId, /^[0-9a-f]{32}$/)
    }
    await stop()
  })

  test('goes to the other nodes in turn when none here listens, and only to the best of them', async () => {
    const heard: Heard[] = []
    const network = new MemoryNetwork()
    const shop = listener('shop', 'n1', heard, [])
    const n1 = await startNode({ nodeId: 'n1', network, services: [shop.definition] })
    const others: TestNode[] = []
    for (const nodeId of ['n2', 'n3', 'n4']) {
      const { definition } = listener('billing', nodeId, heard, [['orders.*']])
      others.push(await startNode({ nodeId, network, services: [definition] }))
    }
    introduce(n1, ...others)
    const publish = async (): Promise<string[]> => {
      heard.length = 0
      for (let n = 0; n < 6; n++) shop.own.events?.publish('orders.created', n)
      await settle()
      return heard.map(({ by }) => by).sort()
    }
    const [n2, n3, n4] = others as [TestNode, TestNode, TestNode]
    assert.deepEqual(
      await publish(),
      ['n2', 'n2', 'n3', 'n3', 'n4', 'n4'].map((node) => `billing@${node}`),
    )
    n1.membership.set(n2.identity, n2.manager.records(), 'suspect')
    n1.membership.set(
      n3.identity,
      n3.manager.records().map((record) => ({ ...record, health: 'stopping' as const })),
    )
    assert.deepEqual(await publish(), Array(6).fill('billing@n4'))
    n1.membership.set(n4.identity, n4.manager.records(), 'dead')
    assert.deepEqual(await publish(), Array(6).fill('billing@n2'))
    await Promise.all([n1, ...others].map(({ manager }) => manager.stop()))
  })

  test('is heard in the order in which it was published, one after the other', async () => {
    const order: number[] = []
    let running = 0
    let most = 0
    const slow = defineService({
      name: 'slow',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe<number>('numbers', async (n) => {
          most = Math.max(most, ++running)
          await turn()
          order.push(n)
          running--
        })
      },
    })
    const { definition, own } = listener('talker', 'n1', [], [])
    const node = await startNode({ services: [slow, definition] })
    for (let n = 0; n < 50; n++) own.events?.publish('numbers', n)
    for (let i = 0; i < 100; i++) await turn()
    assert.deepEqual([order, most], [Array.from({ length: 50 }, (_, n) => n), 1])
    await node.manager.stop()
  })

  test('is lost, and counted, when too much waits for its subscriber', async () => {
    const gate = Promise.withResolvers<void>()
    const seen = { taken: 0 }
    const stuck = defineService({
      name: 'stuck',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe('x', async () => {
          seen.taken++
          await gate.promise
        })
      },
    })
    const { definition, own } = listener('talker', 'n1', [], [])
    const node = await startNode({ services: [stuck, definition] })
    for (let n = 0; n < EVENTS_WAITING_MAX + 11; n++) own.events?.publish('x', n)
    await settle()
    const { published, delivered, dropped } = node.manager.eventCounts()
    assert.deepEqual([published, delivered, dropped], [EVENTS_WAITING_MAX + 11, EVENTS_WAITING_MAX + 1, 10])
    gate.resolve()
    for (let i = 0; i < 3_000 && seen.taken <= EVENTS_WAITING_MAX; i++) await turn()
    assert.equal(seen.taken, EVENTS_WAITING_MAX + 1)
    await node.manager.stop()
  })

  test('of a node that floods a subscriber is lost before those of others', async () => {
    const network = new MemoryNetwork()
    const gate = Promise.withResolvers<void>()
    const from: string[] = []
    const stuck = defineService({
      name: 'stuck',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe('x', async (_data, event) => {
          from.push(event.from.nodeId)
          await gate.promise
        })
      },
    })
    const listening = await startNode({ nodeId: 'n1', network, services: [stuck] })
    const honest = listener('talker', 'n2', [], [])
    const talking = await startNode({ nodeId: 'n2', network, services: [honest.definition] })
    const rogue = await startNode({ nodeId: 'rogue', network })
    introduce(listening, talking, rogue)
    const channel = await rogue.peers.open({ nodeId: 'n1', addresses: ['127.0.0.1:1'] })
    for (let id = 0; id < 3 * EVENTS_WAITING_MAX; id++) {
      const params = { topic: 'x', service: `s${id}`, balanced: ['stuck'], data: id }
      const context = { timeout_ms: 5_000, trace_id: 'a'.repeat(32) }
      channel.send('rpc', Buffer.from(JSON.stringify({ id, method: '$/event', params, context })))
    }
    await settle()
    for (let n = 0; n < 100; n++) honest.own.events?.publish('x', n)
    await settle()
    gate.resolve()
    for (let i = 0; i < 3_000 && from.length <= EVENTS_WAITING_MAX; i++) await turn()
    assert.equal(from.length, EVENTS_WAITING_MAX + 1)
    assert.equal(from.filter((nodeId) => nodeId === 'n2').length, 100)
    const { delivered, dropped } = listening.manager.eventCounts()
    assert.deepEqual([delivered, dropped], [EVENTS_WAITING_MAX + 1, 2 * EVENTS_WAITING_MAX + 99])
    await Promise.all([listening, talking, rogue].map(({ manager }) => manager.stop()))
  })

  test('is lost, and counted, when its node cannot be reached', async () => {
    const { heard, nodes, events, stop } = await cluster({ shop: [], cache: [['x', { delivery: 'all' }]] }, [
      'n1',
      'n2',
    ])
    nodes[1]?.peers.get('n1')?.close()
    const network = nodes[0]?.peers.get('n2')
    network?.close()
    nodes[0]?.membership.set({ cluster: 'test', role: 'worker', nodeId: 'ghost' }, [
      { name: 'cache', version: '1', description: '', health: 'healthy', methods: [], events: ['all:x'] },
    ])
    events('shop', 'n1').publish('x')
    await settle()
    assert.deepEqual(heard.map(({ by }) => by).sort(), ['cache@n1', 'cache@n2'])
    assert.equal(nodes[0]?.manager.eventCounts().dropped, 1)
    await stop()
  })

  test('that its handler fails on disturbs nobody', async () => {
    const heard: Heard[] = []
    const failing = defineService({
      name: 'failing',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe('x', () => {
          throw new Error('no')
        })
        events.subscribe('x', (data, event) => void heard.push({ by: '', data, event }), { delivery: 'all' })
      },
    })
    const { definition, own } = listener('talker', 'n1', [], [])
    const node = await startNode({ services: [failing, definition] })
    own.events?.publish('x', 1)
    own.events?.publish('x', 2)
    await settle()
    assert.deepEqual(
      heard.map(({ data }) => data),
      [1, 2],
    )
    await node.manager.stop()
  })

  test('that causes another, and so on for ever, ends', async () => {
    let count = 0
    const echo = defineService({
      name: 'echo',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe('ping', () => {
          count++
          events.publish('ping')
        })
        events.publish('ping')
      },
    })
    const node = await startNode({ services: [echo] })
    for (let i = 0; i < 100; i++) await turn()
    assert.equal(count, 33)
    await node.manager.stop()
  })

  test('has the data its subscriber asks for, or is not handled', async () => {
    const amounts: number[] = []
    const checking = defineService({
      name: 'checking',
      version: '1',
      description: '',
      methods: {},
      initialize({ events }) {
        events.subscribe('paid', ({ amount }) => void amounts.push(amount), { data: z.object({ amount: z.number() }) })
      },
    })
    const { definition, own } = listener('talker', 'n1', [], [])
    const node = await startNode({ services: [checking, definition] })
    for (const data of [{ amount: 1 }, { amount: 'x' }, null, { amount: 2 }]) own.events?.publish('paid', data)
    await settle()
    assert.deepEqual(amounts, [1, 2])
    await node.manager.stop()
  })

  test('must have a topic that is one, and data that are JSON and not too large', async () => {
    const { events, stop } = await cluster({ shop: [] }, ['n1'])
    const { publish } = { publish: (topic: string, data?: unknown) => events('shop', 'n1').publish(topic, data) }
    assert.throws(() => publish('no topic'), { code: 'P2P_RPC_INVALID_PARAMS' })
    assert.throws(() => publish('x', 1n), { code: 'P2P_RPC_INVALID_PARAMS' })
    assert.throws(() => publish('x', 'x'.repeat(1_048_577)), { code: 'P2P_RPC_INVALID_PARAMS' })
    assert.throws(() => events('shop', 'n1').subscribe('a b', () => {}), { code: 'P2P_RPC_INVALID_PARAMS' })
    await stop()
  })

  test('is told of in the record of its node, until its service stops or unsubscribes', async () => {
    const { nodes, events, stop } = await cluster(
      { billing: [['orders.*'], ['orders.*'], ['a', { delivery: 'all' }]] },
      ['n1'],
    )
    const told = () => nodes[0]?.manager.records()[0]?.events
    assert.deepEqual(told(), ['all:a', 'orders.*'])
    const end = events('billing', 'n1').subscribe('b', () => {})
    assert.deepEqual(told(), ['all:a', 'b', 'orders.*'])
    end()
    end()
    assert.deepEqual(told(), ['all:a', 'orders.*'])
    for (let n = 0; n < 30; n++) events('billing', 'n1').subscribe(`t${n}`, () => {})
    assert.throws(() => events('billing', 'n1').subscribe('too.much', () => {}), {
      code: 'P2P_RPC_OVERLOADED',
      message: /32 patterns are allowed; subscribe to prefix/,
    })
    await stop()
    assert.equal(told(), undefined)
  })
})

describe('events of a service in its own process', () => {
  /** A hub, and a service behind a link. */
  function behindLink() {
    const membership = new StubMembership('n1')
    let changes = 0
    const clock = new ManualClock()
    const needs = { clock, random: countingRandom, log: silentLogger, membership, onChange: () => changes++ }
    const hub = new EventHub({ ...needs, peers: {} as never, remote: {} as never }, 'n1')
    const pair = linkPair(
      (...call) => ofProcess.serve(...call) as never,
      (...call) => ofNode.serve(...call) as never,
    )
    const ofNode = new ProcessEvents({ hub, clock, link: pair.near }, 'svc')
    const ofProcess = new LinkEvents({ link: pair.far, clock, random: countingRandom, log: silentLogger })
    return { hub, ofNode, ofProcess, pair, changes: () => changes }
  }
  const cause = { traceId: '0'.repeat(32), hops: 0 }

  test('are heard and published over the link', async () => {
    const { hub, ofProcess, changes } = behindLink()
    const heard: [unknown, ServiceEvent][] = []
    const end = ofProcess.subscribe('orders.*', (data, event) => void heard.push([data, event]))
    await settle()
    assert.deepEqual([hub.patternsOf('svc'), changes()], [['orders.*'], 1])
    hub.publish('shop', 'orders.created', { id: 1 }, cause)
    ofProcess.publish('orders.paid', [2])
    await settle()
    const traceId = heard[1]?.[1].traceId as string
    assert.match(traceId, /^[0-9a-f]{32}$/)
    assert.deepEqual(heard, [
      [{ id: 1 }, { topic: 'orders.created', from: { nodeId: 'n1', service: 'shop' }, traceId: cause.traceId }],
      [[2], { topic: 'orders.paid', from: { nodeId: 'n1', service: 'svc' }, traceId }],
    ])
    end()
    await settle()
    assert.deepEqual(hub.patternsOf('svc'), [])
  })

  test('come one after the other, and no more than a few are on their way', async () => {
    const { hub, ofProcess, pair } = behindLink()
    let running = 0
    const gate = Promise.withResolvers<void>()
    ofProcess.subscribe('x', async () => {
      running++
      await gate.promise
      running--
    })
    await settle()
    for (let n = 0; n < 500; n++) hub.publish('shop', 'x', n, cause)
    await settle()
    assert.deepEqual([running, pair.near.pending], [1, 64])
    gate.resolve()
    for (let i = 0; i < 2_000 && hub.counts().delivered < 500; i++) await turn()
    await settle()
    assert.deepEqual(hub.counts(), { published: 500, delivered: 500, dropped: 0 })
  })

  test('end with the service, and with its process', async () => {
    const { hub, ofNode, ofProcess } = behindLink()
    ofProcess.subscribe('x', () => {})
    ofProcess.subscribe('y', () => {})
    await settle()
    ofProcess.close()
    await settle()
    assert.deepEqual(hub.patternsOf('svc'), [])
    ofProcess.subscribe('z', () => {})
    await settle()
    ofNode.close()
    assert.deepEqual(hub.patternsOf('svc'), [])
  })

  test('a handler that fails is logged, and its event counts as taken', async () => {
    const { hub, ofProcess, pair } = behindLink()
    ofProcess.subscribe('x', () => {
      throw new Error('no')
    })
    await settle()
    hub.publish('shop', 'x', 1, cause)
    await settle()
    assert.equal(pair.near.pending, 0)
  })
})
