import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Deployment } from '../../../../src/base/deployment.ts'
import { AWAY_GRACE_MS, cancelChange } from '../../../../src/deploy/plan/index.ts'
import { Cluster, deployment, node, nodes } from './fixture.ts'

const ROLLING = { kind: 'rolling', batch: 1 } as const
const CANARY = { kind: 'canary', nodes: 1, watchMs: 60_000, batch: 2 } as const

/** Generation 1 runs on every one of the nodes. */
function running(count: number, fields: Partial<Deployment> = {}): Cluster {
  const cluster = new Cluster(nodes(count), deployment({ count, ...fields })).run(8)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  return cluster
}

function second(count: number, fields: Partial<Deployment> = {}): Deployment {
  return deployment({ generation: 2, count, ...fields })
}

function most(cluster: Cluster, generation: number): number {
  return cluster.plan.nodes.filter((each) => each.generation === generation).length
}

test('a first deployment starts everywhere at once, and has succeeded when all were healthy for as long as asked', () => {
  const cluster = new Cluster(nodes(3), deployment({ count: 3, update: ROLLING }))
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:1')
  cluster.run(5)
  assert.equal(cluster.plan.rollout.state, 'running')
  assert.equal(cluster.states, 'n1:watching n2:watching n3:watching')
  assert.equal(cluster.plan.rollout.done, 3)
  cluster.run(1)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  assert.equal(cluster.plan.rollout.endedAtMs, cluster.wallMs)
})

test('a first deployment that ends by itself has failed at once, and is kept stopped', () => {
  const cluster = new Cluster(nodes(2), deployment({ count: 2 }))
  cluster.behaviour.set('n2/1', 'crash')
  cluster.run(1)
  const { state, reason, isBad } = cluster.plan.rollout
  assert.deepEqual([state, isBad, cluster.generations], ['failed', true, ''])
  assert.equal(reason, 'n2: exit code 1 (main.ts:3)')
  cluster.run(100)
  assert.equal(cluster.generations, '')
  cluster.change(deployment({ generation: 2, count: 2 }))
  assert.equal(cluster.plan.rollout.from, undefined)
  cluster.run(7)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
})

test('a rolling update takes a batch of nodes at a time, and the next when those are healthy', () => {
  const cluster = running(5)
  cluster.change(second(5, { update: { kind: 'rolling', batch: 2 } }))
  assert.equal(cluster.generations, 'n1:2 n2:2 n3:1 n4:1 n5:1')
  assert.equal(cluster.states, 'n1:starting n2:starting n3:waiting n4:waiting n5:waiting')
  cluster.run(6)
  assert.equal(cluster.generations, 'n1:2 n2:2 n3:2 n4:2 n5:1')
  assert.equal(cluster.states, 'n1:done n2:done n3:starting n4:starting n5:waiting')
  cluster.run(20)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  assert.deepEqual(
    cluster.plan.deployments.map(({ generation }) => generation),
    [2],
  )
})

test('all at once is all at once', () => {
  const cluster = running(4)
  cluster.change(second(4, { update: { kind: 'all-at-once' } }))
  assert.equal(most(cluster, 2), 4)
  cluster.run(6)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
})

test('a canary is watched before the others follow in batches', () => {
  const cluster = running(5)
  cluster.change(second(5, { update: CANARY }))
  cluster.run(60)
  assert.equal(most(cluster, 2), 1)
  assert.equal(cluster.plan.rollout.nodes[0]?.state, 'watching')
  cluster.run(1)
  assert.equal(most(cluster, 2), 3)
  cluster.run(20)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
})

test('a canary whose health check begins to fail goes back at the next pass, and nobody else was touched', () => {
  const cluster = running(3)
  cluster.change(second(3, { update: CANARY }))
  cluster.run(40)
  cluster.behaviour.set('n1/2', 'failing')
  cluster.run(1)
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:1')
  assert.equal(cluster.plan.rollout.state, 'running')
  assert.equal(cluster.states, 'n1:failed n2:waiting n3:waiting')
  cluster.run(1)
  const { state, reason, isBad } = cluster.plan.rollout
  assert.deepEqual([state, isBad], ['rolled-back', true])
  assert.equal(reason, 'n1: its health check fails: the disk is full')
  assert.deepEqual([cluster.plan.generation, cluster.states], [1, 'n1:returned n2:waiting n3:waiting'])
  cluster.run(30)
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:1')
})

