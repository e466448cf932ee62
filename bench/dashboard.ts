import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import type { TlsMaterial } from '../src/base/credentials.ts'
import type { NodeIdentity, NodeRole } from '../src/base/identity.ts'
import { silentLogger } from '../src/base/log.ts'
import { createLogCollectorService, createLogMemory } from '../src/builtin/index.ts'
import { systemClock, systemFiles, systemRandom } from '../src/platform/index.ts'
import { createAuthenticator, createHttpApi, createServiceManager, createTokenIssuer } from '../src/service/index.ts'
import {
  createClusterMetrics,
  createLogShipper,
  createLogSpool,
  createLogStore,
  storeThreads,
} from '../src/telemetry/index.ts'
import { createPeers, createTransport } from '../src/transport/index.ts'
import { MemoryStore } from '../test/unit/service/auth/memory-store.ts'
import { StubMembership } from '../test/unit/service/support/node.ts'
import { createTestAuthority, TestCredentials, TestRevocations } from '../test/unit/transport/certificates.ts'

/*
 * Log lines from a worker (a process of its own: spool on disk, mutual TLS, the real call path) to dashboards (WebSockets over
 * TLS, all in a third process): from the sink of the worker's logger to the page's message, each line at each page, for several
 * rates and numbers of pages.
 *   node --conditions=source bench/dashboard.ts [--seconds 10] [--rates 1000,10000] [--sockets 1,10,100]
 */

const CLUSTER = 'bench'
const MESSAGE = 'Call of inventory/find took some time on edge-17 with a member that had joined'
const needs = { clock: systemClock, random: systemRandom, log: silentLogger, files: systemFiles }

function createNode(nodeId: string, role: NodeRole, material: TlsMaterial) {
  const identity: NodeIdentity = { cluster: CLUSTER, role, nodeId }
  const tls = { ...needs, credentials: new TestCredentials(material), revocations: new TestRevocations() }
  const transport = createTransport(tls, { bindAddress: '127.0.0.1', port: 0, cluster: CLUSTER })
  const peers = createPeers({ ...tls, transport }, { nodeId, cluster: CLUSTER })
  const membership = new StubMembership(nodeId)
  membership.set(identity, [])
  const manager = createServiceManager({ ...needs, membership, peers }, { identity, sdkUrl: '' })
  return { identity, transport, peers, membership, manager }
}

type Order =
  | { part: 'worker'; material: TlsMaterial; port: number; directory: string }
  | { part: 'pages'; port: number; token: string }

/** A worker that writes lines at the rate it is told. */
async function work({ material, port, directory }: Extract<Order, { part: 'worker' }>): Promise<void> {
  const { peers, membership, manager } = createNode('w1', 'worker', material)
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
  process.on('message', (told: { rate?: number }) => {
    if (told.rate !== undefined) {
      rate = told.rate
      sinceMs = performance.now()
      ofRate = 0
    }
    process.send?.({ written, waiting: spool.stats().waiting })
  })
  process.send?.('ready')
}

