import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { AssertionError } from '../../src/base/assert.ts'
import { delay } from '../../src/base/time.ts'
import { defineService, method } from '../../src/service/index.ts'
import {
  createSimulatedCluster,
  injectRandomFaults,
  SimulatedClock,
  SimulatedNetwork,
  SimulatedRandom,
  type ServicesOf,
} from '../../src/testing/index.ts'

test('virtual time fires timers in order, at their moment, and lets promises run in between', async () => {
  const clock = new SimulatedClock()
  const seen: string[] = []
  clock.after(20, () => seen.push(`b ${clock.nowMs()}`))
  clock.after(10, () => seen.push(`a ${clock.nowMs()}`))
  clock.after(10, () => clock.after(0, () => seen.push(`a2 ${clock.nowMs()}`)))
  clock.after(15, () => seen.push('cancelled')).cancel()
  const waiting = delay(clock, 12).then(() => {
    seen.push(`promise ${clock.nowMs()}`)
  })
  const ticks = clock.every(8, () => seen.push(`tick ${clock.nowMs()}`))
  await clock.run(20)
  ticks.cancel()
  await waiting
  await clock.run(100)
  assert.deepEqual(seen, ['tick 8', 'a 10', 'a2 10', 'promise 12', 'tick 16', 'b 20'])
  assert.equal(clock.nowMs(), 120)
})

test('simulated chance repeats with its seed and is spread evenly', () => {
  const draw = (seed: number): number[] => {
    const random = new SimulatedRandom(seed)
    return Array.from({ length: 1_000 }, () => random.float())
  }
  assert.deepEqual(draw(7), draw(7))
  assert.notDeepEqual(draw(7), draw(8))
  const values = draw(9)
  assert.ok(values.every((value) => value >= 0 && value < 1))
  for (let tenth = 0; tenth < 10; tenth++) {
    const inside = values.filter((value) => Math.floor(value * 10) === tenth).length
    assert.ok(inside > 60 && inside < 140, `${inside} of 1,000 in tenth ${tenth}`)
  }
})

test('the same seed gives the same run, another seed another one', async () => {
  const runOnce = async (seed: number): Promise<unknown> => {
    const cluster = createSimulatedCluster({ nodes: 6, seed })
    await cluster.start()
    const history = await injectRandomFaults(cluster, 120_000)
    return { history, changes: cluster.changes, view: cluster.describe() }
  }
  const first = await runOnce(5)
  assert.deepEqual(await runOnce(5), first)
  assert.notDeepEqual(await runOnce(6), first)
})

test('a condition that is not met in time fails with the seed', async () => {
  const cluster = createSimulatedCluster({ nodes: 2, seed: 77 })
  await cluster.start()
  await assert.rejects(
    cluster.runUntil('pigs fly', () => false, 1_000),
    (error) => error instanceof AssertionError && /seed 77/.test(error.message) && /pigs fly/.test(error.message),
  )
})

test('a reachable node that most hold for dead breaks the simulation', async () => {
  const cluster = createSimulatedCluster({ nodes: 4, seed: 78 })
  await cluster.start()
  await cluster.run(60_000)
  // Every packet is lost: no fault of any node or link, as far as the simulation knows.
  cluster.network.conditions.lossRatio = 1
  await assert.rejects(cluster.run(120_000), /runs and is reachable, but .* hold it for dead/)
})

test('what is lost is sent again and delays what follows, in order', async () => {
  const clock = new SimulatedClock()
  const network = new SimulatedNetwork(clock, new SimulatedRandom(3), {
    delayMsMin: 1,
    delayMsMax: 1,
    lossRatio: 0.3,
    refusalRatio: 0,
  })
  for (const nodeId of ['a', 'b']) network.add({ cluster: 'sim', role: 'worker', nodeId }, [`${nodeId}:1`])
  const [a, b] = [network.boot('a'), network.boot('b')]
  const received: number[] = []
  b.handle('rpc', (_, payload) => received.push(payload[0] as number))
  let isOpen = false
  const opening = a.open({ addresses: ['b:1'] }).then((channel) => {
    isOpen = true
    for (let i = 0; i < 100; i++) channel.send('rpc', Uint8Array.of(i))
  })
  assert.ok(await clock.runUntil(() => isOpen, 20_000))
  await opening
  assert.ok(await clock.runUntil(() => received.length === 100, 10_000))
  assert.deepEqual(
    received,
    Array.from({ length: 100 }, (_, i) => i),
  )
})

