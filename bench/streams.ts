import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import type { Principal } from '../src/base/identity.ts'
import { systemClock } from '../src/platform/index.ts'
import { defineService, method } from '../src/service/index.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchNode } from './support/bench-node.ts'

/*
 * A method that streams from node to node: two processes, mutual TLS, the real transport; items of bytes, and small JSON
 * objects. Beside it, in the same rounds, the same bytes over a bare TLS socket with the same certificates.
 *   node --conditions=source bench/streams.ts [--rounds 5] [--megabytes 256]
 */

const TRACE_ID = '0123456789abcdef0123456789abcdef'
const MEGABYTE = 1_000_000
/** For each megabyte of bytes, so that a round of either takes about as long. */
const OBJECTS_PER_MEGABYTE = 500

export interface StreamsBenchOptions {
  rounds: number
  /** Of bytes, in each round and way. */
  megabytes: number
}

export interface StreamsBenchRow {
  name: string
  /** Per second, of every round. */
  rates: number[]
  unit: 'MB/s' | 'items/s'
  /** Milliseconds of processor time per unit (MB, or 1,000 items): of the reading process and of the writing one. */
  readerCpuMs: number[]
  writerCpuMs: number[]
}

const source = defineService({
  name: 'source',
  version: '1.0.0',
  description: 'Streams',
  methods: {
    bytes: method({
      description: 'Streams so many items of so many bytes',
      public: true,
      stream: true,
      async *handler({ items, bytes }) {
        const item = Buffer.alloc(bytes as number, 7)
        for (let i = 0; i < (items as number); i++) yield item
      },
    }),
    objects: method({
      description: 'Streams so many small objects',
      public: true,
      stream: true,
      async *handler({ items }) {
        for (let i = 0; i < (items as number); i++) yield { seq: i, host: 'edge-17.example', text: 'x'.repeat(50) }
      },
    }),
  },
})

interface Ports {
  node: number
  bare: number
}

/** The other process: streams until its parent goes. */
async function serve(material: TlsMaterial): Promise<Ports> {
  const { transport, peers, manager } = createBenchNode('server', 'worker', material)
  manager.register(source)
  const { signal } = new AbortController()
  for (const component of [transport, peers, manager]) await component.start(signal)
  process.on('message', () => process.send?.(cpuMs()))
  return { node: transport.address().port, bare: await serveBare(material) }
}

