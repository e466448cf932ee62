import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { freePort } from '../test/e2e/support/node-process.ts'
import type { HostedNode, Tally, ToProcess } from './real-cluster/membership-process.ts'
import { cpuMs, residentBytes } from './real-cluster/process-usage.ts'
import { createSerfCluster, isSerfInstalled } from './real-cluster/serf-cluster.ts'
import { countWireBytes } from './real-cluster/wire-bytes.ts'

/*
 * What membership costs when nothing happens, by size of the cluster: bytes on the wire and CPU of one node, beside as many
 * agents of serf (LAN profile) at the same time. Every node has a server, TLS sessions, a signed record and a view of its own;
 * several live in one process, since a thousand programs do not fit one machine.
 *   node --conditions=source bench/membership-quiet.ts [--sizes 3,30,300] [--calm 180] [--seconds 60] [--processes 4] [--without-serf]
 */

const CLUSTER = 'bench'
const KNOWN_MS_MAX = 600_000
const ASK_EVERY_MS = 1_000

export interface QuietBenchOptions {
  /** Members of the cluster. */
  nodes: number
  processes: number
  /** Before it is measured: intervals and sessions become those of a quiet cluster. */
  calmMs: number
  quietMs: number
  isBesideSerf: boolean
  onProgress?: (text: string) => void
}

/** Of one member. */
export interface QuietBenchRow {
  label: string
  nodes: number
  /** Sent, with all headers; undefined where it cannot be counted. */
  wireBytesPerSecond: number | undefined
  /** Of one core. */
  cpuPercent: number
  residentMb: number
  /** Undefined for serf, which does not count them. */
  own?: { messageBytesPerSecond: number; framesPerSecond: number; dialsPerSecond: number; channels: number }
}

/** Nodes of P2P Core, some in each of a few processes. */
class HostedNodes {
  readonly label = 'P2P Core'
  readonly ports: readonly number[]
  readonly #count: number
  readonly #processes: ChildProcess[]

  constructor(ports: readonly number[], processes: number) {
    this.ports = ports
    this.#count = ports.length
    const file = new URL('./real-cluster/membership-process.ts', import.meta.url)
    this.#processes = Array.from({ length: Math.min(processes, ports.length) }, () =>
      fork(file, { execArgv: ['--conditions=source'] }),
    )
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid as number)
  }

  /** Resolves when all know all. */
  async start(): Promise<void> {
    const authority = await createTestAuthority(CLUSTER)
    const nodes = await Promise.all(
      this.ports.map(async (port, index): Promise<HostedNode> => {
        const role = index === 0 ? 'coordinator' : 'worker'
        return { nodeId: `n${index}`, role, port, material: await authority.issue({ nodeId: `n${index}`, role }) }
      }),
    )
    await Promise.all(
      this.#processes.map((child, index) => {
        const own = nodes.filter((_, node) => node % this.#processes.length === index)
        return this.#ask(child, { type: 'start', cluster: CLUSTER, seed: `127.0.0.1:${this.ports[0]}`, nodes: own })
      }),
    )
    const endMs = performance.now() + KNOWN_MS_MAX
    while ((await this.tally()).membersMin < this.#count) {
      if (performance.now() > endMs) throw new Error(`${this.#count} nodes did not find each other`)
      await settle(ASK_EVERY_MS)
    }
  }

  async tally(): Promise<Tally> {
    const tallies = await Promise.all(this.#processes.map((child) => this.#ask<Tally>(child, { type: 'ask' })))
    return tallies.reduce((a, b) => ({
      membersMin: Math.min(a.membersMin, b.membersMin),
      messageBytes: a.messageBytes + b.messageBytes,
      frames: a.frames + b.frames,
      dials: a.dials + b.dials,
      channels: a.channels + b.channels,
    }))
  }

  async stop(): Promise<void> {
    for (const child of this.#processes) {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    }
  }

  async #ask<Answer>(child: ChildProcess, message: ToProcess): Promise<Answer> {
    const answer = once(child, 'message')
    child.send(message)
    return (await answer)[0] as Answer
  }
}

