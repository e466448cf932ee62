import { parseArgs } from 'node:util'
import { type HostCluster, type Machine, startHostCluster } from '../test/e2e/support/host-cluster.ts'

/*
 * Membership of real nodes on hosts of their own (network namespaces, a subnet and a router leg each, and a VPN between them):
 * the best interface of a host cut and repaired, two halves that cannot hear each other, a fifth of all packets lost in each
 * direction. Needs root on Linux, iproute2 and nftables. Uses the built program.
 *   node --conditions=source bench/membership-hosts.ts [--hosts 8] [--partition 60] [--minutes 10] [--loss 20]
 */

/** Between two calls of one caller. */
const CALL_EVERY_MS = 100
const HEAL_MS_MAX = 120_000

export interface HostsBenchOptions {
  hosts: number
  partitionMs: number
  lossMs: number
  lossPercent: number
  onProgress?: (text: string) => void
}

export interface HostsBenchResult {
  /** Longest time without an answer to calls to a host whose best interface was cut; one value a caller. */
  cutGapsMs: number[]
  /** From the repair until every session with the host was on its best interface again. */
  returnMs: number
  /** From the end of the partition to equal views. */
  healMs: number
  /** While packets were lost: members declared dead, and put under suspicion. */
  falseDeaths: number
  suspicions: number
  calls: number
  callsFailed: number
}

export async function runHostsBench(options: HostsBenchOptions): Promise<HostsBenchResult> {
  const { hosts, onProgress: say = () => {} } = options
  const ends: (() => unknown)[] = []
  try {
    const plans = Array.from({ length: hosts }, (_, n) => ({ eth0: `10.77.${n + 1}.2/24`, wg0: `10.78.0.${n + 2}/24` }))
    const cluster = await startHostCluster({ after: (end) => ends.push(end) }, plans, { hasRouter: true })
    say(`${hosts} hosts know each other`)
    const cut = await measureCut(cluster)
    say(
      `cut: calls answered again after ${seconds(Math.max(...cut.cutGapsMs))} s at most, back on the LAN after ${seconds(cut.returnMs)} s`,
    )
    const healMs = await measurePartition(cluster, options.partitionMs)
    say(`partition of ${options.partitionMs / 1_000} s: equal views ${seconds(healMs)} s after its end`)
    const loss = await measureLoss(cluster, options)
    return { ...cut, healMs, ...loss }
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

async function measureCut(cluster: HostCluster): Promise<Pick<HostsBenchResult, 'cutGapsMs' | 'returnMs'>> {
  const [victim, ...callers] = cluster.machines.slice(1) as [Machine, ...Machine[]]
  await Promise.all(callers.map((caller) => cluster.reaches(caller, victim)))
  const stop = new AbortController()
  const gaps = Promise.all(callers.map((caller) => longestGap(cluster, caller, victim, stop.signal)))
  victim.host.setLink('eth0', 'down')
  await Promise.all(callers.map((caller) => cluster.reaches(caller, victim)))
  stop.abort()
  const cutGapsMs = await gaps
  await cluster.isWhole()
  const repairMs = performance.now()
  victim.host.setLink('eth0', 'up')
  for (const machine of cluster.machines) {
    const isBack = async (): Promise<boolean> =>
      [...(await cluster.sessionsOf(machine))].every(
        ([id, address]) => (machine !== victim && id !== victim.id) || address.startsWith('10.77.'),
      )
    while (!(await isBack())) await settle(CALL_EVERY_MS)
  }
  return { cutGapsMs, returnMs: performance.now() - repairMs }
}

/** Calls all the time, and answers the longest time between two answers. */
async function longestGap(cluster: HostCluster, from: Machine, to: Machine, signal: AbortSignal): Promise<number> {
  let gapMs = 0
  let answeredMs = performance.now()
  while (!signal.aborted) {
    const isAnswered = await cluster.call(from, to).then(
      () => true,
      () => false,
    )
    if (isAnswered) {
      gapMs = Math.max(gapMs, performance.now() - answeredMs)
      answeredMs = performance.now()
    }
    await settle(CALL_EVERY_MS)
  }
  return gapMs
}

async function measurePartition(cluster: HostCluster, partitionMs: number): Promise<number> {
  const { machines } = cluster
  const halves = [machines.filter((_, index) => index % 2 === 0), machines.filter((_, index) => index % 2 === 1)]
  for (const [own, other] of [halves, halves.toReversed()] as [Machine[], Machine[]][]) {
    const strangers = other.flatMap(({ host }) => host.addresses).join(', ')
    for (const { host } of own) host.filter(`ip saddr { ${strangers} } drop`)
  }
  await settle(partitionMs)
  for (const { host } of machines) host.filter()
  const healMs = performance.now()
  await cluster.isWhole({ ms: HEAL_MS_MAX })
  cluster.takeDeaths()
  return performance.now() - healMs
}

async function measureLoss(
  cluster: HostCluster,
  { lossMs, lossPercent, onProgress: say = () => {} }: HostsBenchOptions,
): Promise<Pick<HostsBenchResult, 'falseDeaths' | 'suspicions' | 'calls' | 'callsFailed'>> {
  const { machines } = cluster
  const counts = { falseDeaths: 0, suspicions: 0, calls: 0, callsFailed: 0 }
  const unlisten = machines.map(({ view }) =>
    view.onChange(({ row, before }) => {
      if (row.status === 'suspected' && before?.status === 'alive') counts.suspicions++
    }),
  )
  for (const { host } of machines) host.filter(`numgen random mod 100 < ${lossPercent} drop`)
  const endMs = performance.now() + lossMs
  let reportMs = performance.now() + 60_000
  for (let turn = 0; performance.now() < endMs; turn++) {
    const from = machines[turn % machines.length] as Machine
    const to = machines[(turn + 1 + (turn % (machines.length - 1))) % machines.length] as Machine
    counts.calls++
    await cluster.call(from, to).catch(() => counts.callsFailed++)
    await settle(CALL_EVERY_MS)
    if (performance.now() < reportMs) continue
    counts.falseDeaths += cluster.takeDeaths().length
    say(`${lossPercent} % loss: ${JSON.stringify(counts)}`)
    reportMs += 60_000
  }
  for (const { host } of machines) host.filter()
  for (const end of unlisten) end()
  counts.falseDeaths += cluster.takeDeaths().length
  return counts
}

function settle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      hosts: { type: 'string', default: '8' },
      partition: { type: 'string', default: '60' },
      minutes: { type: 'string', default: '10' },
      loss: { type: 'string', default: '20' },
    },
  })
  const result = await runHostsBench({
    hosts: Number(values.hosts),
    partitionMs: Number(values.partition) * 1_000,
    lossMs: Number(values.minutes) * 60_000,
    lossPercent: Number(values.loss),
    onProgress: (text) => console.log(text),
  })
  const gaps = result.cutGapsMs.toSorted((a, b) => a - b)
  console.table({
    'best interface cut: longest gap of calls, median / max of callers, s': `${seconds(gaps[Math.floor(gaps.length / 2)] as number)} / ${seconds(gaps.at(-1) as number)}`,
    'repaired: all sessions back on it, s': seconds(result.returnMs),
    [`partition of ${values.partition} s: equal views, s`]: seconds(result.healMs),
    [`${values.loss} % loss for ${values.minutes} min: false deaths`]: result.falseDeaths,
    'suspicions, all refuted': result.suspicions,
    'calls meanwhile, given up after 1 s': `${result.calls}, failed ${result.callsFailed}`,
  })
}
