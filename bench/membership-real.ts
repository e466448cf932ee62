import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { freePort } from '../test/e2e/support/node-process.ts'
import { awaitAll, type RealCluster } from './real-cluster/cluster.ts'
import { createP2pCluster } from './real-cluster/p2p-cluster.ts'
import { cpuMs, residentBytes } from './real-cluster/process-usage.ts'
import { createSerfCluster, isSerfInstalled } from './real-cluster/serf-cluster.ts'
import { countWireBytes } from './real-cluster/wire-bytes.ts'

/*
 * Membership of real nodes on this machine, beside as many agents of serf (LAN profile; Debian package `serf`), both running at
 * the same time and measured in turns: until all know of a killed process (kill -9), of a silent one (SIGSTOP), of one that
 * is there again, and of a changed record; bytes, CPU and memory when quiet. Uses the built program.
 *   node --conditions=source bench/membership-real.ts [--nodes 30] [--rounds 5] [--quiet 60] [--without-serf]
 */

const KNOWN_MS_MAX = 90_000
const SETTLE_MS = 3_000
/** Adaptive intervals need that long to become those of a quiet cluster. */
const CALM_MS = 60_000

export interface RealBenchOptions {
  nodes: number
  /** Of each kind of event, each with another member. */
  rounds: number
  quietMs: number
  /** Before the quiet time. */
  calmMs: number
  /** After an event, so that its rumours are not counted to the next one. */
  settleMs: number
  isBesideSerf: boolean
  /** Told what is going on. */
  onProgress?: (text: string) => void
}

export interface RealBenchRow {
  label: string
  /** From the signal until the last member knew, and until the median one did; one value a round. */
  killedMs: number[]
  killedMedianMs: number[]
  silentMs: number[]
  /** From SIGCONT of the silent one until all have it back. */
  backMs: number[]
  /** From the first member that knew of a process started again to the last one. */
  joinedMs: number[]
  /** From the call that changes the record to the last member that has it. */
  changedMs: number[]
  /** Sent by one member, quiet cluster, with all headers; undefined where it cannot be counted. */
  wireBytesPerSecond: number | undefined
  /** The same as the members count it: messages without TLS and headers. */
  messageBytesPerSecond: number | undefined
  /** Of one core. */
  cpuPercent: number
  /** Of the median member. */
  residentMb: number
  /** Members taken for dead that were not. */
  falseDeaths: number
}

export async function runRealBench(options: RealBenchOptions): Promise<RealBenchRow[]> {
  const { nodes, isBesideSerf, onProgress: say = () => {} } = options
  const ends: (() => unknown)[] = []
  const clusters: RealCluster[] = [createP2pCluster({ after: (end) => ends.push(end) }, await freePorts(nodes))]
  if (isBesideSerf) clusters.push(createSerfCluster(await freePorts(nodes), await freePorts(nodes)))
  const wire = countWireBytes(clusters)
  try {
    for (const cluster of clusters) {
      await cluster.start()
      say(`${cluster.label}: ${nodes} members know each other`)
    }
    const trials = clusters.map(beginTrial)
    for (let round = 0; round < options.rounds; round++) {
      for (const trial of trials) {
        const { cluster, row } = trial
        await measureEvents(trial, cluster.names[1 + (round % (nodes - 1))] as string, options.settleMs)
        say(`${cluster.label}: round ${round + 1}, load ${loadavg()[0]?.toFixed(1)}, ${roundText(row)}`)
      }
    }
    await measureQuiet(trials, wire, options)
    return trials.map(({ row }) => row)
  } finally {
    wire?.close()
    await Promise.all(clusters.map((cluster) => cluster.stop()))
    for (const end of ends.reverse()) await end()
  }
}

async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) ports.push(await freePort())
  return ports
}

function emptyRow(label: string): RealBenchRow {
  return {
    label,
    killedMs: [],
    killedMedianMs: [],
    silentMs: [],
    backMs: [],
    joinedMs: [],
    changedMs: [],
    wireBytesPerSecond: undefined,
    messageBytesPerSecond: undefined,
    cpuPercent: 0,
    residentMb: 0,
    falseDeaths: 0,
  }
}

/** A cluster, and what is found out about it. */
interface Trial {
  cluster: RealCluster
  row: RealBenchRow
  /** Members that were harmed on purpose, and are not back yet. */
  harmed: Set<string>
}

function beginTrial(cluster: RealCluster): Trial {
  const trial: Trial = { cluster, row: emptyRow(cluster.label), harmed: new Set() }
  cluster.onSight(({ subject, sight }) => {
    if (sight === 'failed' && !trial.harmed.has(subject)) trial.row.falseDeaths++
  })
  return trial
}

