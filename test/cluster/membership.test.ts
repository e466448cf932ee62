import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSimulatedCluster, type SimulatedCluster, type SimulatedClusterOptions } from '../../src/testing/index.ts'

const MINUTE_MS = 60_000

/** Asked after each of thousands of events, so only every 50 ms of virtual time. */
function now(cluster: SimulatedCluster, condition: () => boolean): () => boolean {
  let askedMs = Number.NEGATIVE_INFINITY
  return () => {
    if (cluster.clock.nowMs() - askedMs < 50) return false
    askedMs = cluster.clock.nowMs()
    return condition()
  }
}

async function converged(cluster: SimulatedCluster, withinMs: number): Promise<number> {
  return cluster.runUntil(
    'equal views',
    now(cluster, () => cluster.isConverged()),
    withinMs,
  )
}

async function running(options: SimulatedClusterOptions): Promise<SimulatedCluster> {
  const cluster = createSimulatedCluster(options)
  await cluster.start()
  await converged(cluster, 30_000)
  return cluster
}

for (const nodes of [3, 20, 100]) {
  test(`${nodes} nodes started within a second have equal views within two more`, async () => {
    const cluster = createSimulatedCluster({ nodes, seed: 11, exampleServices: 2 })
    await cluster.start()
    await converged(cluster, 2_000)
    assert.equal(cluster.gossip('n1').members().length, nodes)
  })
}

test('a node that joins, and a changed record, are seen by all within a second', async () => {
  const cluster = createSimulatedCluster({ nodes: 30, seed: 12 })
  for (const nodeId of cluster.nodeIds.slice(0, -1)) cluster.boot(nodeId)
  await converged(cluster, 10_000)
  cluster.boot('n29')
  await converged(cluster, 1_000)
  cluster.gossip('n7').update({ labels: { zone: 'cellar' } })
  const hasArrived = (id: string): boolean => cluster.gossip(id).get('n7')?.record.labels.zone === 'cellar'
  await cluster.runUntil(
    'the record everywhere',
    now(cluster, () => cluster.running.every(hasArrived)),
    1_000,
  )
})

for (const nodes of [2, 3, 5, 30]) {
  test(`a killed process of ${nodes} is known dead to all within 2 s`, async () => {
    const cluster = await running({ nodes, seed: 21 })
    await cluster.run(60_000)
    cluster.kill('n1')
    await cluster.runUntil('n1 dead everywhere', () => cluster.allSee('n1', 'dead'), 2_000)
  })
}

for (const lossRatio of [0, 0.1]) {
  test(`machines that vanish from 100 nodes at ${lossRatio * 100} % loss are known dead to all within 15 s`, async () => {
    const cluster = await running({ nodes: 100, seed: 31, conditions: { lossRatio } })
    for (const nodeId of ['n42', 'n43', 'n0']) {
      cluster.crash(nodeId)
      await cluster.runUntil(
        `${nodeId} dead everywhere`,
        now(cluster, () => cluster.allSee(nodeId, 'dead')),
        15_000,
      )
    }
  })
}

for (const lossRatio of [0, 0.05, 0.1, 0.25]) {
  test(`in 10 minutes at ${lossRatio * 100} % loss nobody is falsely declared dead`, async () => {
    const cluster = await running({ nodes: 20, seed: 41, conditions: { lossRatio } })
    await cluster.run(10 * MINUTE_MS)
    assert.deepEqual(
      cluster.changes.filter(({ status }) => status === 'dead'),
      [],
      `seed ${cluster.seed}`,
    )
  })
}

test('a real death at 25 % loss is known to all within 22 s', async () => {
  for (const seed of [51, 52, 53]) {
    const cluster = await running({ nodes: 30, seed, conditions: { lossRatio: 0.25 } })
    cluster.crash('n9')
    await cluster.runUntil(
      'n9 dead everywhere',
      now(cluster, () => cluster.allSee('n9', 'dead')),
      22_000,
    )
  }
})

test('a stopped worker is seen as left at once, a restarted one is back at once', async () => {
  const cluster = await running({ nodes: 5, seed: 61 })
  await cluster.leave('n3')
  assert.ok(cluster.allSee('n3', 'left'))
  await cluster.run(MINUTE_MS)
  assert.ok(cluster.allSee('n3', 'left'))
  cluster.boot('n3')
  await cluster.runUntil('n3 back everywhere', () => cluster.allSee('n3', 'alive'), 1_000)
})

test('a killed worker that is restarted before anybody noticed goes on as a new life', async () => {
  const cluster = await running({ nodes: 5, seed: 62 })
  const { incarnation } = cluster.gossip('n0').get('n3') ?? assert.fail()
  cluster.kill('n3')
  await cluster.run(300)
  cluster.boot('n3')
  await converged(cluster, 5_000)
  assert.ok((cluster.gossip('n0').get('n3')?.incarnation ?? 0) > incarnation)
  await cluster.run(MINUTE_MS)
  assert.ok(cluster.isConverged())
})

test('the coordinator dies, the others go on together, and it finds them again', async () => {
  const cluster = await running({ nodes: 6, seed: 63 })
  cluster.kill('n0')
  await converged(cluster, 3_000)
  await cluster.run(5 * MINUTE_MS)
  assert.ok(cluster.isConverged())
  cluster.boot('n0')
  await converged(cluster, 30_000)
})