test('dials are refused, time out, or name the wrong peer, as in a real network', async () => {
  const clock = new SimulatedClock()
  const network = new SimulatedNetwork(clock, new SimulatedRandom(4))
  for (const nodeId of ['a', 'b']) network.add({ cluster: 'sim', role: 'worker', nodeId }, [`${nodeId}:1`])
  const a = network.boot('a')
  const failure = async (target: {
    nodeId?: string
    addresses: string[]
  }): Promise<{ message: string; afterMs: number }> => {
    const startMs = clock.nowMs()
    let message = ''
    const dial = a.open(target).then(
      () => assert.fail('opened'),
      (error: Error) => {
        message = error.message
      },
    )
    await clock.runUntil(() => message !== '', 60_000)
    await dial
    return { message, afterMs: clock.nowMs() - startMs }
  }
  const refused = await failure({ nodeId: 'b', addresses: ['b:1'] })
  assert.match(refused.message, /refused/)
  assert.ok(refused.afterMs < 10)
  network.kill('b', 'silent')
  const silent = await failure({ nodeId: 'b', addresses: ['b:1'] })
  assert.match(silent.message, /did not answer in time/)
  assert.equal(silent.afterMs, 5_000)
  network.boot('b')
  assert.match((await failure({ nodeId: 'c', addresses: ['b:1'] })).message, /it is b, not c/)
  assert.match((await failure({ nodeId: 'c', addresses: [] })).message, /no address/)
})

/** Answers after as long as it is told, by the clock of its place. */
const slow: ServicesOf = ({ nodeId, clock }) => [
  defineService({
    name: 'slow',
    version: '1.0.0',
    description: 'Takes its time',
    methods: {
      answer: method({
        description: 'Answers late',
        public: true,
        params: z.object({ afterMs: z.number() }),
        async handler({ afterMs }, { signal }) {
          await delay(clock, afterMs, signal)
          return { from: nodeId, atMs: clock.nowMs() }
        },
      }),
    },
  }),
]

test('services of simulated nodes call each other in virtual time', async () => {
  const cluster = createSimulatedCluster({ nodes: 3, seed: 80, services: slow })
  await cluster.start()
  await cluster.runUntil('equal views', () => cluster.isConverged(), 10_000)
  const startMs = cluster.clock.nowMs()
  const { slow: remote } = cluster.proxy('n0')
  const answer = await cluster.settled(remote['n2'].answer({ afterMs: 20_000 }))
  assert.equal(answer.from, 'n2')
  assert.ok(answer.atMs - startMs > 20_000 && answer.atMs - startMs < 20_100, `${answer.atMs - startMs}`)
})

test('a call to a process that is stopped waits, one to a machine that is cut off fails in time', async () => {
  const cluster = createSimulatedCluster({ nodes: 3, seed: 81, services: slow })
  await cluster.start()
  await cluster.runUntil('equal views', () => cluster.isConverged(), 10_000)
  const { slow: remote } = cluster.proxy('n0')
  cluster.stop('n1')
  const waiting = remote['n1'].answer({ afterMs: 10 })
  await cluster.run(2_000)
  cluster.resume('n1')
  assert.equal((await cluster.settled(waiting)).from, 'n1')
  cluster.partition([['n0', 'n1'], ['n2']])
  const startMs = cluster.clock.nowMs()
  const lost = remote['n2'].answer({ afterMs: 10 }, { timeoutMs: 3_000 })
  await assert.rejects(cluster.settled(lost, 10_000))
  assert.ok(cluster.clock.nowMs() - startMs < 4_000)
  cluster.heal()
  await cluster.runUntil('equal views', () => cluster.isConverged(), 60_000)
  assert.equal((await cluster.settled(remote['n2'].answer({ afterMs: 10 }))).from, 'n2')
})

test('what a service keeps in memory ends with its process, and a test is told what it does wrong', async () => {
  const cluster = createSimulatedCluster({ nodes: 2, seed: 82, services: slow })
  assert.throws(() => cluster.proxy('n1'), /No services run on node n1/)
  await cluster.start()
  await cluster.runUntil('equal views', () => cluster.isConverged(), 10_000)
  const never = new Promise<void>(() => {})
  await assert.rejects(cluster.settled(never, 1_000), /seed 82.* not within 1000 ms: a promise settled/s)
  cluster.kill('n1')
  assert.throws(() => cluster.proxy('n1'), /No services run/)
})