/** Sends as many bytes as the first eight that come say. */
async function serveBare({ certificateChainPem: cert, keyPem: key, trustPem: ca }: TlsMaterial): Promise<number> {
  const chunk = Buffer.alloc(65_536, 7)
  const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.once('data', (ask: Buffer) => {
      let left = Number(ask.readBigUInt64BE())
      const send = (): void => {
        while (left > 0) {
          left -= chunk.length
          if (!socket.write(chunk)) return void socket.once('drain', send)
        }
        socket.end()
      }
      send()
    })
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

async function cpuMsOf(child: ChildProcess): Promise<number> {
  child.send('usage')
  const [answer] = (await once(child, 'message')) as [number]
  return answer
}

async function readBare(port: number, material: TlsMaterial, bytes: number): Promise<void> {
  const socket: TLSSocket = connectTls({
    host: '127.0.0.1',
    port,
    cert: material.certificateChainPem,
    key: material.keyPem,
    ca: material.trustPem,
    checkServerIdentity: () => undefined,
  })
  const ask = Buffer.alloc(8)
  ask.writeBigUInt64BE(BigInt(bytes))
  socket.write(ask)
  let read = 0
  socket.on('data', (chunk: Buffer) => (read += chunk.length))
  await once(socket, 'end')
  socket.destroy()
  if (read < bytes) throw new Error(`the bare socket gave ${read} bytes of ${bytes}`)
}

/** Runs every way in turn, `rounds` times, so that a disturbance of the machine meets all of them. */
export async function benchStreams({ rounds, megabytes }: StreamsBenchOptions): Promise<StreamsBenchRow[]> {
  const authority = await createTestAuthority(CLUSTER)
  const [server, client] = await Promise.all([
    authority.issue({ nodeId: 'server' }),
    authority.issue({ nodeId: 'client' }),
  ])
  const child = fork(import.meta.filename, ['--serve'], { execArgv: ['--conditions=source'] })
  child.send(server)
  const [ports] = (await once(child, 'message')) as [Ports]
  const near = createBenchNode('client', 'worker', client)
  const { signal } = new AbortController()
  for (const component of [near.peers, near.manager]) await component.start(signal)
  const methods = ['bytes', 'objects']
  near.membership.set({ cluster: CLUSTER, role: 'worker', nodeId: 'server' }, [
    { name: 'source', version: '1.0.0', description: '', health: 'healthy', methods },
  ])
  await near.peers.open({ nodeId: 'server', addresses: [`127.0.0.1:${ports.node}`] })

  const caller: Principal = { kind: 'node', nodeId: 'client', role: 'worker', service: 'bench' }
  const read = async (name: string, params: { items: number; bytes?: number }): Promise<void> => {
    const deadlineMs = systemClock.nowMs() + 30_000
    const items = await near.manager.call(name, params, { caller, traceId: TRACE_ID, deadlineMs })
    let count = 0
    for await (const _ of items as AsyncIterable<unknown>) count++
    if (count !== params.items) throw new Error(`${name} gave ${count} items of ${params.items}`)
  }
  const total = megabytes * MEGABYTE
  const objects = megabytes * OBJECTS_PER_MEGABYTE
  const ofBytes = (bytes: number) => ({
    unit: 'MB/s' as const,
    amount: megabytes,
    run: () => read('source/bytes', { items: Math.ceil(total / bytes), bytes }),
  })
  const ways = [
    { name: 'items of 64 KiB', ...ofBytes(65_536) },
    { name: 'items of 16 KiB', ...ofBytes(16_384) },
    { name: 'items of 1 KiB', ...ofBytes(1_024) },
    {
      name: 'JSON objects of 90 bytes',
      unit: 'items/s' as const,
      amount: objects / 1_000,
      run: () => read('source/objects', { items: objects }),
    },
    {
      name: 'bare TLS socket',
      unit: 'MB/s' as const,
      amount: megabytes,
      run: () => readBare(ports.bare, client, total),
    },
  ].map((way) => ({
    ...way,
    row: { name: way.name, unit: way.unit, rates: [], readerCpuMs: [], writerCpuMs: [] } as StreamsBenchRow,
  }))
  try {
    for (const { run } of ways) await run()
    for (let round = 0; round < rounds; round++) {
      for (const { run, row, amount, unit } of ways) {
        const before = [cpuMs(), await cpuMsOf(child)] as const
        const beganMs = performance.now()
        await run()
        const seconds = (performance.now() - beganMs) / 1_000
        row.rates.push((amount / seconds) * (unit === 'MB/s' ? 1 : 1_000))
        row.readerCpuMs.push((cpuMs() - before[0]) / amount)
        row.writerCpuMs.push(((await cpuMsOf(child)) - before[1]) / amount)
      }
    }
    return ways.map(({ row }) => row)
  } finally {
    await near.manager.stop()
    await near.peers.stop()
    child.kill()
    await once(child, 'exit')
  }
}

/** `median (least–most)` */
function spread(values: number[], digits: number): string {
  const sorted = values.toSorted((a, b) => a - b)
  const [least, middle, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((value) =>
    (value ?? 0).toFixed(digits),
  )
  return `${middle} (${least}–${most})`
}

if (process.argv.includes('--serve')) {
  const [material] = (await once(process, 'message')) as [TlsMaterial]
  process.send?.(await serve(material))
} else if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '5' }, megabytes: { type: 'string', default: '256' } },
  })
  const rows = await benchStreams({ rounds: Number(values.rounds), megabytes: Number(values.megabytes) })
  for (const { name, rates, unit, readerCpuMs, writerCpuMs } of rows) {
    const per = unit === 'MB/s' ? 'MB' : '1,000 items'
    console.log(`${name}: ${spread(rates, 0)} ${unit}, n=${rates.length}`)
    console.log(`    CPU per ${per}: reading ${spread(readerCpuMs, 2)} ms, writing ${spread(writerCpuMs, 2)} ms`)
  }
}
