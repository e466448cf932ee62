import { parseArgs } from 'node:util'
import { createSimulatedCluster, injectRandomFaults } from '../src/testing/index.ts'

/*
 * Ten simulated minutes in which everything goes wrong that can, for many seeds: whether an invariant broke, and how long after
 * the last fault all views were equal again. A seed that fails: P2P_SIMULATION_SEED=… of test/cluster/random-faults.test.ts.
 *   node --conditions=source bench/membership-faults.ts [--first 1] [--seeds 100] [--nodes 20]
 */

const FAULTS_MS = 600_000
const EQUAL_MS_MAX = 30_000

export interface FaultsBenchOptions {
  firstSeed: number
  seeds: number
  nodes: number
  faultsMs?: number
  onProgress?: (text: string) => void
}

export interface FaultsBenchResult {
  /** From the end of the last fault to equal views, one value a seed that passed. */
  equalMs: number[]
  faults: number
  /** What broke, by seed. */
  broken: Map<number, string>
}

export async function runFaultsBench(options: FaultsBenchOptions): Promise<FaultsBenchResult> {
  const { firstSeed, seeds, nodes, faultsMs = FAULTS_MS, onProgress: say = () => {} } = options
  const result: FaultsBenchResult = { equalMs: [], faults: 0, broken: new Map() }
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      const cluster = createSimulatedCluster({ nodes, seed, exampleServices: 1 })
      await cluster.start()
      result.faults += (await injectRandomFaults(cluster, faultsMs)).length
      result.equalMs.push(await cluster.runUntil('equal views', () => cluster.isConverged(), EQUAL_MS_MAX))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      result.broken.set(seed, text)
      say(`seed ${seed}: ${text}`)
    }
    if ((seed - firstSeed + 1) % 50 === 0) {
      say(`${seed - firstSeed + 1} seeds, ${result.broken.size} broken, ${spread(result.equalMs)} s to equal views`)
    }
  }
  return result
}

function spread(timesMs: readonly number[]): string {
  const sorted = timesMs.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return [0.5, 0.99, 1].map((share) => (at(share) / 1_000).toFixed(1)).join(' / ')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      first: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '100' },
      nodes: { type: 'string', default: '20' },
    },
  })
  const { equalMs, faults, broken } = await runFaultsBench({
    firstSeed: Number(values.first),
    seeds: Number(values.seeds),
    nodes: Number(values.nodes),
    onProgress: (text) => console.error(text),
  })
  console.table({
    'seeds, nodes': `${values.first} to ${Number(values.first) + Number(values.seeds) - 1}, ${values.nodes}`,
    faults,
    'seeds in which an invariant broke or views stayed different': [...broken.keys()].join(', ') || 'none',
    'equal views after the last fault, s, median / p99 / max': spread(equalMs),
  })
}