test('each way to fail has its words, and stops the update at the first node', () => {
  const ways = [
    ['crash', 1, 'n1: exit code 1 (main.ts:3)'],
    ['refused', 1, 'n1: it asks for the network, which was not granted'],
    ['failing', 30, 'n1: not healthy after 30 s: its health check fails: the disk is full'],
    ['slow', 30, 'n1: not healthy after 30 s'],
    ['no-artifact', 900, 'n1: it did not get its plan and the artifact within 900 s'],
  ] as const
  for (const [how, seconds, reason] of ways) {
    const cluster = running(3)
    cluster.behaviour.set('*/2', how)
    cluster.change(second(3))
    cluster.run(seconds - 1)
    assert.equal(cluster.generations, 'n1:2 n2:1 n3:1', how)
    cluster.run(2)
    assert.deepEqual([cluster.plan.rollout.state, cluster.plan.rollout.reason], ['rolled-back', reason])
    assert.equal(cluster.generations, 'n1:1 n2:1 n3:1', how)
  }
})

test('a node that was done and fails while others are updated takes all back', () => {
  const cluster = running(4)
  cluster.change(second(4))
  cluster.run(14)
  assert.equal(most(cluster, 2), 3)
  cluster.behaviour.set('n1/2', 'crash')
  cluster.run(1)
  assert.equal(most(cluster, 1), 4)
  cluster.run(1)
  assert.equal(cluster.plan.rollout.state, 'rolled-back')
})

test('when the old version does not come back either, that is said', () => {
  const cluster = running(2)
  cluster.change(second(2))
  cluster.behaviour.set('n1/2', 'crash')
  cluster.behaviour.set('n1/1', 'slow')
  cluster.run(32)
  const { state, reason } = cluster.plan.rollout
  assert.equal(state, 'failed')
  assert.equal(reason, 'n1: exit code 1 (main.ts:3); then version 1.1.0 did not come back on n1')
  assert.equal(cluster.plan.generation, 1)
})

test('a node that a person stopped the service on holds nothing up', () => {
  const cluster = running(2)
  cluster.behaviour.set('n1/2', 'stopped-here')
  cluster.change(second(2))
  cluster.run(13)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
})

test('a node that vanishes on the way is waited for until the grace is over, then left out', () => {
  const cluster = running(3)
  cluster.change(second(3))
  cluster.set('n1', { status: 'suspect', statusForMs: 0 })
  cluster.run(3)
  cluster.set('n1', { status: 'dead', statusForMs: 0 })
  cluster.run(29)
  assert.equal(cluster.generations, 'n1:2 n2:1 n3:1')
  assert.equal(cluster.plan.rollout.nodes[0]?.reason, 'it does not answer')
  cluster.run(1)
  assert.ok(!cluster.generations.includes('n1'))
  cluster.run(20)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  assert.equal(
    cluster.plan.nodes.reduce((sum, { instances }) => sum + instances, 0),
    3,
  )
})

test('a node that vanishes and comes back goes on where it was: the time it was away counts for no deadline', () => {
  const cluster = running(2)
  cluster.behaviour.set('n1/2', 'slow')
  cluster.change(second(2))
  cluster.run(20)
  cluster.set('n1', { status: 'dead', statusForMs: 0 })
  cluster.run(25)
  cluster.set('n1', { status: 'alive', statusForMs: 0 })
  cluster.run(5)
  assert.equal(cluster.plan.rollout.state, 'running')
  cluster.behaviour.delete('n1/2')
  cluster.run(20)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
})

test('while one node is away no healthy one is taken down, beyond the batch', () => {
  const cluster = running(3)
  cluster.set('n3', { status: 'dead', statusForMs: 0 })
  cluster.change(second(3))
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:1')
  cluster.set('n3', { status: 'alive', statusForMs: 0 })
  cluster.run(1)
  assert.equal(most(cluster, 2), 1)
})

