import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { connect, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'
import { constants, inflateRawSync } from 'node:zlib'
import { z } from 'zod'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { silentLogger } from '../src/base/log.ts'
import { createLogCollectorService, createLogMemory } from '../src/builtin/index.ts'
import { systemClock } from '../src/platform/index.ts'
import { createTokenIssuer } from '../src/service/coordinator/index.ts'
import { defineService, method } from '../src/service/index.ts'
import { createLogStore, storeThreads } from '../src/telemetry/coordinator/index.ts'
import { createClusterMetrics, createLogShipper, createLogSpool, type LogStore } from '../src/telemetry/index.ts'
import { MemoryStore } from '../test/unit/service/auth/memory-store.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchApi, createBenchNode, needs } from './support/bench-node.ts'

/*
 * Log lines from a worker (a process of its own: spool on disk, mutual TLS, the real call path) to dashboards (WebSockets over
 * TLS, all in a third process): from the sink of the worker's logger to the page's message, for several rates and numbers of
 * pages, and how long the worker's calls to the coordinator take meanwhile. Every so many messages as there are pages one is
 * taken apart and its lines are timed; that every page has every line in the end is seen by its cursor. Processor time per line
 * is told too: it depends less than times on what else the machine does.
 *   node --conditions=source bench/dashboard.ts [--seconds 10] [--rates 10,1000,10000] [--sockets 1,10,100]
 */

const MESSAGE = 'Call of inventory/find took some time on edge-17 with a member that had joined'

type Order =
  | { part: 'worker'; material: TlsMaterial; port: number; directory: string }
  | { part: 'pages'; port: number; token: string }

/** A worker that writes lines at the rate it is told. */
async function work({ material, port, directory }: Extract<Order, { part: 'worker' }>): Promise<void> {
  const { identity, peers, membership, manager } = createBenchNode('w1', 'worker', material)
  membership.set(identity, [])
  const spool = createLogSpool({ ...needs, log: () => silentLogger }, { directory, bytesMax: 2 ** 30 })
  await spool.start()
  const { signal } = new AbortController()
  for (const component of [peers, manager]) await component.start(signal)
  membership.set({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, [])
  await peers.open({ nodeId: 'c1', addresses: [`127.0.0.1:${port}`] })
  const shipper = createLogShipper({ ...needs, spool, calls: manager, membership }, { nodeId: 'w1', role: 'worker' })
  await shipper.start(signal)
  let rate = 0
  let sinceMs = 0
  let ofRate = 0
  let written = 0
  setInterval(() => {
    const due = Math.min(Math.floor(((performance.now() - sinceMs) / 1_000) * rate), ofRate + rate / 20)
    for (; ofRate < due; ofRate++, written++) {
      const fields = { sent: performance.timeOrigin + performance.now(), path: '/api/things/77' }
      spool.sink({ timeMs: Date.now(), level: 'INFO', logger: 'Service.bench', message: MESSAGE, fields })
    }
  }, 1)
  let calls: number[] = []
  const call = async (): Promise<void> => {
    const beganMs = performance.now()
    const context = {
      caller: { kind: 'node', nodeId: 'w1', role: 'worker' } as const,
      traceId: '0'.repeat(32),
      deadlineMs: systemClock.nowMs() + 30_000,
    }
    await manager.call('bench/answer', {}, context, 'c1')
    calls.push(performance.now() - beganMs)
  }
  setInterval(() => void call(), 10)
  process.on('message', (told: { rate?: number }) => {
    const answer: Worked = { written, waiting: spool.stats().waiting, calls, cpuUs: usOf(process.cpuUsage()) }
    if (told.rate !== undefined) {
      rate = told.rate
      sinceMs = performance.now()
      ofRate = 0
      calls = []
    }
    process.send?.(answer)
  })
  process.send?.('ready')
}

/**
 * One page's end of a WebSocket (RFC 6455, RFC 7692) that takes a message apart only when it is asked to: a hundred browsers
 * have a hundred processors for that, which this one process must not stand in for.
 */
class Page {
  readonly #socket: TLSSocket
  readonly #onMessage: (page: Page, message: () => string) => void
  #rest: Buffer = Buffer.alloc(0)
  #isOpen = false
  #last: (() => string) | undefined
  closed = false

  constructor(
    { port, token }: { port: number; token: string },
    onMessage: (page: Page, message: () => string) => void,
    onClosed: (why: string) => void,
  ) {
    this.#onMessage = onMessage
    this.#socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    const head = [
      'GET /ws/dashboard HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${token}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      'Sec-WebSocket-Extensions: permessage-deflate',
    ]
    this.#socket.write(`${head.join('\r\n')}\r\n\r\n`)
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('error', (error) => onClosed(error.message))
    this.#socket.on('close', () => onClosed('the connection has ended'))
  }

  /** Where the log stands, as the last message tells it. */
  cursor(): number {
    const text = this.#last?.() ?? ''
    return Number(
      /^\{"type":"new_logs"[^[]*"cursor":"(\d+)"|"cursor":"(\d+)"\}$/.exec(text)?.slice(1).find(Boolean) ?? 0,
    )
  }

  end(): void {
    this.closed = true
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    let rest = this.#rest.byteLength > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    if (!this.#isOpen) {
      const end = rest.indexOf('\r\n\r\n')
      if (end === -1) return void (this.#rest = rest)
      this.#isOpen = true
      rest = rest.subarray(end + 4)
    }
    for (;;) {
      const short = (rest[1] ?? 0) & 0x7f
      const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10
      if (rest.byteLength < headerBytes) break
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.byteLength < headerBytes + length) break
      this.#frame(rest[0] as number, rest.subarray(headerBytes, headerBytes + length))
      rest = rest.subarray(headerBytes + length)
    }
    this.#rest = rest
  }

  #frame(first: number, payload: Buffer): void {
    const opcode = first & 0x0f
    // An empty pong, masked as a client's frames are.
    if (opcode === 9) this.#socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]))
    if (opcode !== 1) return
    const isCompressed = (first & 0x40) !== 0
    const message = (): string =>
      (isCompressed ? inflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH }) : payload).toString('latin1')
    this.#last = message
    this.#onMessage(this, message)
  }
}