test('both sides of a partition of a minute hold each other for dead, and are one again within 30 s of its end', async () => {
  for (const [seed, groups] of [
    [
      71,
      [
        ['n0', 'n1', 'n2', 'n3', 'n4'],
        ['n5', 'n6', 'n7', 'n8', 'n9'],
      ],
    ],
    [72, [['n0'], ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9']]],
    [
      73,
      [
        ['n0', 'n1', 'n2'],
        ['n3', 'n4', 'n5'],
        ['n6', 'n7', 'n8', 'n9'],
      ],
    ],
  ] as const) {
    const cluster = await running({ nodes: 10, seed })
    cluster.partition(groups)
    await cluster.run(MINUTE_MS)
    assert.equal(cluster.statusOf('n0', 'n9'), 'dead')
    assert.equal(cluster.statusOf('n9', 'n0'), 'dead')
    cluster.heal()
    await converged(cluster, 30_000)
  }
})

test('two nodes that hold each other for dead meet again, though nobody else is there', async () => {
  const cluster = createSimulatedCluster({ nodes: 2, seed: 81 })
  await cluster.start()
  await converged(cluster, 10_000)
  cluster.partition([['n0'], ['n1']])
  await cluster.run(60 * MINUTE_MS)
  assert.deepEqual([cluster.statusOf('n0', 'n1'), cluster.statusOf('n1', 'n0')], ['dead', 'dead'])
  cluster.heal()
  await converged(cluster, 30_000)
})

test('two nodes that cannot reach each other, in one direction or both, stay alive through the others', async () => {
  const cluster = await running({ nodes: 6, seed: 82 })
  cluster.block('n1', 'n2')
  cluster.block('n3', 'n4')
  cluster.block('n4', 'n3')
  await cluster.run(5 * MINUTE_MS)
  assert.ok(cluster.isConverged(), cluster.describe())
  assert.deepEqual(
    cluster.changes.filter(({ status }) => status === 'dead'),
    [],
  )
})

test('a process stopped for 20 s declares nobody dead and is back within 10 s', async () => {
  for (const seed of [91, 92, 93]) {
    const cluster = await running({ nodes: 10, seed })
    cluster.stop('n4')
    await cluster.run(20_000)
    cluster.resume('n4')
    await converged(cluster, 10_000)
    await cluster.run(MINUTE_MS)
    assert.deepEqual(
      cluster.changes.filter(({ observer, status }) => observer === 'n4' && status === 'dead'),
      [],
      `seed ${seed}`,
    )
  }
})

test('processes that get hardly any CPU declare nobody dead, are not declared dead, and are themselves again at once', async () => {
  const cluster = await running({ nodes: 10, seed: 96 })
  const starved = ['n4', 'n7']
  for (const nodeId of starved) cluster.starve(nodeId, { runMs: 30, hangMs: 900 })
  await cluster.run(5 * MINUTE_MS)
  for (const nodeId of starved) cluster.resume(nodeId)
  await converged(cluster, 10_000)
  assert.deepEqual(
    cluster.changes.filter(({ status }) => status === 'dead'),
    [],
  )
})

test('nodes that can only dial out are members of a cluster too large for a channel between any two', async () => {
  const cluster = createSimulatedCluster({ nodes: 90, seed: 97 })
  const hidden = ['n20', 'n40', 'n60', 'n80']
  for (const nodeId of hidden) cluster.hide(nodeId)
  await cluster.start()
  await converged(cluster, 30_000)
  await cluster.run(4 * MINUTE_MS)
  assert.deepEqual(
    cluster.changes.filter(({ status }) => status === 'dead'),
    [],
  )
  cluster.crash('n40')
  await cluster.runUntil(
    'n40 dead everywhere',
    now(cluster, () => cluster.allSee('n40', 'dead')),
    15_000,
  )
})

test('a node of a large cluster keeps a bounded number of channels, and opens few', async () => {
  const cluster = createSimulatedCluster({ nodes: 150, seed: 98 })
  await cluster.start()
  await cluster.run(3 * MINUTE_MS)
  const { made } = cluster.network.connections
  await cluster.run(MINUTE_MS)
  const workers = cluster.nodeIds.slice(1)
  const counts = workers.map((nodeId) => cluster.network.nodeOf(nodeId).peers.list().length)
  assert.ok(Math.max(...counts) <= 100, `${Math.max(...counts)} channels of one node`)
  assert.ok(counts.reduce((sum, count) => sum + count, 0) / counts.length < 70)
  const dialsPerNodeAndSecond = (cluster.network.connections.made - made) / 150 / 60
  assert.ok(dialsPerNodeAndSecond < 0.15, `${dialsPerNodeAndSecond} dials a second and node`)
})

test('all nodes but one stopped for a while accuse nobody either', async () => {
  const cluster = await running({ nodes: 5, seed: 94 })
  const stopped = ['n1', 'n2', 'n3', 'n4']
  for (const nodeId of stopped) cluster.stop(nodeId)
  await cluster.run(3_000)
  for (const nodeId of stopped) cluster.resume(nodeId)
  await converged(cluster, 30_000)
  assert.ok(!cluster.changes.some(({ observer, status }) => observer !== 'n0' && status === 'dead'))
})

test('connections that break all the time cost nobody the life', async () => {
  const cluster = await running({ nodes: 10, seed: 95 })
  for (let i = 0; i < 60; i++) {
    cluster.network.resetSome(0.5)
    await cluster.run(2_000)
  }
  assert.deepEqual(
    cluster.changes.filter(({ status }) => status === 'dead'),
    [],
  )
})
