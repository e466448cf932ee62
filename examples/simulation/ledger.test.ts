import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineService, method, z } from 'p2p-core/service'
import { createSimulatedCluster, type ServicesOf } from 'p2p-core/testing'

/** Adds up amounts. Each process has a ledger of its own, so each gets a definition of its own. */
function ledger(version: string): ServicesOf {
  return () => {
    let total = 0
    return [
      defineService({
        name: 'ledger',
        version,
        description: 'Adds up amounts',
        methods: {
          add: method({
            description: 'Adds one amount',
            public: true,
            params: z.object({ amount: z.number() }),
            handler({ amount }) {
              total += amount
              return { total, version }
            },
          }),
        },
      }),
    ]
  }
}

/** Five machines on a network that loses packets; all choices of chance come from the seed. */
async function startCluster(seed: number) {
  const cluster = createSimulatedCluster({
    nodes: 5,
    seed,
    conditions: { lossRatio: 0.02, delayMsMax: 20 },
    services: ledger('1.0.0'),
  })
  await cluster.start()
  await cluster.runUntil('all know each other', () => cluster.isConverged(), 10_000)
  return cluster
}

test('calls go to another node when a machine has vanished', async () => {
  const cluster = await startCluster(1)
  const { ledger } = cluster.proxy('n0')
  assert.deepEqual(await cluster.settled(ledger['n3'].add({ amount: 5 })), { total: 5, version: '1.0.0' })

  cluster.crash('n3')
  await cluster.runUntil('its death is known', () => cluster.allSee('n3', 'dead'), 15_000)
  await assert.rejects(cluster.settled(ledger['n3'].add({ amount: 5 })), { code: 'P2P_RPC_NO_INSTANCE' })
  assert.equal((await cluster.settled(ledger.remote.add({ amount: 5 }))).version, '1.0.0')

  cluster.boot('n3')
  await cluster.runUntil('it is back', () => cluster.allSee('n3', 'alive'), 10_000)
  assert.equal((await cluster.settled(ledger['n3'].add({ amount: 1 }))).total, 1, 'its memory died with it')
})

test('no call fails while the workers are updated one after the other', async () => {
  const cluster = await startCluster(2)
  const { ledger: caller } = cluster.proxy('n0')
  const versions = new Map<string, number>()
  const failures: unknown[] = []
  const calls = cluster.clock.every(50, () => {
    caller.remote.add({ amount: 1 }, { timeoutMs: 5_000 }).then(
      ({ version }: { version: string }) => versions.set(version, (versions.get(version) ?? 0) + 1),
      (error: unknown) => failures.push(error),
    )
  })
  for (const nodeId of ['n1', 'n2', 'n3', 'n4']) {
    await cluster.deploy(nodeId, ledger('2.0.0'))
    await cluster.runUntil(`${nodeId} is back`, () => cluster.allSee(nodeId, 'alive'), 10_000)
    await cluster.run(5_000)
  }
  calls.cancel()
  await cluster.run(5_000)
  assert.deepEqual(failures, [])
  assert.ok((versions.get('1.0.0') ?? 0) > 50 && (versions.get('2.0.0') ?? 0) > 50)
})
