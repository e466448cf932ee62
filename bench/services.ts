import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hostBundle } from '../test/e2e/support/host-bundle.ts'
import { freePort } from '../test/e2e/support/node-process.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { familyOf, statOf } from '../src/service/host/linux-processes.ts'
import type { Round } from './services/driver/measure.ts'
import { MESSAGE } from './services/message.ts'
import type { CrashFacts, NodeFacts, NodeSetup } from './services/node-side.ts'
import { type Side, startSide } from './services/side.ts'

/*
 * Calls between services with about 200 bytes of JSON each way and a schema for the parameters, in every place they can run:
 * in one node; from a node to its own service's process; between two nodes; between service processes of two nodes. Beside
 * them Moleculer over its TCP transporter without TLS, and grpc-js. Streams of bytes beside a bare TLS socket. A service that
 * is killed. Everything between two nodes is TLS 1.3 with certificates of both; each side is a process of its own.
 *   node --conditions=source bench/services.ts [--rounds 5] [--seconds 1] [--only TEXT]
 * With --cpu-prof each process writes a profile when it ends.
 */

const STREAM_ITEM_BYTES = 64 * 1024
const ALL = [1, 64, 256]

export interface ServicesBenchOptions {
  rounds: number
  secondsPerRound: number
  /** Of one stream. */
  streamItems: number
  /** Only ways whose names contain this. */
  only?: string
}

export interface CallRow {
  name: string
  inFlight: number
  /** One value a round. */
  rates: number[]
  p50Ms: number[]
  p99Ms: number[]
  /** Microseconds of processor time per call, of all processes of the benchmark; empty where that cannot be told. */
  cpuUs: number[]
}

export interface ServicesBenchResult {
  calls: CallRow[]
  streams: { name: string; megabytesPerSecond: number[] }[]
  crashes: CrashFacts[]
  /** Bytes, by the name of the process; empty where that cannot be told. */
  resident: Record<string, number>
}

interface Way {
  name: string
  inFlight: readonly number[]
  side: keyof Sides
  /** As the side knows it. */
  way: string
}

const WAYS: readonly Way[] = [
  { name: 'direct call of a function', inFlight: [1], side: 'a', way: 'direct' },
  { name: '(a) inline to inline, one node', inFlight: ALL, side: 'a', way: 'inline, same node' },
  { name: '(b) node to its service process', inFlight: ALL, side: 'a', way: 'own process' },
  { name: '(c) process to process, two nodes', inFlight: ALL, side: 'a', way: 'process to process' },
  { name: '(d) inline to inline, two nodes', inFlight: ALL, side: 'a', way: 'inline to inline' },
  { name: '(e) Moleculer, TCP without TLS', inFlight: ALL, side: 'moleculer', way: '' },
  { name: '(f) grpc-js, unary', inFlight: ALL, side: 'grpc', way: 'unary' },
  { name: '(f) grpc-js, one stream both ways', inFlight: ALL, side: 'grpc', way: 'both' },
]

const STREAMS = [
  { name: 'inline to inline, two nodes', way: 'inline to inline' },
  { name: 'process to process, two nodes', way: 'process to process' },
  { name: 'bare TLS socket', way: 'bare TLS' },
]

/** Runs every way in turn, `rounds` times, so that a disturbance of the machine meets all of them. */
export function benchServices(options: ServicesBenchOptions): Promise<ServicesBenchResult> {
  const { rounds, secondsPerRound, streamItems, only = '' } = options
  return withSides(async (sides) => {
    const chosen = WAYS.filter(({ name }) => name.includes(only))
    const rows = chosen.flatMap((way) => way.inFlight.map((inFlight) => ({ way, row: emptyRow(way.name, inFlight) })))
    const streams = STREAMS.map((stream) => ({ ...stream, megabytesPerSecond: [] as number[] })).filter(({ name }) =>
      `stream, ${name}`.includes(only),
    )
    const crashes: CrashFacts[] = []
    for (const { way, row } of rows) await measure(sides, way, row, secondsPerRound / 2)
    for (const { row } of rows) Object.assign(row, emptyRow(row.name, row.inFlight))
    for (let round = 0; round < rounds; round++) {
      for (const { way, row } of rows) await measure(sides, way, row, secondsPerRound)
      for (const { way, megabytesPerSecond } of streams) {
        const args = { way, items: streamItems, bytes: STREAM_ITEM_BYTES }
        const seconds = await sides.a.ask<number>('pour', args)
        megabytesPerSecond.push((streamItems * STREAM_ITEM_BYTES) / 1e6 / seconds)
      }
    }
    const resident = await residentBytes(sides)
    if (only === '') for (let round = 0; round < rounds; round++) crashes.push(await sides.a.ask<CrashFacts>('crash'))
    return {
      calls: rows.map(({ row }) => row),
      streams: streams.map(({ name, megabytesPerSecond }) => ({ name, megabytesPerSecond })),
      crashes,
      resident,
    }
  })
}