test('nodes whose old version is broken go first', () => {
  const cluster = running(3)
  cluster.behaviour.set('n3/1', 'failing')
  cluster.change(second(3))
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:2')
})

test('a node lost during a long watch is made good with the old version', () => {
  const cluster = new Cluster(nodes(4), deployment({ count: 3 })).run(8)
  const [first, lost] = cluster.plan.nodes.map(({ nodeId }) => nodeId)
  cluster.change(second(3, { update: CANARY }))
  cluster.run(5)
  cluster.set(lost as string, { status: 'dead', statusForMs: AWAY_GRACE_MS })
  cluster.run(1)
  assert.deepEqual([most(cluster, 1), most(cluster, 2)], [2, 1])
  assert.equal(cluster.plan.nodes.find(({ generation }) => generation === 2)?.nodeId, first)
  cluster.run(80)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  assert.equal(most(cluster, 2), 3)
})

test('a change that starts nothing anew is made everywhere at once, and nothing is interrupted', () => {
  const cluster = running(2)
  const scaled = second(4, { processGeneration: 1 })
  cluster.change(scaled)
  assert.equal(most(cluster, 2), 2)
  assert.equal(cluster.plan.rollout.wanted, 4)
  cluster.run(7)
  assert.equal(cluster.plan.rollout.state, 'succeeded')
  assert.equal(cluster.counts, 'n1:2 n2:2')
})

test('a newer change takes the place of one on its way, and goes back to what was last known to be good', () => {
  const cluster = running(3)
  cluster.change(second(3))
  cluster.run(8)
  assert.equal(cluster.generations, 'n1:2 n2:2 n3:1')
  cluster.change(deployment({ generation: 3, count: 3 }))
  assert.deepEqual([cluster.plan.rollout.from, cluster.plan.rollout.to], [1, 3])
  assert.equal(cluster.generations, 'n1:3 n2:2 n3:1')
  assert.deepEqual(
    cluster.plan.deployments.map(({ generation }) => generation),
    [1, 2, 3],
  )
  cluster.behaviour.set('n1/3', 'crash')
  cluster.run(2)
  assert.equal(cluster.plan.rollout.state, 'rolled-back')
  assert.equal(cluster.generations, 'n1:1 n2:1 n3:1')
})

test('a cancelled change goes back and is not marked as bad; a cancelled first one is stopped', () => {
  const cluster = running(2)
  cluster.change(second(2))
  cluster.plan = cancelChange(cluster.plan, 'ada cancelled it', cluster.wallMs)
  cluster.run(2)
  const { state, reason, isBad } = cluster.plan.rollout
  assert.deepEqual([state, reason, isBad, cluster.generations], ['rolled-back', 'ada cancelled it', false, 'n1:1 n2:1'])
  assert.equal(cancelChange(cluster.plan, 'again', cluster.wallMs), cluster.plan)
  const first = new Cluster(nodes(1), deployment())
  first.plan = cancelChange(first.plan, 'ada cancelled it', first.wallMs)
  first.run(1)
  assert.deepEqual([first.plan.rollout.state, first.generations], ['failed', ''])
})

test('a stop takes effect at once, and what is started after it has nothing to go back to', () => {
  const cluster = running(2)
  cluster.change(second(2, { isStopped: true }))
  assert.deepEqual([cluster.generations, cluster.plan.rollout.state], ['', 'succeeded'])
  cluster.change(deployment({ generation: 3, count: 2 }))
  assert.equal(cluster.plan.rollout.from, undefined)
  assert.equal(most(cluster, 3), 2)
})

test('a service that no node suits is given up after the deadline with the reason, and starts when one comes', () => {
  const wanted = deployment({ placement: { labels: { gpu: 'yes' } } })
  const cluster = new Cluster(nodes(1), wanted)
  cluster.run(29)
  assert.equal(cluster.plan.rollout.state, 'running')
  assert.match(cluster.plan.rollout.reason ?? '', /n1 has no label gpu=yes/)
  cluster.run(2)
  assert.equal(cluster.plan.rollout.state, 'failed')
  cluster.nodes.set('n2', node('n2', { labels: { gpu: 'yes' } }))
  cluster.run(1)
  assert.equal(cluster.generations, 'n2:1')
})

