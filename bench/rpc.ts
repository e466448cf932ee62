import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import type { Principal } from '../src/base/identity.ts'
import { systemClock } from '../src/platform/index.ts'
import { defineService, method, type ServiceManager } from '../src/service/index.ts'
import { z } from '../src/service/sdk/index.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchApi, createBenchNode } from './support/bench-node.ts'
import { openSession } from './support/http2-session.ts'

/*
 * Calls of an inline service with about 200 bytes of JSON in a message: in one node, from node to node (two processes,
 * mutual TLS, the real transport, routing, access, schema), and by POST /rpc (the node's own route, nobody limited)
 * beside a bare node:http2 handler that parses the body and answers the same. CPU time per call is given for both
 * processes: unlike the rates it says something on a machine that has other work.
 *   node --conditions=source bench/rpc.ts [--rounds 5] [--seconds 2]
 *   node --expose-gc --conditions=source bench/rpc.ts --memory 1000000
 */

const TRACE_ID = '0123456789abcdef0123456789abcdef'
const TIMEOUT_MS = 30_000
const PARAMS = { host: 'edge-17.example', tags: ['rack-4', 'ssd', 'eu-west'], text: 'x'.repeat(90), count: 12_345 }
const POST_BODY = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'echo/say', params: PARAMS }))
const JSON_HEADERS = { 'content-type': 'application/json' }

const echo = defineService({
  name: 'echo',
  version: '1.0.0',
  description: 'Answers with its parameters',
  methods: {
    say: method({
      description: 'Answers with its parameters',
      public: true,
      params: z.object({ host: z.string(), tags: z.array(z.string()), text: z.string(), count: z.number() }),
      handler: (params) => params,
    }),
  },
})

interface Ports {
  node: number
  bare: number
}

export interface RpcBenchOptions {
  rounds: number
  secondsPerRound: number
}

export interface RpcBenchRow {
  name: string
  inFlight: number
  /** Calls per second of every round. */
  rates: number[]
  p50Ms: number
  p99Ms: number
  /** Microseconds of processor time per call, of every round: of the calling process and of the called one. */
  clientCpuUs: number[]
  serverCpuUs: number[]
}

function createNode(nodeId: string, material: TlsMaterial, services = [echo]) {
  const node = createBenchNode(nodeId, 'worker', material)
  for (const service of services) node.manager.register(service)
  return { ...node, http: createBenchApi(node) }
}

/** The other process: answers until its parent goes. */
async function serve(material: TlsMaterial): Promise<Ports> {
  const { transport, peers, manager, http } = createNode('server', material)
  const { signal } = new AbortController()
  for (const component of [transport, peers, manager, http]) await component.start(signal)
  process.on('message', () => process.send?.(usage(manager)))
  return { node: transport.address().port, bare: await serveBare(material) }
}