interface Sides {
  a: Side<NodeFacts>
  b: Side<NodeFacts>
  moleculer: Side<object>
  moleculerCallee: Side<object>
  grpc: Side<object>
  grpcServer: Side<{ port: number }>
}

async function withSides<T>(work: (sides: Sides) => Promise<T>): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'p2p-bench-services-'))
  const started: Side<object>[] = []
  const start = async <Facts extends object>(file: string, setup: object): Promise<Side<Facts>> => {
    const side = await startSide<Facts>(file, setup)
    started.push(side)
    return side
  }
  try {
    const authority = await createTestAuthority('bench')
    const { entry, sdkUrl, directory } = await hostBundle()
    const node = async (nodeId: string, services: string[], other?: NodeSetup['other']) => {
      const servicesDirectory = join(root, nodeId, 'services')
      const stateDirectory = join(root, nodeId, 'state')
      mkdirSync(stateDirectory, { recursive: true })
      for (const service of services) {
        const source = join(import.meta.dirname, 'services', service)
        cpSync(source, join(servicesDirectory, service), { recursive: true })
      }
      const program = { entry, nodeArgs: [], readable: [directory] }
      const material = await authority.issue({ nodeId, cluster: 'bench' })
      const setup: NodeSetup = { nodeId, material, servicesDirectory, stateDirectory, program, sdkUrl }
      return start<NodeFacts>('node-side.ts', { ...setup, ...(other && { other }) })
    }
    const b = await node('b', ['echo'])
    const a = await node('a', ['driver', 'echo'], { nodeId: 'b', ...b.facts })
    const [port, callerPort] = [await freePort(), await freePort()]
    const moleculerCallee = await start('moleculer-side.ts', { nodeID: 'callee', port, callee: undefined })
    const callee = `tcp://127.0.0.1:${port}/callee`
    const moleculer = await start('moleculer-side.ts', { nodeID: 'caller', port: callerPort, callee })
    const [serving, calling] = await Promise.all([
      authority.issue({ nodeId: 'grpc-server', cluster: 'bench' }),
      authority.issue({ nodeId: 'grpc-client', cluster: 'bench' }),
    ])
    const grpcServer = await start<{ port: number }>('grpc-side.ts', { material: serving, port: undefined })
    const grpc = await start('grpc-side.ts', { material: calling, port: grpcServer.facts.port })
    return await work({ a, b, moleculer, moleculerCallee, grpc, grpcServer })
  } finally {
    for (const side of started.reverse()) await side.stop()
    rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function measure(sides: Sides, { side, way }: Way, row: CallRow, seconds: number): Promise<void> {
  const before = await cpuMs(sides)
  const round = await sides[side].ask<Round>('measure', { way, inFlight: row.inFlight, seconds })
  const after = await cpuMs(sides)
  const sorted = round.latencies.sort((x, y) => x - y)
  row.rates.push(round.count / round.seconds)
  row.p50Ms.push(sorted[Math.floor(sorted.length * 0.5)] ?? 0)
  row.p99Ms.push(sorted[Math.floor(sorted.length * 0.99)] ?? 0)
  if (after > 0) row.cpuUs.push(((after - before) * 1_000) / round.count)
}

/** Of all processes of the benchmark but this one; 0 where that cannot be told. */
async function cpuMs(sides: Sides): Promise<number> {
  let total = 0
  for (const { pid } of Object.values(sides)) {
    for (const each of await familyOf(pid)) total += (await statOf(each))?.cpuMs ?? 0
  }
  return total
}

async function residentBytes(sides: Sides): Promise<Record<string, number>> {
  const services = await sides.a.ask<Record<string, number>>('pids')
  const pids = {
    'node a': sides.a.pid,
    'node b': sides.b.pid,
    ...Object.fromEntries(Object.entries(services).map(([name, pid]) => [`service ${name} of node a`, pid])),
    'Moleculer, caller': sides.moleculer.pid,
    'grpc-js, client': sides.grpc.pid,
  }
  const resident: Record<string, number> = {}
  for (const [name, pid] of Object.entries(pids)) {
    const bytes = (await statOf(pid))?.memoryBytes
    if (bytes !== undefined) resident[name] = bytes
  }
  return resident
}

function emptyRow(name: string, inFlight: number): CallRow {
  return { name, inFlight, rates: [], p50Ms: [], p99Ms: [], cpuUs: [] }
}

// ---- Printing ----

function median(values: readonly number[]): number {
  return values.toSorted((x, y) => x - y)[values.length >> 1] ?? 0
}

/** `median (least–most)` */
function spread(values: readonly number[], digits: number): string {
  const shown = [median(values), Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits))
  return `${shown[0]} (${shown[1]}–${shown[2]})`
}

