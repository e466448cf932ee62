import { parseArgs } from 'node:util'
import { createSimulatedCluster, type SimulatedCluster } from '../src/testing/index.ts'

/*
 * Membership in simulated clusters, in virtual time: how long until all know of a death, how many bytes a quiet node
 * sends, and what the protocol costs in CPU time of this machine.
 *   node --conditions=source bench/membership.ts [--sizes 3,30,300] [--loss 0,0.1] [--seeds 3]
 */

const SETTLE_MS = 180_000
const MEASURE_MS = 60_000
/** What the harness itself would cost if it asked every node after every event. */
const ASK_EVERY_MS = 20
const DETECTION_MS_MAX = 120_000

export interface MembershipBenchOptions {
  sizes: readonly number[]
  lossRatios: readonly number[]
  /** Runs with seeds 1 to this. */
  seeds: number
}

export interface MembershipBenchRow {
  nodes: number
  lossRatio: number
  /** From the first start to equal views, all nodes starting within a second; one value a seed. */
  joinMs: number[]
  /** Process killed, its connections reset: until every other node knew; one value a node that learned of it. */
  killedMs: number[]
  /** Machine gone without a word. */
  vanishedMs: number[]
  /** Sent by one node, quiet cluster. */
  bytesPerNodeAndSecond: number
  framesPerNodeAndSecond: number
  /** Of this machine, for one second of one node, simulated network included. */
  cpuMsPerNodeAndSecond: number
  falseDeaths: number
}

export async function runMembershipBench(options: MembershipBenchOptions): Promise<MembershipBenchRow[]> {
  const rows: MembershipBenchRow[] = []
  for (const nodes of options.sizes) {
    for (const lossRatio of options.lossRatios) rows.push(await measure(nodes, lossRatio, options.seeds))
  }
  return rows
}

async function measure(nodes: number, lossRatio: number, seeds: number): Promise<MembershipBenchRow> {
  const row: MembershipBenchRow = {
    nodes,
    lossRatio,
    joinMs: [],
    killedMs: [],
    vanishedMs: [],
    bytesPerNodeAndSecond: 0,
    framesPerNodeAndSecond: 0,
    cpuMsPerNodeAndSecond: 0,
    falseDeaths: 0,
  }
  for (let seed = 1; seed <= seeds; seed++) {
    const cluster = createSimulatedCluster({ nodes, seed, services: 2, conditions: { lossRatio } })
    await cluster.start()
    await cluster.runUntil(
      'equal views',
      now(cluster, () => cluster.isConverged()),
      DETECTION_MS_MAX,
    )
    row.joinMs.push(cluster.clock.nowMs())
    await cluster.run(SETTLE_MS)
    const quiet = await measureQuiet(cluster)
    row.bytesPerNodeAndSecond += quiet.bytes / seeds
    row.framesPerNodeAndSecond += quiet.frames / seeds
    row.cpuMsPerNodeAndSecond += quiet.cpuMs / seeds
    row.falseDeaths += cluster.changes.filter(({ status }) => status === 'dead').length
    row.killedMs.push(...(await detect(cluster, 'n1', () => cluster.kill('n1'))))
    if (nodes > 2) row.vanishedMs.push(...(await detect(cluster, 'n2', () => cluster.crash('n2'))))
  }
  return row
}

async function measureQuiet(cluster: SimulatedCluster): Promise<{ bytes: number; frames: number; cpuMs: number }> {
  const sent = (): { bytes: number; frames: number } => {
    const stats = cluster.running.map((nodeId) => cluster.gossip(nodeId).stats())
    return {
      bytes: stats.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
      frames: stats.reduce((sum, { framesSent }) => sum + framesSent, 0),
    }
  }
  const before = sent()
  const cpu = process.cpuUsage()
  await cluster.run(MEASURE_MS)
  const { user, system } = process.cpuUsage(cpu)
  const after = sent()
  const nodeSeconds = (cluster.running.length * MEASURE_MS) / 1_000
  return {
    bytes: (after.bytes - before.bytes) / nodeSeconds,
    frames: (after.frames - before.frames) / nodeSeconds,
    cpuMs: (user + system) / 1_000 / nodeSeconds,
  }
}

/** When each of the others learned of it. */
async function detect(cluster: SimulatedCluster, nodeId: string, end: () => void): Promise<number[]> {
  const startMs = cluster.clock.nowMs()
  end()
  await cluster.runUntil(
    `${nodeId} dead everywhere`,
    now(cluster, () => cluster.allSee(nodeId, 'dead')),
    DETECTION_MS_MAX,
  )
  return cluster.changes
    .filter(({ atMs, target, status }) => target === nodeId && status === 'dead' && atMs >= startMs)
    .map(({ atMs }) => atMs - startMs)
}

function now(cluster: SimulatedCluster, condition: () => boolean): () => boolean {
  let askedMs = Number.NEGATIVE_INFINITY
  return () => {
    if (cluster.clock.nowMs() - askedMs < ASK_EVERY_MS) return false
    askedMs = cluster.clock.nowMs()
    return condition()
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function seconds(values: readonly number[]): string {
  return [0.5, 0.99, 1].map((share) => (quantile(values, share) / 1_000).toFixed(2)).join(' / ')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '3,30,300' },
      loss: { type: 'string', default: '0,0.1' },
      seeds: { type: 'string', default: '3' },
    },
  })
  const numbers = (text: string): number[] => text.split(',').map(Number)
  const rows = await runMembershipBench({
    sizes: numbers(values.sizes),
    lossRatios: numbers(values.loss),
    seeds: Number(values.seeds),
  })
  console.log(
    `Simulated, seeds 1 to ${values.seeds}; times in seconds of virtual time, median / p99 / max over nodes and seeds`,
  )
  console.table(
    rows.map((row) => ({
      nodes: row.nodes,
      loss: `${row.lossRatio * 100} %`,
      'all joined': seconds(row.joinMs),
      'killed known': seconds(row.killedMs),
      'vanished known': seconds(row.vanishedMs),
      'B/s per node': row.bytesPerNodeAndSecond.toFixed(0),
      'frames/s': row.framesPerNodeAndSecond.toFixed(2),
      'CPU ms/s': row.cpuMsPerNodeAndSecond.toFixed(2),
      'false deaths': row.falseDeaths,
    })),
  )
}
