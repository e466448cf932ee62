import { parseArgs } from 'node:util'
import { createSimulatedCluster, type SimulatedCluster } from '../src/testing/index.ts'

/*
 * Membership in simulated clusters, in virtual time: how long until all know of a death, a new node or a changed record, how
 * much a quiet node sends, and what the protocol costs in CPU time of this machine.
 *   node --conditions=source bench/membership.ts [--sizes 3,30,300] [--loss 0,0.1] [--seeds 3] [--minutes 1] [--deaths 1]
 * Ten thousand nodes, ten minutes (some 12 GB, half an hour):
 *   node --max-old-space-size=16000 --conditions=source bench/membership.ts --sizes 10000 --loss 0 --seeds 1 --minutes 6
 */

/** Adaptive intervals and channels need that long to become those of a quiet cluster. */
const SETTLE_MS = 180_000
/** What the harness itself would cost if it asked every node after every event. */
const ASK_EVERY_MS = 20
/** Above so many nodes the cluster has been running when the simulation begins. */
const JOINING_NODES_MAX = 1_000
const KNOWN_MS_MAX = 120_000

export interface MembershipBenchOptions {
  sizes: readonly number[]
  lossRatios: readonly number[]
  /** Runs with seeds 1 to this. */
  seeds: number
  /** The quiet cluster is watched for so long. */
  watchMs: number
  /** Processes killed, and as many machines that vanish, one after the other. */
  deaths: number
  onProgress?: (text: string) => void
}

export interface MembershipBenchRow {
  nodes: number
  lossRatio: number
  /** From the first start to equal views, all nodes starting within a second; one value a seed; empty for very large clusters. */
  joinMs: number[]
  /** A record changed: until every other node had it; one value a seed. */
  changedMs: number[]
  /** Process killed, its connections reset: until every other node knew; one value a node that learned of it. */
  killedMs: number[]
  /** Machine gone without a word. */
  vanishedMs: number[]
  /** One value a death: until the last node knew. */
  killedAllMs: number[]
  vanishedAllMs: number[]
  /** A node killed before is started again: until every other node had it. */
  backMs: number[]
  /** By one node, quiet cluster. */
  bytesPerSecond: number
  framesPerSecond: number
  dialsPerSecond: number
  /** Open at one node. */
  channels: number
  /** Of this machine, for one second of one node, simulated network included. */
  cpuMsPerSecond: number
  /** While the cluster was watched. */
  falseDeaths: number
  suspicions: number
  watchedMs: number
}

export async function runMembershipBench(options: MembershipBenchOptions): Promise<MembershipBenchRow[]> {
  const rows: MembershipBenchRow[] = []
  for (const nodes of options.sizes) {
    for (const lossRatio of options.lossRatios) rows.push(await measure(nodes, lossRatio, options))
  }
  return rows
}

async function measure(nodes: number, lossRatio: number, options: MembershipBenchOptions): Promise<MembershipBenchRow> {
  const { seeds, watchMs, deaths, onProgress: say = () => {} } = options
  const row: MembershipBenchRow = {
    nodes,
    lossRatio,
    joinMs: [],
    changedMs: [],
    killedMs: [],
    vanishedMs: [],
    killedAllMs: [],
    vanishedAllMs: [],
    backMs: [],
    bytesPerSecond: 0,
    framesPerSecond: 0,
    dialsPerSecond: 0,
    channels: 0,
    cpuMsPerSecond: 0,
    falseDeaths: 0,
    suspicions: 0,
    watchedMs: watchMs * seeds,
  }
  const tell = (text: string): void => say(`${nodes} nodes, ${lossRatio * 100} % loss: ${text}`)
  for (let seed = 1; seed <= seeds; seed++) {
    const isEstablished = nodes > JOINING_NODES_MAX
    const cluster = createSimulatedCluster({
      nodes,
      seed,
      exampleServices: 2,
      conditions: { lossRatio },
      isEstablished,
    })
    await cluster.start()
    tell(`seed ${seed} started`)
    const joinMs = await until(cluster, 'equal views', () => cluster.isConverged())
    if (!isEstablished) row.joinMs.push(cluster.clock.nowMs())
    tell(`equal views after ${seconds(joinMs)} s`)
    await cluster.run(SETTLE_MS)
    await measureQuiet(cluster, watchMs, seeds, row)
    tell(`watched: ${row.bytesPerSecond.toFixed(0)} B/s, ${row.falseDeaths} false deaths`)
    row.changedMs.push(await change(cluster, 'n0'))
    for (let death = 0; death < deaths && 2 * death + 3 <= nodes; death++) {
      const [killed, vanished] = [`n${2 * death + 1}`, `n${2 * death + 2}`] as const
      row.killedMs.push(...(await detect(cluster, killed, () => cluster.kill(killed))))
      row.killedAllMs.push(row.killedMs.at(-1) as number)
      row.vanishedMs.push(...(await detect(cluster, vanished, () => cluster.crash(vanished))))
      row.vanishedAllMs.push(row.vanishedMs.at(-1) as number)
      tell(
        `killed known after ${seconds(row.killedAllMs.at(-1))} s, vanished after ${seconds(row.vanishedAllMs.at(-1))} s`,
      )
    }
    cluster.boot('n1')
    row.backMs.push(await until(cluster, 'n1 is back', () => cluster.allSee('n1', 'alive')))
  }
  return row
}

