import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { systemClock } from '../src/platform/index.ts'
import { createTokenIssuer } from '../src/service/coordinator/index.ts'
import { SOCKET_LIMITS } from '../src/service/http/websocket/dashboard-sockets.ts'
import { createLogStore, storeThreads } from '../src/telemetry/coordinator/index.ts'
import { createClusterMetrics } from '../src/telemetry/index.ts'
import { MemoryStore } from '../test/unit/service/auth/memory-store.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchApi, createBenchNode, needs } from './support/bench-node.ts'

/*
 * Thousands of dashboards of one coordinator: how long it takes until all are open over TLS and have been greeted, what the
 * coordinator's process takes then, and how long it is from a log line that is stored until all of them have it. The limit on
 * open dashboards is lifted for it. `--bare` measures the same pages on an HTTPS server with the WebSocket library alone, which
 * greets with nothing and stores nothing. All pages are in a second process.
 *   node --conditions=source bench/sockets.ts [--sockets 10000] [--lines 5] [--seconds 120] [--bare]
 */

/** Handshakes under way at a time. */
const OPENING_MAX = 100
/** A line that not all have by then is not waited for. */
const LINE_MS_MAX = 30_000

/** Whom the pages are of. */
interface Server {
  url: string
  token: string
  /** Tells all pages of a line with this text. */
  tell(text: string): Promise<void>
  stop(): Promise<void>
}

type Order = { url: string; token: string; sockets: number; seconds: number } | { await: string }

interface Opened {
  open: number
  /** How many were refused, by reason. */
  refusals: ReadonlyMap<string, number>
  seconds: number
}

interface Received {
  /** Unix milliseconds, in order; of all pages that have it. */
  times: number[]
}

/** Opens pages, and says when each has a line. */
function look(): void {
  const pages: WebSocket[] = []
  let awaited = ''
  let times: number[] = []
  let onAll = (): void => {}
  const onMessage = (data: RawData): void => {
    if (awaited === '' || !(data as Buffer).includes(awaited)) return
    times.push(performance.timeOrigin + performance.now())
    if (times.length === pages.length) onAll()
  }
  const open = async ({ url, token, sockets, seconds }: Extract<Order, { url: string }>): Promise<Opened> => {
    const beganMs = performance.now()
    const isLate = (): boolean => performance.now() - beganMs > seconds * 1_000
    const refusals = new Map<string, number>()
    let begun = 0
    const openOnes = async (): Promise<void> => {
      while (begun++ < sockets && !isLate()) {
        const headers = { authorization: `Bearer ${token}` }
        const page = new WebSocket(url, { headers, rejectUnauthorized: false, perMessageDeflate: false })
        try {
          await once(page, 'message')
        } catch (error) {
          refusals.set(String(error), (refusals.get(String(error)) ?? 0) + 1)
          continue
        }
        page.on('error', () => {})
        page.on('message', onMessage)
        pages.push(page)
      }
    }
    await Promise.all(Array.from({ length: OPENING_MAX }, openOnes))
    return { open: pages.length, refusals, seconds: (performance.now() - beganMs) / 1_000 }
  }
  const receive = (text: string): Promise<Received> => {
    awaited = text
    times = []
    return new Promise((resolve) => {
      const limit = setTimeout(() => onAll(), LINE_MS_MAX)
      onAll = () => {
        clearTimeout(limit)
        resolve({ times })
      }
      process.send?.('ready')
    })
  }
  process.on('message', (order: Order) => {
    const done: Promise<Opened | Received> = 'url' in order ? open(order) : receive(order.await)
    void done.then((answer) => process.send?.(answer))
  })
}