export async function runQuietBench({
  nodes,
  processes,
  calmMs,
  quietMs,
  isBesideSerf,
  onProgress: say = () => {},
}: QuietBenchOptions): Promise<QuietBenchRow[]> {
  const hosted = new HostedNodes(await freePorts(nodes), processes)
  const serf = isBesideSerf ? createSerfCluster(await freePorts(nodes), await freePorts(nodes)) : undefined
  const wire = countWireBytes(serf ? [hosted, serf] : [hosted])
  try {
    await hosted.start()
    say(`${nodes} nodes know each other, load ${loadavg()[0]?.toFixed(1)}`)
    await serf?.start()
    await settle(calmMs)
    const startMs = performance.now()
    const read = async () => ({
      tally: await hosted.tally(),
      cpu: hosted.pids.reduce((sum, pid) => sum + cpuMs(pid), 0),
      serfCpu: serf?.names.reduce((sum, name) => sum + cpuMs(serf.pid(name)), 0),
      wire: wire?.read(),
    })
    const before = await read()
    await settle(quietMs)
    const after = await read()
    const each = 1 / nodes / ((performance.now() - startMs) / 1_000)
    const wireOf = (label: string): number | undefined =>
      before.wire && after.wire && ((after.wire.get(label) as number) - (before.wire.get(label) as number)) * each
    say(`${nodes} nodes measured, load ${loadavg()[0]?.toFixed(1)}`)
    const rows: QuietBenchRow[] = [
      {
        label: hosted.label,
        nodes,
        wireBytesPerSecond: wireOf(hosted.label),
        cpuPercent: ((after.cpu - before.cpu) * each) / 10,
        residentMb: hosted.pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / nodes / 2 ** 20,
        own: {
          messageBytesPerSecond: (after.tally.messageBytes - before.tally.messageBytes) * each,
          framesPerSecond: (after.tally.frames - before.tally.frames) * each,
          dialsPerSecond: (after.tally.dials - before.tally.dials) * each,
          channels: after.tally.channels / nodes,
        },
      },
    ]
    if (serf) {
      rows.push({
        label: serf.label,
        nodes,
        wireBytesPerSecond: wireOf(serf.label),
        cpuPercent: (((after.serfCpu as number) - (before.serfCpu as number)) * each) / 10,
        residentMb: serf.names.reduce((sum, name) => sum + residentBytes(serf.pid(name)), 0) / nodes / 2 ** 20,
      })
    }
    return rows
  } finally {
    wire?.close()
    await Promise.all([hosted.stop(), serf?.stop()])
  }
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}

function settle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '3,30,300' },
      calm: { type: 'string', default: '180' },
      seconds: { type: 'string', default: '60' },
      processes: { type: 'string', default: '4' },
      'without-serf': { type: 'boolean', default: false },
    },
  })
  const isBesideSerf = !values['without-serf'] && isSerfInstalled()
  if (!isBesideSerf) console.log('LEFT OUT: serf')
  console.log(`Quiet for ${values.seconds} s after ${values.calm} s; of one member`)
  for (const nodes of values.sizes.split(',').map(Number)) {
    const rows = await runQuietBench({
      nodes,
      processes: Number(values.processes),
      calmMs: Number(values.calm) * 1_000,
      quietMs: Number(values.seconds) * 1_000,
      isBesideSerf,
      onProgress: (text) => console.error(text),
    })
    console.table(
      rows.map(({ own, ...row }) => ({
        '': row.label,
        nodes: row.nodes,
        'B/s on the wire': row.wireBytesPerSecond?.toFixed(0) ?? 'not counted (needs nft, as root)',
        'B/s of messages': own?.messageBytesPerSecond.toFixed(0) ?? '',
        'frames/s': own?.framesPerSecond.toFixed(2) ?? '',
        'dials/s': own?.dialsPerSecond.toFixed(3) ?? '',
        sessions: own?.channels.toFixed(1) ?? '',
        'CPU, % of a core': row.cpuPercent.toFixed(2),
        'resident MB': row.residentMb.toFixed(1),
      })),
    )
  }
}