/** Opens as many pages as it is told, and says what they got. */
function look(server: Extract<Order, { part: 'pages' }>): void {
  let pages: Page[] = []
  let latencies: number[] = []
  let messages = 0
  let closed = 0
  const open = async (): Promise<Page> => {
    const { promise: opened, resolve } = Promise.withResolvers<void>()
    let isOpened = false
    const onMessage = (_page: Page, message: () => string): void => {
      const nowMs = performance.timeOrigin + performance.now()
      if (!isOpened) {
        isOpened = true
        resolve()
      } else if (messages++ % pages.length === 0) {
        const text = message()
        for (let at = text.indexOf('"sent":'); at !== -1; at = text.indexOf('"sent":', at + 7)) {
          latencies.push(nowMs - Number(text.slice(at + 7, text.indexOf(',', at))))
        }
      }
    }
    const page = new Page(server, onMessage, (why) => {
      if (page.closed) return
      page.closed = true
      closed++
      console.error(`a page was closed: ${why}`)
    })
    await opened
    return page
  }
  const reopen = async (sockets: number): Promise<void> => {
    for (const page of pages.splice(0)) page.end()
    closed = 0
    pages = await Promise.all(Array.from({ length: sockets }, open))
    latencies = []
    messages = 0
    process.send?.({ level: 0 })
  }
  process.on('message', ({ sockets, cursor = 0 }: { sockets?: number; cursor?: number }) => {
    if (sockets === undefined) {
      const sorted = latencies.sort((a, b) => a - b)
      process.send?.({
        level: pages.filter((page) => page.cursor() >= cursor).length,
        closed,
        samples: sorted.length,
        p50: at(sorted, 0.5),
        p99: at(sorted, 0.99),
        most: at(sorted, 1),
      })
      return
    }
    void reopen(sockets)
  })
  process.send?.('ready')
}

function at(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
}

interface Seen {
  /** Pages that have every line. */
  level: number
  closed: number
  samples: number
  p50: number
  p99: number
  most: number
}

async function ask<T>(child: ChildProcess, question: object = {}): Promise<T> {
  child.send(question)
  return ((await once(child, 'message')) as [T])[0]
}

async function startChild(order: Order): Promise<ChildProcess> {
  const child = fork(import.meta.filename, { execArgv: process.execArgv, serialization: 'advanced' })
  child.send(order)
  await once(child, 'message')
  return child
}

const pause = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1_000))

interface Worked {
  written: number
  waiting: number
  /** Times of calls to the coordinator, ms. */
  calls: number[]
  /** Of its process so far. */
  cpuUs: number
}

const usOf = ({ user, system }: NodeJS.CpuUsage): number => user + system

/** Times of calls while nothing else is going on. */
async function measureCalls(worker: ChildProcess, seconds: number): Promise<string> {
  await ask(worker, { rate: 0 })
  await pause(seconds)
  const { calls } = await ask<Worked>(worker)
  return callText(calls)
}

function callText(calls: readonly number[]): string {
  const sorted = calls.toSorted((a, b) => a - b)
  return `p50 ${at(sorted, 0.5).toFixed(1)} ms, p99 ${at(sorted, 0.99).toFixed(1)} ms`
}

