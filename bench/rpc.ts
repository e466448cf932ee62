import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import type { NodeIdentity, Principal } from '../src/base/identity.ts'
import { silentLogger } from '../src/base/log.ts'
import { systemClock, systemFiles, systemRandom } from '../src/platform/index.ts'
import { createServiceManager, defineService, method } from '../src/service/index.ts'
import { z } from '../src/service/sdk/index.ts'
import { createPeers, createTransport } from '../src/transport/index.ts'
import { StubMembership } from '../test/unit/service/support/node.ts'
import { createTestAuthority, TestCredentials, TestRevocations } from '../test/unit/transport/certificates.ts'

/*
 * Calls of an inline service with about 200 bytes of JSON in a message: in one node, from node to node (two processes,
 * mutual TLS, the real transport, routing, access, schema), and by POST /rpc beside a bare node:http2 handler that
 * parses the body and answers the same.
 *   node --conditions=source bench/rpc.ts [--rounds 5] [--seconds 2]
 */

const CLUSTER = 'bench'
const TRACE_ID = '0123456789abcdef0123456789abcdef'
const TIMEOUT_MS = 30_000
const PARAMS = { host: 'edge-17.example', tags: ['rack-4', 'ssd', 'eu-west'], text: 'x'.repeat(90), count: 12_345 }
const POST_BODY = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'echo/say', params: PARAMS }))
const JSON_HEADERS = { 'content-type': 'application/json' }
const ADMIN: Principal = { kind: 'person', name: 'bench', role: 'admin' }

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
}

function createNode(nodeId: string, material: TlsMaterial, services = [echo]) {
  const identity: NodeIdentity = { cluster: CLUSTER, role: 'worker', nodeId }
  const needs = {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    files: systemFiles,
    credentials: new TestCredentials(material),
    revocations: new TestRevocations(),
  }
  const transport = createTransport(needs, { bindAddress: '127.0.0.1', port: 0, cluster: CLUSTER })
  const peers = createPeers({ ...needs, transport }, { nodeId, cluster: CLUSTER })
  const membership = new StubMembership(nodeId)
  const manager = createServiceManager({ ...needs, membership, peers }, { identity, sdkUrl: '' })
  for (const service of services) manager.register(service)
  return { identity, transport, peers, membership, manager }
}

/** The other process: answers until its parent goes. */
async function serve(material: TlsMaterial): Promise<Ports> {
  const { transport, peers, manager } = createNode('server', material)
  transport.route('POST', '/rpc', async ({ body, signal }) => {
    const deadlineMs = systemClock.nowMs() + TIMEOUT_MS
    const answer = await manager.handleRpc(body, { caller: ADMIN, traceId: TRACE_ID, deadlineMs, signal })
    return { status: answer.status, headers: JSON_HEADERS, ...(answer.body !== undefined && { body: answer.body }) }
  })
  const { signal } = new AbortController()
  for (const component of [transport, peers, manager]) await component.start(signal)
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

type Call = () => Promise<unknown>

/** Keeps `inFlight` calls going for a time. @returns calls per second */
async function measure(call: Call, inFlight: number, seconds: number, latencies: number[]): Promise<number> {
  const beginMs = performance.now()
  const endMs = beginMs + seconds * 1_000
  let count = 0
  const caller = async (): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      const sentMs = nowMs
      await call()
      nowMs = performance.now()
      if (++count % 8 === 0) latencies.push(nowMs - sentMs)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  return count / ((performance.now() - beginMs) / 1_000)
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

async function openSession(port: number, material: TlsMaterial): Promise<ClientHttp2Session> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['h2'],
    cert: material.certificateChainPem,
    key: material.keyPem,
    ca: material.trustPem,
    checkServerIdentity: () => undefined,
  })
  const session = connect('https://127.0.0.1', { createConnection: () => socket })
  await once(session, 'connect')
  return session
}

async function startServer(material: TlsMaterial): Promise<{ child: ChildProcess; ports: Ports }> {
  const child = fork(import.meta.filename, ['--serve'], { execArgv: ['--conditions=source'] })
  child.send(material)
  const [ports] = (await once(child, 'message')) as [Ports]
  return { child, ports }
}

/** Runs every way in turn, `rounds` times, so that a disturbance of the machine meets all of them. */
export async function benchRpc(options: RpcBenchOptions): Promise<RpcBenchRow[]> {
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
  const sessions = await Promise.all([ports.node, ports.bare].map((port) => openSession(port, client)))
  try {
    const ways = [
      { name: 'in one node', inFlight: 1, call: callBy(alone) },
      ...[1, 64, 256].map((inFlight) => ({ name: 'node to node', inFlight, call: callBy(near) })),
      { name: 'POST /rpc', inFlight: 64, call: callByPost(sessions[0] as ClientHttp2Session) },
      { name: 'POST, bare node:http2', inFlight: 64, call: callByPost(sessions[1] as ClientHttp2Session) },
    ].map((way) => ({ ...way, rates: [] as number[], latencies: [] as number[] }))
    for (const way of ways) await measure(way.call, way.inFlight, options.secondsPerRound / 2, [])
    for (let round = 0; round < options.rounds; round++) {
      for (const way of ways) {
        way.rates.push(await measure(way.call, way.inFlight, options.secondsPerRound, way.latencies))
      }
    }
    return ways.map(({ name, inFlight, rates, latencies }) => {
      const sorted = latencies.sort((a, b) => a - b)
      const quantile = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
      return { name, inFlight, rates, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
    })
  } finally {
    for (const session of sessions) session.destroy()
    await Promise.all([near.manager.stop(), alone.manager.stop()])
    await near.peers.stop()
    child.kill()
    await once(child, 'exit')
  }
}

function print(rows: RpcBenchRow[]): void {
  for (const { name, inFlight, rates, p50Ms, p99Ms } of rows) {
    const sorted = rates.toSorted((a, b) => a - b)
    const shown = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((rate) => Math.round(rate ?? 0))
    const latency = `p50 ${p50Ms.toFixed(3)} ms  p99 ${p99Ms.toFixed(3)} ms`
    const calls = `${String(shown[1]).padStart(8)} calls/s (${shown[0]}–${shown[2]}, n=${rates.length})`
    console.log(`${name.padEnd(24)} ${String(inFlight).padStart(4)} in flight ${calls}  ${latency}`)
  }
}

if (process.argv.includes('--serve')) {
  const [material] = (await once(process, 'message')) as [TlsMaterial]
  process.send?.(await serve(material))
} else if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '2' } },
  })
  print(await benchRpc({ rounds: Number(values.rounds), secondsPerRound: Number(values.seconds) }))
}