async function measureEvents({ cluster, row, harmed }: Trial, name: string, settleMs: number): Promise<void> {
  const known = (sight: 'joined' | 'failed' | 'changed'): Promise<number[]> =>
    awaitAll(cluster, name, sight, KNOWN_MS_MAX).then((seenMs) => [...seenMs.values()].sort((a, b) => a - b))

  const changed = known('changed')
  const changeMs = performance.now()
  await cluster.change(name)
  row.changedMs.push(last(await changed) - changeMs)

  harmed.add(name)
  const killed = known('failed')
  const killMs = performance.now()
  process.kill(cluster.pid(name), 'SIGKILL')
  const deadMs = await killed
  row.killedMs.push(last(deadMs) - killMs)
  row.killedMedianMs.push(median(deadMs) - killMs)

  const joined = known('joined')
  await Promise.all([joined, cluster.restart(name)])
  const joinedMs = await joined
  row.joinedMs.push(last(joinedMs) - (joinedMs[0] as number))
  await settle(settleMs)

  const silent = known('failed')
  const stopMs = performance.now()
  process.kill(cluster.pid(name), 'SIGSTOP')
  row.silentMs.push(last(await silent) - stopMs)
  const back = known('joined')
  const continueMs = performance.now()
  process.kill(cluster.pid(name), 'SIGCONT')
  row.backMs.push(last(await back) - continueMs)
  await settle(settleMs)
  harmed.delete(name)
}

async function measureQuiet(
  trials: readonly Trial[],
  wire: ReturnType<typeof countWireBytes>,
  { nodes, quietMs, calmMs, settleMs, onProgress: say = () => {} }: RealBenchOptions,
): Promise<void> {
  say(`quiet for ${(calmMs + quietMs) / 1_000} s`)
  const clusters = trials.map(({ cluster }) => cluster)
  for (const cluster of clusters) cluster.stopWatching()
  await settle(calmMs)
  const countedBefore = await Promise.all(clusters.map((cluster) => cluster.bytesSent()))
  await settle(settleMs)
  const startMs = performance.now()
  const cpuBefore = clusters.map(cpuOf)
  const wireBefore = wire?.read()
  await settle(quietMs)
  const seconds = (performance.now() - startMs) / 1_000
  const wireAfter = wire?.read()
  const cpuAfter = clusters.map(cpuOf)
  const countedAfter = await Promise.all(clusters.map((cluster) => cluster.bytesSent()))
  trials.forEach(({ cluster, row }, index) => {
    const perMember = (after: number | undefined, before: number | undefined): number | undefined =>
      after === undefined || before === undefined ? undefined : (after - before) / nodes / seconds
    row.cpuPercent = ((cpuAfter[index] as number) - (cpuBefore[index] as number)) / nodes / seconds / 10
    row.wireBytesPerSecond = perMember(wireAfter?.get(cluster.label), wireBefore?.get(cluster.label))
    row.messageBytesPerSecond = perMember(countedAfter[index], countedBefore[index])
    row.residentMb = median(
      cluster.names.map((name) => residentBytes(cluster.pid(name)) / 1024 ** 2).sort((a, b) => a - b),
    )
  })
}

function cpuOf(cluster: RealCluster): number {
  return cluster.names.reduce((sum, name) => sum + cpuMs(cluster.pid(name)), 0)
}

function settle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function last(sorted: readonly number[]): number {
  return sorted.at(-1) as number
}

function median(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] as number
}

function seconds(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return [median(sorted), sorted[0] as number, last(sorted)].map((ms) => (ms / 1_000).toFixed(2)).join(' / ')
}

function roundText(row: RealBenchRow): string {
  const columns = {
    killed: row.killedMs,
    joined: row.joinedMs,
    silent: row.silentMs,
    back: row.backMs,
    changed: row.changedMs,
  }
  return Object.entries(columns)
    .map(([name, values]) => `${name} ${(last(values) / 1_000).toFixed(2)}`)
    .join(', ')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '30' },
      rounds: { type: 'string', default: '5' },
      quiet: { type: 'string', default: '60' },
      'without-serf': { type: 'boolean', default: false },
    },
  })
  const isBesideSerf = !values['without-serf'] && isSerfInstalled()
  if (!isBesideSerf) console.log('LEFT OUT: serf (Debian package "serf" is not installed)')
  const rows = await runRealBench({
    nodes: Number(values.nodes),
    rounds: Number(values.rounds),
    quietMs: Number(values.quiet) * 1_000,
    calmMs: CALM_MS,
    settleMs: SETTLE_MS,
    isBesideSerf,
    onProgress: (text) => console.log(text),
  })
  console.log(`${values.nodes} members each; seconds until all know, median / min / max of ${values.rounds} rounds`)
  console.table(
    rows.map((row) => ({
      '': row.label,
      'killed (-9)': seconds(row.killedMs),
      'median member': seconds(row.killedMedianMs),
      'silent (STOP)': seconds(row.silentMs),
      'back (CONT)': seconds(row.backMs),
      'join, first to last': seconds(row.joinedMs),
      'record change': seconds(row.changedMs),
      'false deaths': row.falseDeaths,
    })),
  )
  console.table(
    rows.map((row) => ({
      '': row.label,
      'B/s on the wire': row.wireBytesPerSecond?.toFixed(0) ?? 'not counted (needs nft, as root)',
      'B/s of messages': row.messageBytesPerSecond?.toFixed(0) ?? '',
      'CPU, % of a core': row.cpuPercent.toFixed(2),
      'resident MB': row.residentMb.toFixed(1),
    })),
  )
}
