import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { silentLogger } from '../src/base/log.ts'
import type { PeerChannel } from '../src/base/peer.ts'
import { systemClock, systemRandom } from '../src/platform/index.ts'
import { createPeers, createTransport } from '../src/transport/index.ts'
import { createTestAuthority, TestCredentials, TestRevocations } from '../test/unit/transport/certificates.ts'
import { openSession } from './support/http2-session.ts'

/*
 * The transport between two processes over mutual TLS: request and answer frames on a peer channel, and POST /rpc
 * through `Transport.route` beside a bare node:http2 handler that answers the same.
 *   node --conditions=source bench/transport.ts [--rounds 20] [--seconds 0.5]
 */

const BODY = Buffer.from(
  JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'system/echo', params: { text: 'x'.repeat(135) } }),
)
const CLUSTER = 'bench'
const ANSWER_HEADERS = { 'content-type': 'application/json' }

interface Ports {
  transport: number
  bare: number
}

export interface BenchRow {
  name: string
  inFlight: number
  /** Calls per second of every round. */
  rates: number[]
  p50Ms: number
  p99Ms: number
}

export interface BenchOptions {
  rounds: number
  secondsPerRound: number
}

function parts(nodeId: string, material: TlsMaterial) {
  const needs = {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    credentials: new TestCredentials(material),
    revocations: new TestRevocations(),
  }
  const transport = createTransport(needs, { bindAddress: '127.0.0.1', port: 0, cluster: CLUSTER })
  const peers = createPeers({ ...needs, transport }, { nodeId, cluster: CLUSTER })
  return { transport, peers }
}

/** The other process: answers until its parent goes. */
async function serve(material: TlsMaterial): Promise<Ports> {
  const { transport, peers } = parts('server', material)
  transport.route('POST', '/rpc', async (request) => ({
    status: 200,
    headers: ANSWER_HEADERS,
    body: await request.body(),
  }))
  peers.handle('rpc', (channel, payload) => channel.send('rpc', Buffer.from(payload)))
  const { signal } = new AbortController()
  await transport.start(signal)
  await peers.start(signal)
  const bare = createSecureServer({
    cert: material.certificateChainPem,
    key: material.keyPem,
    ca: material.trustPem,
    requestCert: true,
    rejectUnauthorized: false,
  })
  bare.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (headers[':path'] !== '/rpc') return
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const body = Buffer.concat(chunks)
      stream.respond({ ':status': 200, ...ANSWER_HEADERS, 'content-length': body.length })
      stream.end(body)
    })
  })
  bare.listen(0, '127.0.0.1')
  await once(bare, 'listening')
  return { transport: transport.address().port, bare: (bare.address() as AddressInfo).port }
}

/** Keeps `inFlight` calls going for a time; `call` must call back once per call. */
async function measure(
  call: (done: () => void) => void,
  inFlight: number,
  seconds: number,
  latencies: number[],
): Promise<number> {
  const begin = performance.now()
  const end = begin + seconds * 1_000
  let count = 0
  let open = 0
  await new Promise<void>((resolve) => {
    const next = (): void => {
      open++
      const sentAt = performance.now()
      call(() => {
        open--
        count++
        const now = performance.now()
        if (count % 8 === 0) latencies.push(now - sentAt)
        if (now < end) next()
        else if (open === 0) resolve()
      })
    }
    for (let i = 0; i < inFlight; i++) next()
  })
  return count / ((performance.now() - begin) / 1_000)
}

function callByChannel(channel: PeerChannel, waiting: (() => void)[]): (done: () => void) => void {
  return (done) => {
    waiting.push(done)
    channel.send('rpc', BODY)
  }
}

function callByPost(session: ClientHttp2Session): (done: () => void) => void {
  return (done) => {
    const stream = session.request({ ':method': 'POST', ':path': '/rpc', ...ANSWER_HEADERS })
    stream.resume()
    stream.on('close', done)
    stream.end(BODY)
  }
}

async function startServer(material: TlsMaterial): Promise<{ child: ChildProcess; ports: Ports }> {
  const child = fork(import.meta.filename, ['--serve'], { execArgv: ['--conditions=source'] })
  child.send(material)
  const [ports] = (await once(child, 'message')) as [Ports]
  return { child, ports }
}

/** Runs every way in turn, `rounds` times, so that a disturbance of the machine meets all of them. */
export async function runTransportBench(options: BenchOptions): Promise<BenchRow[]> {
  const authority = await createTestAuthority(CLUSTER)
  const [server, client] = await Promise.all([
    authority.issue({ nodeId: 'server' }),
    authority.issue({ nodeId: 'client' }),
  ])
  const { child, ports } = await startServer(server)
  const { peers } = parts('client', client)
  await peers.start(new AbortController().signal)
  const sessions = await Promise.all([ports.transport, ports.bare].map((port) => openSession(port, client)))
  try {
    const waiting: (() => void)[] = []
    peers.handle('rpc', () => waiting.shift()?.())
    const channel = await peers.open({ nodeId: 'server', addresses: [`127.0.0.1:${ports.transport}`] })
    const byChannel = callByChannel(channel, waiting)
    const ways = [
      { name: 'peer channel, frame and answer', inFlight: 1, call: byChannel },
      { name: 'peer channel, frame and answer', inFlight: 64, call: byChannel },
      { name: 'peer channel, frame and answer', inFlight: 256, call: byChannel },
      { name: 'POST /rpc, Transport.route', inFlight: 64, call: callByPost(sessions[0] as ClientHttp2Session) },
      { name: 'POST /rpc, bare node:http2', inFlight: 64, call: callByPost(sessions[1] as ClientHttp2Session) },
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
    await peers.stop()
    child.kill()
    await once(child, 'exit')
  }
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}

function print(rows: BenchRow[]): void {
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, ${BODY.length} B per message`)
  for (const { name, inFlight, rates, p50Ms, p99Ms } of rows) {
    const [least, middle, most] = [Math.min(...rates), median(rates), Math.max(...rates)].map(Math.round)
    const rate = `${String(middle).padStart(7)}/s (${least}–${most})`
    const latency = `p50 ${p50Ms.toFixed(2)} ms  p99 ${p99Ms.toFixed(2)} ms`
    console.log(`${name.padEnd(32)} ${String(inFlight).padStart(4)} in flight  ${rate}  ${latency}`)
  }
  const [route, bare] = rows.slice(-2) as [BenchRow, BenchRow]
  const ratios = route.rates.map((rate, round) => rate / (bare.rates[round] as number))
  console.log(`Transport.route / bare node:http2, median of rounds: ${median(ratios).toFixed(2)}`)
}

if (process.argv.includes('--serve')) {
  const [material] = (await once(process, 'message')) as [TlsMaterial]
  process.once('disconnect', () => process.exit())
  process.send?.(await serve(material))
} else if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, seconds: { type: 'string', default: '0.5' } },
  })
  print(await runTransportBench({ rounds: Number(values.rounds), secondsPerRound: Number(values.seconds) }))
}