async function measureQuiet(
  cluster: SimulatedCluster,
  watchMs: number,
  seeds: number,
  row: MembershipBenchRow,
): Promise<void> {
  const nodes = cluster.running.length
  const read = () => {
    const stats = cluster.running.map((nodeId) => cluster.gossip(nodeId).stats())
    return {
      bytes: stats.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
      frames: stats.reduce((sum, { framesSent }) => sum + framesSent, 0),
      dials: cluster.network.connections.made,
      changes: cluster.changes.length,
    }
  }
  const before = read()
  const cpu = process.cpuUsage()
  await cluster.run(watchMs)
  const { user, system } = process.cpuUsage(cpu)
  const after = read()
  const share = 1 / ((nodes * watchMs) / 1_000) / seeds
  row.bytesPerSecond += (after.bytes - before.bytes) * share
  row.framesPerSecond += (after.frames - before.frames) * share
  row.dialsPerSecond += (after.dials - before.dials) * share
  row.cpuMsPerSecond += ((user + system) / 1_000) * share
  row.channels += channelsPerNode(cluster) / seeds
  const changes = cluster.changes.slice(before.changes)
  row.falseDeaths += changes.filter(({ status }) => status === 'dead').length
  row.suspicions += changes.filter(({ status, previous }) => status === 'suspect' && previous === 'alive').length
}

function channelsPerNode(cluster: SimulatedCluster): number {
  const open = cluster.running.map((nodeId) => cluster.network.nodeOf(nodeId).peers.list().length)
  return open.reduce((sum, count) => sum + count, 0) / open.length
}

/** Until everybody has the changed record. */
async function change(cluster: SimulatedCluster, nodeId: string): Promise<number> {
  cluster.gossip(nodeId).update({ labels: { changed: 'yes' } })
  return until(cluster, 'the record everywhere', () =>
    cluster.running.every((id) => cluster.gossip(id).get(nodeId)?.record.labels.changed === 'yes'),
  )
}

/** When each of the others learned of it, the last one last. */
async function detect(cluster: SimulatedCluster, nodeId: string, end: () => void): Promise<number[]> {
  const startMs = cluster.clock.nowMs()
  const changes = cluster.changes.length
  end()
  await until(cluster, `${nodeId} dead everywhere`, () => cluster.allSee(nodeId, 'dead'))
  return cluster.changes
    .slice(changes)
    .filter(({ target, status }) => target === nodeId && status === 'dead')
    .map(({ atMs }) => atMs - startMs)
}

function until(cluster: SimulatedCluster, what: string, condition: () => boolean): Promise<number> {
  let askedMs = Number.NEGATIVE_INFINITY
  const ask = (): boolean => {
    if (cluster.clock.nowMs() - askedMs < ASK_EVERY_MS) return false
    askedMs = cluster.clock.nowMs()
    return condition()
  }
  return cluster.runUntil(what, ask, KNOWN_MS_MAX)
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? '–' : (ms / 1_000).toFixed(2)
}

function spread(values: readonly number[]): string {
  return values.length === 0 ? '–' : [0.5, 0.99, 1].map((share) => seconds(quantile(values, share))).join(' / ')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '3,30,300' },
      loss: { type: 'string', default: '0,0.1' },
      seeds: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '1' },
      deaths: { type: 'string', default: '1' },
    },
  })
  const numbers = (text: string): number[] => text.split(',').map(Number)
  const rows = await runMembershipBench({
    sizes: numbers(values.sizes),
    lossRatios: numbers(values.loss),
    seeds: Number(values.seeds),
    watchMs: Number(values.minutes) * 60_000,
    deaths: Number(values.deaths),
    onProgress: (text) => console.error(text),
  })
  console.log(
    `Simulated, seeds 1 to ${values.seeds}; times in seconds of virtual time, median / p99 / max; quiet for ${values.minutes} min`,
  )
  console.table(
    rows.map((row) => ({
      nodes: row.nodes,
      loss: `${row.lossRatio * 100} %`,
      'all joined': spread(row.joinMs),
      'record changed': spread(row.changedMs),
      'killed, each node': spread(row.killedMs),
      'vanished, each node': spread(row.vanishedMs),
      'vanished, all nodes': spread(row.vanishedAllMs),
      back: spread(row.backMs),
    })),
  )
  console.table(
    rows.map((row) => ({
      nodes: row.nodes,
      loss: `${row.lossRatio * 100} %`,
      'B/s per node': row.bytesPerSecond.toFixed(1),
      'frames/s': row.framesPerSecond.toFixed(2),
      'dials/s': row.dialsPerSecond.toFixed(3),
      channels: row.channels.toFixed(1),
      'CPU ms/s': row.cpuMsPerSecond.toFixed(2),
      'false deaths': row.falseDeaths,
      'suspicions, refuted': row.suspicions,
    })),
  )
}
