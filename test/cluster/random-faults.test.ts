import { test } from 'node:test'
import { env } from 'node:process'
import { createSimulatedCluster, injectRandomFaults } from '../../src/testing/index.ts'

/** More with P2P_SIMULATION_SEEDS=1000; one again with P2P_SIMULATION_SEED=<what a failure printed>. */
const only = env.P2P_SIMULATION_SEED
const count = Number(env.P2P_SIMULATION_SEEDS ?? 20)
const nodes = Number(env.P2P_SIMULATION_NODES ?? 10)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

for (const seed of seeds) {
  test(`10 minutes in which everything goes wrong end in equal views within 30 s, seed ${seed}`, async () => {
    const cluster = createSimulatedCluster({ nodes, seed, exampleServices: 1 })
    await cluster.start()
    const history = await injectRandomFaults(cluster, 600_000)
    try {
      await cluster.runUntil('equal views', () => cluster.isConverged(), 30_000)
    } catch (error) {
      throw new Error(`P2P_SIMULATION_SEED=${seed} repeats this:\n${history.join('\n')}`, { cause: error })
    }
  })
}