/** Opens as many pages as it is told, and says what they got. */
function look({ port, token }: Extract<Order, { part: 'pages' }>): void {
  const headers = { authorization: `Bearer ${token}` }
  let pages: WebSocket[] = []
  let latencies: number[] = []
  let lines = 0
  let closed = 0
  const open = async (): Promise<WebSocket> => {
    const page = new WebSocket(`wss://127.0.0.1:${port}/ws/dashboard`, { headers, rejectUnauthorized: false })
    let isOpened = false
    const opened = new Promise<void>((resolve) => {
      page.on('message', (data: Buffer) => {
        // Read as text: taking a hundred pages' messages apart would measure this process.
        const nowMs = performance.timeOrigin + performance.now()
        const text = data.toString('latin1')
        if (!isOpened && text.startsWith('{"type":"initial"')) {
          isOpened = true
          resolve()
        }
        if (!text.startsWith('{"type":"new_logs"')) return
        for (let at = text.indexOf('"sent":'); at !== -1; at = text.indexOf('"sent":', at + 7)) {
          lines++
          const sentMs = Number(text.slice(at + 7, text.indexOf(',', at)))
          if (lines % pages.length === 0) latencies.push(nowMs - sentMs)
        }
      })
    })
    page.on('close', (code, reason) => {
      // Those that this process gave up are not in the list any more.
      if (!pages.includes(page)) return
      closed++
      console.error(`a page was closed: ${code} ${String(reason)}`)
    })
    page.on('error', (error) => console.error(error.message))
    await opened
    return page
  }
  const reopen = async (sockets: number): Promise<void> => {
    for (const page of pages.splice(0)) page.terminate()
    closed = 0
    pages = await Promise.all(Array.from({ length: sockets }, open))
    latencies = []
    lines = 0
    process.send?.({ lines: 0 })
  }
  process.on('message', ({ sockets }: { sockets?: number }) => {
    if (sockets === undefined) {
      const sorted = latencies.sort((a, b) => a - b)
      process.send?.({
        lines,
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
  lines: number
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

async function measure(
  { worker, pages }: { worker: ChildProcess; pages: ChildProcess },
  { rate, sockets, seconds }: { rate: number; sockets: number; seconds: number },
): Promise<void> {
  await ask(pages, { sockets })
  const { written: before } = await ask<{ written: number }>(worker, { rate })
  const lag = monitorEventLoopDelay({ resolution: 1 })
  lag.enable()
  const cpu = process.cpuUsage()
  await pause(seconds)
  const { user, system } = process.cpuUsage(cpu)
  lag.disable()
  const { written } = await ask<{ written: number }>(worker, { rate: 0 })
  const expected = (written - before) * sockets
  let seen = await ask<Seen>(pages)
  for (let tries = 0; seen.lines < expected && seen.closed === 0 && tries < 200; tries++) {
    await pause(0.05)
    seen = await ask<Seen>(pages)
  }
  const load = (((user + system) / 1e6 / seconds) * 100).toFixed(0)
  console.log(
    `${rate} lines/s, ${sockets} pages, ${seconds} s: p50 ${seen.p50.toFixed(1)} ms, p99 ${seen.p99.toFixed(1)} ms, most ${seen.most.toFixed(1)} ms (n=${seen.samples}); ${expected - seen.lines} of ${expected} missing, ${seen.closed} cut; coordinator ${load} % of a core, event loop late p99 ${(lag.percentile(99) / 1e6 - 1).toFixed(1)} ms, ${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MiB`,
  )
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rates: { type: 'string', default: '1000,10000' },
      sockets: { type: 'string', default: '1,10,100' },
    },
  })
  const numbers = (text: string): number[] => text.split(',').map(Number)
  const directory = mkdtempSync(join(tmpdir(), 'p2p-bench-dashboard-'))
  const authority = await createTestAuthority()
  const { identity, transport, peers, membership, manager } = createNode(
    'c1',
    'coordinator',
    await authority.issue({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }),
  )
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
  const tokenIssuer = createTokenIssuer({ ...needs, store: new MemoryStore() }, { cluster: CLUSTER })
  const authenticator = createAuthenticator(
    { clock: systemClock, tokenKeys: () => [tokenIssuer.publicKeys()] },
    { cluster: () => CLUSTER, securityProfile: 'standard', bindAddress: '127.0.0.1' },
  )
  const api = createHttpApi(
    {
      ...needs,
      transport,
      authenticator,
      membership,
      services: manager,
      serviceMetrics: manager,
      rpc: manager,
      calls: manager,
      nodeControl: { control: async () => {} },
      nodeFacts: () => ({}),
      logs,
      tokenIssuer,
      dashboard: createClusterMetrics({ clock: systemClock, membership }),
    },
    { assetsDirectory: '' },
  )
  const { signal } = new AbortController()
  const components = [transport, peers, logs, manager, tokenIssuer, api]
  for (const component of components) await component.start(signal)
  const { port } = transport.address()
  const credential = await tokenIssuer.ensureOperatorCredential(undefined)
  const { access_token: token } = await tokenIssuer.issue(credential, { role: 'viewer', ttlS: 3_600 })
  const material = await authority.issue({ cluster: CLUSTER, role: 'worker', nodeId: 'w1' })
  const worker = await startChild({ part: 'worker', material, port, directory: join(directory, 'spool') })
  const pages = await startChild({ part: 'pages', port, token })
  console.log(`Lines from ${identity.nodeId}'s worker to WebSockets, three processes on one machine:`)
  try {
    for (const rate of numbers(values.rates)) {
      for (const sockets of numbers(values.sockets)) {
        await measure({ worker, pages }, { rate, sockets, seconds: Number(values.seconds) })
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