async function startCoordinator(sockets: number, directory: string): Promise<Server> {
  Object.assign(SOCKET_LIMITS, { perCaller: sockets, overall: sockets })
  const authority = await createTestAuthority()
  const material = await authority.issue({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' })
  const coordinator = createBenchNode('c1', 'coordinator', material, sockets + 1)
  const { identity, transport, membership, manager } = coordinator
  membership.set(identity, [])
  const logs = createLogStore(
    { ...needs, openThread: storeThreads(new URL('../src/telemetry/logs/thread/main.ts', import.meta.url)) },
    { directory, retentionMs: 86_400_000, bytesMax: 2 ** 30 },
  )
  const tokenIssuer = createTokenIssuer({ ...needs, store: new MemoryStore() }, { cluster: CLUSTER })
  const dashboard = createClusterMetrics({ clock: systemClock, membership })
  const api = createBenchApi(coordinator, { logs, tokenIssuer, dashboard })
  const components = [transport, logs, manager, tokenIssuer, api]
  for (const component of components) await component.start(new AbortController().signal)
  const credential = await tokenIssuer.ensureOperatorCredential(undefined)
  const { access_token: token } = await tokenIssuer.issue(credential, {
    role: 'viewer',
    ttlS: 3_600,
    record: async () => {},
  })
  let first = 1
  return {
    url: `wss://127.0.0.1:${transport.address().port}/ws/dashboard`,
    token,
    async tell(message) {
      const line = { timestamp: Date.now(), level: 'INFO', logger_name: 'Service.bench', message }
      await logs.add('c1', { epoch: '0'.repeat(16), first: first++, lost: 0, sentAtMs: Date.now(), lines: [line] })
    },
    async stop() {
      for (const component of components.toReversed()) await component.stop()
    },
  }
}

async function startBare(): Promise<Server> {
  const authority = await createTestAuthority()
  const material: TlsMaterial = await authority.issue({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' })
  const server = createServer({ key: material.keyPem, cert: material.certificateChainPem })
  const sockets = new WebSocketServer({ server, perMessageDeflate: false })
  sockets.on('connection', (socket) => socket.send('{}'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `wss://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    token: '',
    async tell(text) {
      const message = Buffer.from(JSON.stringify({ type: 'new_logs', logs: [{ message: text }] }))
      for (const socket of sockets.clients) socket.send(message, { binary: false })
    },
    async stop() {
      for (const socket of sockets.clients) socket.terminate()
      server.close()
    },
  }
}

/** The process of the pages, and what it says next. */
class Pages {
  readonly #child: ChildProcess = fork(import.meta.filename, { execArgv: process.execArgv, serialization: 'advanced' })
  readonly #ended = new AbortController()

  constructor() {
    this.#child.once('exit', () => this.#ended.abort(new Error('the process of the pages has ended')))
  }

  async hear<T>(): Promise<T> {
    return ((await once(this.#child, 'message', { signal: this.#ended.signal })) as [T])[0]
  }

  ask<T>(order: Order): Promise<T> {
    this.#child.send(order)
    return this.hear()
  }

  end(): void {
    this.#child.kill()
  }
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sockets: { type: 'string', default: '10000' },
      lines: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '120' },
      bare: { type: 'boolean', default: false },
    },
  })
  const sockets = Number(values.sockets)
  const directory = mkdtempSync(join(tmpdir(), 'p2p-bench-sockets-'))
  const server = values.bare ? await startBare() : await startCoordinator(sockets, directory)
  const pages = new Pages()
  try {
    const emptyBytes = process.memoryUsage.rss()
    const cpu = process.cpuUsage()
    const opened = await pages.ask<Opened>({
      url: server.url,
      token: server.token,
      sockets,
      seconds: Number(values.seconds),
    })
    const { user, system } = process.cpuUsage(cpu)
    console.log(
      `${opened.open} of ${sockets} pages open after ${opened.seconds.toFixed(1)} s, ${((user + system) / 1_000 / opened.open).toFixed(2)} ms of processor time each; the server ${mib(process.memoryUsage.rss())}, without them ${mib(emptyBytes)}`,
    )
    for (const [reason, count] of opened.refusals) console.log(`${count} refused: ${reason}`)
    const all: number[] = []
    for (let line = 1; line <= Number(values.lines); line++) {
      const text = `bench line ${line} of ${values.lines}`
      await pages.ask({ await: text })
      const received = pages.hear<Received>()
      const toldMs = performance.timeOrigin + performance.now()
      await server.tell(text)
      const { times } = await received
      all.push(...times.map((timeMs) => timeMs - toldMs))
    }
    const at = (q: number): string =>
      `${(all.sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * q))] ?? 0).toFixed(0)} ms`
    console.log(`a line to all pages: p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)} (n=${all.length})`)
  } finally {
    pages.end()
    await server.stop()
    rmSync(directory, { recursive: true })
  }
}

if (process.send) look()
else await main()