test('an update that no node suits leaves the old one running and goes back', () => {
  const cluster = running(2)
  cluster.change(second(2, { placement: { labels: { gpu: 'yes' } } }))
  cluster.run(20)
  assert.equal(cluster.generations, 'n1:1 n2:1')
  cluster.run(12)
  assert.equal(cluster.plan.rollout.state, 'rolled-back')
  assert.equal(cluster.generations, 'n1:1 n2:1')
})

test('nothing is started before what it depends on is there, and it is given up after ten minutes', () => {
  const wanted = deployment({ dependsOn: [{ service: 'db', healthy: true }] })
  const cluster = new Cluster(nodes(1), wanted).run(60)
  assert.equal(cluster.generations, '')
  assert.equal(cluster.plan.rollout.reason, 'waits for db, which does not run')
  cluster.services.set('db', { running: 1, healthy: 0 })
  cluster.run(1)
  assert.equal(cluster.plan.rollout.reason, 'waits for db, which runs but is not healthy')
  cluster.services.set('db', { running: 1, healthy: 1 })
  cluster.run(1)
  assert.equal(cluster.generations, 'n1:1')
  // What runs goes on when what it depends on has gone.
  cluster.services.clear()
  cluster.run(10)
  assert.deepEqual([cluster.plan.rollout.state, cluster.generations], ['succeeded', 'n1:1'])

  const never = new Cluster(nodes(1), wanted).run(602)
  assert.equal(never.plan.rollout.state, 'failed')
  never.services.set('db', { running: 1, healthy: 1 })
  never.run(1)
  assert.equal(never.generations, 'n1:1')
})

test('draining moves instances, and the new ones answer before the old ones go', () => {
  const cluster = new Cluster(nodes(3), deployment({ count: 2 })).run(8)
  const [first, other] = cluster.plan.nodes.map(({ nodeId }) => nodeId) as [string, string]
  const free = ['n1', 'n2', 'n3'].find((nodeId) => nodeId !== first && nodeId !== other) as string
  cluster.behaviour.set(`${free}/1`, 'slow')
  cluster.set(first, { isDraining: true })
  cluster.run(20)
  assert.deepEqual(
    cluster.plan.nodes.map(({ nodeId }) => nodeId),
    ['n1', 'n2', 'n3'],
  )
  cluster.behaviour.delete(`${free}/1`)
  cluster.run(2)
  assert.deepEqual(cluster.plan.nodes.map(({ nodeId }) => nodeId).sort(), [other, free].sort())
})

test('a pass in which nothing but measured times changed asks for nothing to be stored', () => {
  const cluster = running(3)
  cluster.changed = 0
  cluster.run(10)
  assert.equal(cluster.changed, 0)
  cluster.change(second(3))
  assert.equal(cluster.changed, 1)
  cluster.run(1)
  assert.equal(cluster.changed, 2)
  cluster.run(4)
  assert.equal(cluster.changed, 2)
})

test('the next pass is asked for when a time runs out', () => {
  const cluster = running(2)
  assert.equal(cluster.nextMs, undefined)
  cluster.change(second(2))
  assert.equal(cluster.nextMs, 30_000)
  cluster.pass(500)
  assert.equal(cluster.nextMs, 5_000)
  cluster.pass(2_000)
  assert.equal(cluster.nextMs, 3_000)
  cluster.pass(3_000)
  assert.equal(cluster.states, 'n1:done n2:starting')
})

test('the time in which no coordinator ran counts for nothing', () => {
  const cluster = running(2)
  cluster.behaviour.set('*/2', 'slow')
  cluster.change(second(2))
  cluster.run(20)
  cluster.wallMs += 3_600_000
  cluster.pass(0)
  cluster.run(9)
  assert.equal(cluster.plan.rollout.state, 'running')
  cluster.run(2)
  assert.equal(cluster.plan.rollout.state, 'rolled-back')
})

test('a service that is scaled to none has succeeded at once', () => {
  const cluster = running(2)
  cluster.change(second(0, { processGeneration: 1 }))
  assert.deepEqual([cluster.plan.rollout.state, cluster.generations], ['succeeded', ''])
})