async function measure(
  { worker, pages, logs }: { worker: ChildProcess; pages: ChildProcess; logs: LogStore },
  { rate, sockets, seconds }: { rate: number; sockets: number; seconds: number },
): Promise<void> {
  await ask(pages, { sockets })
  const before = await ask<Worked>(worker, { rate })
  const lag = monitorEventLoopDelay({ resolution: 1 })
  lag.enable()
  const cpu = process.cpuUsage()
  const loopCpu = process.threadCpuUsage()
  await pause(seconds)
  const cpuUs = usOf(process.cpuUsage(cpu))
  const loopCpuUs = usOf(process.threadCpuUsage(loopCpu))
  lag.disable()
  const { calls, written, cpuUs: workerCpuUs } = await ask<Worked>(worker)
  const lines = written - before.written
  await ask<Worked>(worker, { rate: 0 })
  while ((await ask<Worked>(worker)).waiting > 0) await pause(0.02)
  const cursor = (await logs.query({}, { limit: 1 })).latest
  let seen = await ask<Seen>(pages, { cursor })
  for (let tries = 0; seen.level < sockets && seen.closed === 0 && tries < 200; tries++) {
    await pause(0.05)
    seen = await ask<Seen>(pages, { cursor })
  }
  const perLine = (us: number): string => `${(us / lines).toFixed(1)} µs`
  console.log(
    `${rate} lines/s, ${sockets} pages, ${seconds} s: p50 ${seen.p50.toFixed(1)} ms, p99 ${seen.p99.toFixed(1)} ms, most ${seen.most.toFixed(1)} ms (n=${seen.samples} of ${lines} lines); ${seen.level} of ${sockets} pages have all, ${seen.closed} cut`,
  )
  console.log(
    `    coordinator ${(cpuUs / seconds / 1e4).toFixed(0)} % of a core, ${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MiB; processor time per line: coordinator ${perLine(cpuUs)}, of it event loop ${perLine(loopCpuUs)}; worker ${perLine(workerCpuUs - before.cpuUs)}`,
  )
  console.log(
    `    event loop late p99 ${(lag.percentile(99) / 1e6 - 1).toFixed(1)} ms, most ${(lag.max / 1e6 - 1).toFixed(1)} ms; calls to it meanwhile: ${callText(calls)}`,
  )
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rates: { type: 'string', default: '10,1000,10000' },
      sockets: { type: 'string', default: '1,10,100' },
    },
  })
  const numbers = (text: string): number[] => text.split(',').map(Number)
  const directory = mkdtempSync(join(tmpdir(), 'p2p-bench-dashboard-'))
  const authority = await createTestAuthority()
  const coordinator = createBenchNode(
    'c1',
    'coordinator',
    await authority.issue({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }),
  )
  const { identity, transport, peers, membership, manager } = coordinator
  membership.set(identity, [])
  membership.set({ cluster: CLUSTER, role: 'worker', nodeId: 'w1' }, [])
  const logs = createLogStore(
    { ...needs, openThread: storeThreads(new URL('../src/telemetry/logs/thread/main.ts', import.meta.url)) },
    { directory: join(directory, 'store'), retentionMs: 86_400_000, bytesMax: 2 ** 30 },
  )
  manager.register(
    createLogCollectorService(
      { memory: createLogMemory({ max: 1_000 }), log: silentLogger, store: logs },
      { nodeId: 'c1', softwareVersion: '0' },
    ),
  )
  const answering = method({ description: 'Answers', public: true, params: z.strictObject({}), handler: () => ({}) })
  manager.register(
    defineService({ name: 'bench', version: '1.0.0', description: 'To be called', methods: { answer: answering } }),
  )
  const tokenIssuer = createTokenIssuer({ ...needs, store: new MemoryStore() }, { cluster: CLUSTER })
  const api = createBenchApi(coordinator, {
    logs,
    tokenIssuer,
    dashboard: createClusterMetrics({ clock: systemClock, membership }),
  })
  const { signal } = new AbortController()
  const components = [transport, peers, logs, manager, tokenIssuer, api]
  for (const component of components) await component.start(signal)
  const { port } = transport.address()
  const credential = await tokenIssuer.ensureOperatorCredential(undefined)
  const { access_token: token } = await tokenIssuer.issue(credential, {
    role: 'viewer',
    record: async () => {},
    ttlS: 3_600,
  })
  const material = await authority.issue({ cluster: CLUSTER, role: 'worker', nodeId: 'w1' })
  const worker = await startChild({ part: 'worker', material, port, directory: join(directory, 'spool') })
  const pages = await startChild({ part: 'pages', port, token })
  console.log(`Lines from ${identity.nodeId}'s worker to WebSockets, three processes on one machine:`)
  console.log(`calls of the worker to the coordinator with nothing else: ${await measureCalls(worker, 2)}`)
  try {
    for (const rate of numbers(values.rates)) {
      for (const sockets of numbers(values.sockets)) {
        await measure({ worker, pages, logs }, { rate, sockets, seconds: Number(values.seconds) })
      }
    }
  } finally {
    for (const child of [pages, worker]) {
      child.kill()
      await once(child, 'exit')
    }
    for (const component of components.toReversed()) await component.stop()
    rmSync(directory, { recursive: true })
  }
}

if (process.send) {
  process.once('message', (order: Order) => {
    if (order.part === 'worker') void work(order)
    else look(order)
  })
} else await main()