function print({ calls, streams, crashes, resident }: ServicesBenchResult): void {
  for (const { name, inFlight, rates, p50Ms, p99Ms, cpuUs } of calls) {
    const cpu = cpuUs.length > 0 ? `, CPU of all processes ${spread(cpuUs, 1)} µs/call` : ''
    const latency = `p50 ${spread(p50Ms, 3)} ms, p99 ${spread(p99Ms, 3)} ms`
    console.log(`${name}, ${inFlight} in flight: ${spread(rates, 0)} calls/s, ${latency}${cpu}`)
  }
  const ratesOf = (begin: string, inFlight: number): number[] | undefined =>
    calls.find((row) => row.name.startsWith(begin) && row.inFlight === inFlight)?.rates
  for (const inFlight of [64, 256]) {
    const moleculer = ratesOf('(e)', inFlight)
    for (const way of ['(c)', '(d)']) {
      const ratios = moleculer && ratesOf(way, inFlight)?.map((rate, round) => rate / (moleculer[round] as number))
      if (ratios) console.log(`${way} / Moleculer at ${inFlight} in flight, of each round: ${spread(ratios, 2)}`)
    }
  }
  const [direct, local] = [ratesOf('direct', 1), ratesOf('(a)', 1)]
  if (direct && local) {
    const extra = local.map((rate, round) => 1e6 / rate - 1e6 / (direct[round] as number))
    console.log(`A local call to an inline service over a direct one: ${spread(extra, 2)} µs`)
  }
  for (const { name, megabytesPerSecond } of streams) {
    console.log(`stream of 64 KiB items, ${name}: ${spread(megabytesPerSecond, 0)} MB/s`)
  }
  if (crashes.length > 0) {
    const of = (field: keyof CrashFacts): string =>
      spread(
        crashes.map((crash) => crash[field]),
        0,
      )
    console.log(`service process, start to ready: ${of('startMs')} ms; kill -9 to answering again: ${of('crashMs')} ms`)
  }
  for (const [name, bytes] of Object.entries(resident)) {
    console.log(`resident memory after all of it, ${name}: ${(bytes / 2 ** 20).toFixed(0)} MiB`)
  }
}

function git(...args: string[]): string {
  return execFileSync('git', ['-C', import.meta.dirname, ...args], { encoding: 'utf8' }).trim()
}

function printMachine(): void {
  const changes = git('status', '--porcelain', '--', '../src') === '' ? '' : ' with changes'
  const load = loadavg().map((value) => value.toFixed(1))
  console.log(`Commit ${git('rev-parse', '--short', 'HEAD')}${changes}, Node ${process.version}`)
  console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}, load average ${load.join(' ')}`)
  console.log(`${JSON.stringify(MESSAGE).length} bytes of JSON each way`)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      items: { type: 'string', default: '2000' },
      only: { type: 'string', default: '' },
    },
  })
  printMachine()
  print(
    await benchServices({
      rounds: Number(values.rounds),
      secondsPerRound: Number(values.seconds),
      streamItems: Number(values.items),
      only: values.only,
    }),
  )
  console.log(
    `Load average at the end: ${loadavg()
      .map((value) => value.toFixed(1))
      .join(' ')}`,
  )
}
