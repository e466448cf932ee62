import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '../../../src/base/errors.ts'
import type { Logger } from '../../../src/base/log.ts'
import type { MemberEvent } from '../../../src/base/member.ts'
import type { PeerChannel } from '../../../src/base/peer.ts'
import { createGossip, type GossipOptions } from '../../../src/network/index.ts'
import { isRefused } from '../../../src/network/outbox.ts'
import {
  SimulatedClock,
  SimulatedNetwork,
  SimulatedRandom,
  simulatedSigner,
  simulatedVerifier,
} from '../../../src/testing/index.ts'

class World {
  readonly clock = new SimulatedClock()
  readonly network = new SimulatedNetwork(this.clock, new SimulatedRandom(1))
  readonly lines: string[] = []
  readonly #machines = new Set<string>()

  async node(nodeId: string, options: Partial<GossipOptions> = {}) {
    const node = this.boot(nodeId, options)
    await node.gossip.start(new AbortController().signal)
    return node
  }

  /** It can be dialled, but does not gossip yet. */
  boot(nodeId: string, options: Partial<GossipOptions> = {}) {
    const role = options.role ?? 'worker'
    const identity = { cluster: 'test', role, nodeId }
    const address = `${nodeId}:8001`
    if (!this.#machines.has(nodeId)) this.network.add(identity, [address])
    this.#machines.add(nodeId)
    const peers = this.network.boot(nodeId)
    const line = (message: string): void => void this.lines.push(`${nodeId}: ${message}`)
    const log: Logger = { debug: () => {}, info: line, warning: line, error: line, critical: line, child: () => log }
    const gossip = createGossip(
      {
        peers,
        clock: this.network.nodeOf(nodeId).host.clock(),
        random: new SimulatedRandom(nodeId.charCodeAt(0)),
        log,
        signer: simulatedSigner(identity),
        verifier: simulatedVerifier,
        interfaces: () => [],
      },
      {
        nodeId,
        role,
        cluster: () => 'test',
        softwareVersion: '3.0.0',
        record: { addresses: [address] },
        seeds: [],
        intervalMsMin: 5_000,
        intervalMsMax: 30_000,
        compressionEnabled: true,
        compressionThresholdBytes: 512,
        ...options,
      },
    )
    return { gossip, peers }
  }

  async pair() {
    const a = await this.node('a', { role: 'coordinator' })
    const b = await this.node('b', { seeds: ['a:8001'] })
    await this.until(() => a.gossip.members().length === 2 && b.gossip.members().length === 2)
    return { a, b }
  }

  async until(condition: () => boolean): Promise<void> {
    assert.ok(await this.clock.runUntil(condition, 60_000), 'not within a minute')
  }
}

test('a node that starts knows itself, and after joining both know both, in node id order', async () => {
  const world = new World()
  const { gossip } = await world.node('a')
  assert.deepEqual(
    gossip.members().map((m) => [m.record.nodeId, m.status]),
    [['a', 'alive']],
  )
  const { gossip: b } = await world.node('b', { seeds: ['a:8001'] })
  await world.until(() => gossip.get('b') !== undefined && b.get('a') !== undefined)
  assert.deepEqual(
    b.members().map((m) => m.record.nodeId),
    ['a', 'b'],
  )
  assert.deepEqual(b.targetOf('a'), { nodeId: 'a', addresses: ['a:8001'] })
  assert.equal(b.targetOf('nobody'), undefined)
  assert.equal(b.get('nobody'), undefined)
})

test('whoever dialled a node before it gossips is a member once it does', async () => {
  const world = new World()
  const a = world.boot('a', { role: 'coordinator' })
  const b = await world.node('b', { seeds: ['a:8001'] })
  // Long enough for b to have begun an exchange with each try, and to try no more for some seconds.
  await world.until(() => a.peers.list().length === 1)
  await world.clock.run(3_000)
  await a.gossip.start(new AbortController().signal)
  assert.ok(await world.clock.runUntil(() => a.gossip.get('b') !== undefined && b.gossip.get('a') !== undefined, 100))
})

test('a changed record reaches the others within a second, and listeners hear of it', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  const events: MemberEvent[] = []
  a.gossip.onChange((event) => events.push(event))
  const before = b.gossip.self().record.recordVersion
  b.gossip.update({ labels: { zone: 'cellar' } })
  assert.equal(b.gossip.self().record.labels.zone, 'cellar', 'the own view changes at once')
  await world.clock.run(1_000)
  assert.equal(a.gossip.get('b')?.record.labels.zone, 'cellar')
  assert.ok((a.gossip.get('b')?.record.recordVersion ?? 0) > before)
  assert.deepEqual(
    events.map((e) => [e.member.record.nodeId, e.previous, e.member.status]),
    [['b', 'alive', 'alive']],
  )
})

test('many changes in a row are signed and told as few', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  const versions = new Set<number>()
  a.gossip.onChange(({ member }) => versions.add(member.record.recordVersion))
  for (let i = 1; i <= 100; i++) b.gossip.update({ labels: { i: String(i) } })
  await world.clock.run(1_000)
  assert.equal(a.gossip.get('b')?.record.labels.i, '100')
  assert.ok(versions.size <= 2, `${versions.size} versions`)
})