async function serveBare(material: TlsMaterial): Promise<number> {
  const server = createSecureServer({
    cert: material.certificateChainPem,
    key: material.keyPem,
    ca: material.trustPem,
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (headers[':path'] !== '/rpc') return
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const { id, params } = JSON.parse(Buffer.concat(chunks).toString()) as { id: number; params: unknown }
      const body = JSON.stringify({ jsonrpc: '2.0', result: params, id })
      stream.respond({ ':status': 200, ...JSON_HEADERS, 'content-length': Buffer.byteLength(body) })
      stream.end(body)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

interface Usage {
  cpuUs: number
  rssBytes: number
  /** After a garbage collection, where there is `--expose-gc`. */
  heapBytes: number
  openCalls: number
}

/** What this process has used, and how much its tables hold. */
function usage(manager: ServiceManager): Usage {
  const { user, system } = process.cpuUsage()
  const rssBytes = process.memoryUsage.rss()
  globalThis.gc?.()
  const { calling, serving, running, unfinished } = manager.tableSizes()
  const openCalls = calling + serving + running + unfinished
  return { cpuUs: user + system, rssBytes, heapBytes: process.memoryUsage().heapUsed, openCalls }
}

async function usageOf(child: ChildProcess): Promise<Usage> {
  child.send('usage')
  const [answer] = (await once(child, 'message')) as [Usage]
  return answer
}

type Call = () => Promise<unknown>

/** Keeps `inFlight` calls going for a time. */
async function measure(
  call: Call,
  inFlight: number,
  seconds: number,
  latencies: number[],
): Promise<{ count: number; rate: number }> {
  const beginMs = performance.now()
  const endMs = beginMs + seconds * 1_000
  let count = 0
  const caller = async (): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      const sentMs = nowMs
      await call()
      nowMs = performance.now()
      if (count++ % 8 === 0) latencies.push(nowMs - sentMs)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  return { count, rate: count / ((performance.now() - beginMs) / 1_000) }
}

function callBy(node: ReturnType<typeof createNode>): Call {
  const { nodeId, role } = node.identity
  const caller: Principal = { kind: 'node', nodeId, role, service: 'bench' }
  return () =>
    node.manager.call('echo/say', PARAMS, { caller, traceId: TRACE_ID, deadlineMs: systemClock.nowMs() + TIMEOUT_MS })
}

function callByPost(session: ClientHttp2Session): Call {
  return () =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': '/rpc', ...JSON_HEADERS })
      stream.on('error', reject)
      stream.on('response', ({ ':status': status }) => {
        if (status !== 200) reject(new Error(`POST /rpc answered with status ${status}`))
      })
      stream.on('close', () => resolve(undefined))
      stream.resume()
      stream.end(POST_BODY)
    })
}

async function startServer(material: TlsMaterial): Promise<{ child: ChildProcess; ports: Ports }> {
  const execArgv = ['--conditions=source', ...(globalThis.gc ? ['--expose-gc'] : [])]
  const child = fork(import.meta.filename, ['--serve'], { execArgv })
  child.send(material)
  const [ports] = (await once(child, 'message')) as [Ports]
  return { child, ports }
}

interface Pair {
  child: ChildProcess
  ports: Ports
  /** Calls the other one. */
  near: ReturnType<typeof createNode>
  /** Has the service itself. */
  alone: ReturnType<typeof createNode>
  client: TlsMaterial
}

/** Runs `work` with two nodes in two processes, connected, and ends them. */
async function withPair<T>(work: (pair: Pair) => Promise<T>): Promise<T> {
  const authority = await createTestAuthority(CLUSTER)
  const [server, client] = await Promise.all([
    authority.issue({ nodeId: 'server' }),
    authority.issue({ nodeId: 'client' }),
  ])
  const { child, ports } = await startServer(server)
  const near = createNode('client', client, [])
  const alone = createNode('alone', client)
  const { signal } = new AbortController()
  for (const component of [near.peers, near.manager, alone.manager]) await component.start(signal)
  const record = { name: 'echo', version: '1.0.0', description: '', health: 'healthy', methods: ['say'] } as const
  near.membership.set({ cluster: CLUSTER, role: 'worker', nodeId: 'server' }, [{ ...record, methods: ['say'] }])
  await near.peers.open({ nodeId: 'server', addresses: [`127.0.0.1:${ports.node}`] })
  try {
    return await work({ child, ports, near, alone, client })
  } finally {
    await Promise.all([near.manager.stop(), alone.manager.stop()])
    await near.peers.stop()
    child.kill()
    await once(child, 'exit')
  }
}

/** Runs every way in turn, `rounds` times, so that a disturbance of the machine meets all of them. */
export function benchRpc(options: RpcBenchOptions): Promise<RpcBenchRow[]> {
  return withPair(async ({ child, ports, near, alone, client }) => {
    const sessions = await Promise.all([ports.node, ports.bare].map((port) => openSession(port, client)))
    const ways = [
      { name: 'in one node', inFlight: 1, call: callBy(alone) },
      ...[1, 64, 256].map((inFlight) => ({ name: 'node to node', inFlight, call: callBy(near) })),
      { name: 'POST /rpc', inFlight: 64, call: callByPost(sessions[0] as ClientHttp2Session) },
      { name: 'POST, bare node:http2', inFlight: 64, call: callByPost(sessions[1] as ClientHttp2Session) },
    ].map(({ call, ...way }) => ({ call, latencies: [] as number[], row: emptyRow(way) }))
    for (const { call, row } of ways) await measure(call, row.inFlight, options.secondsPerRound / 2, [])
    for (let round = 0; round < options.rounds; round++) {
      for (const { call, row, latencies } of ways) {
        const before = [usage(near.manager), await usageOf(child)] as const
        const { count, rate } = await measure(call, row.inFlight, options.secondsPerRound, latencies)
        row.rates.push(rate)
        row.clientCpuUs.push((usage(near.manager).cpuUs - before[0].cpuUs) / count)
        row.serverCpuUs.push(((await usageOf(child)).cpuUs - before[1].cpuUs) / count)
      }
    }
    for (const session of sessions) session.destroy()
    return ways.map(({ row, latencies }) => {
      const sorted = latencies.sort((a, b) => a - b)
      const quantile = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
      return { ...row, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
    })
  })
}

function emptyRow(way: Pick<RpcBenchRow, 'name' | 'inFlight'>): RpcBenchRow {
  return { ...way, rates: [], clientCpuUs: [], serverCpuUs: [], p50Ms: 0, p99Ms: 0 }
}

/** Resident memory of both processes at the start, after a quarter, half and all of the calls, 64 in flight. */
async function printMemory(calls: number): Promise<void> {
  await withPair(async ({ child, near }) => {
    const call = callBy(near)
    let count = 0
    for (const target of [0, calls / 4, calls / 2, calls]) {
      const caller = async (): Promise<void> => {
        while (count++ < target) await call()
      }
      await Promise.all(Array.from({ length: 64 }, caller))
      count = target
      for (const [name, used] of Object.entries({ client: usage(near.manager), server: await usageOf(child) })) {
        const [resident, heap] = [used.rssBytes, used.heapBytes].map((bytes) => (bytes / 2 ** 20).toFixed(1))
        console.log(
          `${target} calls, ${name}: ${resident} MiB resident, ${heap} MiB heap, ${used.openCalls} open calls`,
        )
      }
    }
  })
}

/** `median (least–most)` */
function spread(values: number[], digits: number): string {
  const sorted = values.toSorted((a, b) => a - b)
  const [least, middle, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((value) =>
    (value ?? 0).toFixed(digits),
  )
  return `${middle} (${least}–${most})`
}

function print(rows: RpcBenchRow[]): void {
  for (const { name, inFlight, rates, p50Ms, p99Ms, clientCpuUs, serverCpuUs } of rows) {
    console.log(
      `${name}, ${inFlight} in flight: ${spread(rates, 0)} calls/s, n=${rates.length}, p50 ${p50Ms.toFixed(3)} ms, p99 ${p99Ms.toFixed(3)} ms`,
    )
    console.log(`    CPU per call: client ${spread(clientCpuUs, 1)} µs, server ${spread(serverCpuUs, 1)} µs`)
  }
  const [route, bare] = rows.slice(-2) as [RpcBenchRow, RpcBenchRow]
  const ratios = route.rates.map((rate, round) => rate / (bare.rates[round] as number))
  console.log(`POST /rpc / bare node:http2, of each round: ${spread(ratios, 2)}`)
}

if (process.argv.includes('--serve')) {
  const [material] = (await once(process, 'message')) as [TlsMaterial]
  process.send?.(await serve(material))
} else if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      memory: { type: 'string' },
    },
  })
  if (values.memory !== undefined) await printMemory(Number(values.memory))
  else print(await benchRpc({ rounds: Number(values.rounds), secondsPerRound: Number(values.seconds) }))
}