test('an update that changes nothing is not told', async () => {
  const world = new World()
  const { b } = await world.pair()
  await world.clock.run(1_000)
  const { recordVersion } = b.gossip.self().record
  b.gossip.update({ addresses: ['b:8001'] })
  await world.clock.run(1_000)
  assert.equal(b.gossip.self().record.recordVersion, recordVersion)
})

test('a record that others would refuse is refused here, and nothing has changed', async () => {
  const world = new World()
  const { b } = await world.pair()
  const before = b.gossip.self().record
  assert.throws(
    () => b.gossip.update({ labels: { big: 'x'.repeat(300) } }),
    (error) => codeOf(error) === 'P2P_NETWORK_RECORD_INVALID',
  )
  assert.equal(b.gossip.self().record, before)
})

test('record versions rise across a restart, also when the clock was set back', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  const first = b.gossip.self().record.recordVersion
  world.network.kill('b', 'killed')
  world.network.nodeOf('b').host.jumpWall(-3_600_000)
  await world.until(() => a.gossip.get('b')?.status === 'dead')
  const again = await world.node('b', { seeds: ['a:8001'], record: { addresses: ['b:8001'], labels: { life: '2' } } })
  assert.ok(again.gossip.self().record.recordVersion < first, 'it cannot know better by itself')
  await world.until(() => a.gossip.get('b')?.record.labels.life === '2')
  assert.equal(a.gossip.get('b')?.status, 'alive')
  assert.ok((a.gossip.get('b')?.record.recordVersion ?? 0) > first)
})

test('a leaving node is seen as left at once', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  let hasLeft = false
  const leaving = b.gossip.leave().then(() => {
    hasLeft = true
  })
  await world.until(() => a.gossip.get('b')?.status === 'left')
  await world.until(() => hasLeft)
  await leaving
  await b.gossip.stop()
  await world.clock.run(60_000)
  assert.equal(a.gossip.get('b')?.status, 'left')
  assert.ok(!world.lines.some((line) => line.includes('does not answer')))
})

test('leaving alone does not wait', async () => {
  const world = new World()
  const { gossip } = await world.node('a')
  await gossip.leave()
  await gossip.stop()
  await gossip.stop()
})

test('without a coordinator the seeds are dialled for ever, and that is said once', async () => {
  const world = new World()
  const { gossip } = await world.node('b', { seeds: ['a:8001'] })
  await world.clock.run(600_000)
  assert.equal(world.lines.filter((line) => line.includes('No coordinator can be reached')).length, 1)
  await world.node('a', { role: 'coordinator' })
  await world.clock.run(12_000)
  assert.equal(gossip.get('a')?.status, 'alive')
  assert.equal(world.lines.filter((line) => line.includes('Found a coordinator again')).length, 1)
})

test('stopping ends timers and dials', async () => {
  const world = new World()
  const { gossip } = await world.node('b', { seeds: ['a:8001'] })
  await world.clock.run(5_000)
  await gossip.stop()
  const lines = world.lines.length
  await world.clock.run(60_000)
  assert.equal(world.lines.length, lines)
})

test('frames that are no messages of this cluster are counted and dropped', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  const channel = b.peers.get('a') as PeerChannel
  const before = a.gossip.members()
  const send = (...bytes: number[]): void => channel.send('gossip', Uint8Array.from(bytes))
  send()
  send(9, 0, 4, 0x74, 0x65, 0x73, 0x74)
  send(1, 0, 3, 0x61, 0x61, 0x61)
  send(1, 1, 4, 0x74, 0x65, 0x73, 0x74, 0xff, 0xff, 0xff, 0x7f, 0)
  channel.send('gossip', new Uint8Array(70_000))
  await world.clock.run(100)
  assert.deepEqual(a.gossip.stats().dropped, { malformed: 2, oversized: 1, version: 1, cluster: 1, record: 0 })
  assert.deepEqual(a.gossip.members(), before)
})

test('a listener that throws keeps nobody else from hearing', async () => {
  const world = new World()
  const { a, b } = await world.pair()
  const heard: string[] = []
  a.gossip.onChange(() => {
    throw new Error('broken listener')
  })
  const unregister = a.gossip.onChange(({ member }) => heard.push(member.record.nodeId))
  b.gossip.update({ labels: { x: '1' } })
  await world.clock.run(1_000)
  assert.deepEqual(heard, ['b'])
  unregister()
  b.gossip.update({ labels: { x: '2' } })
  await world.clock.run(1_000)
  assert.deepEqual(heard, ['b'])
})

test('a refused dial is recognised however deep it is wrapped', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  const wrapped = new Error('outer', {
    cause: new AggregateError([new Error('timeout'), new Error('x', { cause: refused })]),
  })
  assert.equal(isRefused(refused), true)
  assert.equal(isRefused(wrapped), true)
  assert.equal(isRefused(new Error('timeout')), false)
  assert.equal(isRefused('ECONNREFUSED'), false)
  const circle = new Error('circle')
  circle.cause = circle
  assert.equal(isRefused(circle), false)
})
