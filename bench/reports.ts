import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { systemClock, systemFiles } from '../src/platform/index.ts'
import { createTokenIssuer } from '../src/service/coordinator/index.ts'
import type { NodeReport } from '../src/service/index.ts'
import { createAlerts, createEventStore, createLogStore, storeThreads } from '../src/telemetry/coordinator/index.ts'
import { createClusterMetrics, createMetricFiles, createMetricsDashboardService } from '../src/telemetry/index.ts'
import { MACHINE } from '../src/telemetry/metrics/machine-values.ts'
import { readRows } from '../src/telemetry/metrics/metric-record.ts'
import { MemoryStore } from '../test/unit/service/auth/memory-store.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchApi, createBenchNode, needs } from './support/bench-node.ts'

/*
 * What it costs a coordinator that many nodes report what they measured every four seconds: each over its own mutual-TLS
 * channel and the real call path, into the real history, with the alerts' rules evaluated and dashboards open. The coordinator
 * is a process of its own; all nodes are in another.
 *   node --conditions=source bench/reports.ts [--nodes 1000] [--seconds 30] [--services 8] [--pages 0,5]
 */

const EVERY_MS = 4_000

type Order =
  | { part: 'coordinator'; material: TlsMaterial; nodes: number; directory: string }
  | { part: 'nodes'; materials: TlsMaterial[]; port: number; services: number }

const nameOf = (index: number): string => `node-${String(index + 1).padStart(4, '0')}`
const { signal } = new AbortController()

/** All nodes: each opens its channel, then reports every four seconds, at its own moment. */
async function report({ materials, port, services }: Extract<Order, { part: 'nodes' }>): Promise<void> {
  let sent = 0
  let failed = 0
  const start = async (material: TlsMaterial, index: number): Promise<void> => {
    const nodeId = nameOf(index)
    const { identity, peers, membership, manager } = createBenchNode(nodeId, 'worker', material)
    membership.set(identity, [])
    for (const component of [peers, manager]) await component.start(signal)
    membership.set({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, [])
    await peers.open({ nodeId: 'c1', addresses: [`127.0.0.1:${port}`] })
    const send = async (): Promise<void> => {
      const context = {
        caller: { kind: 'node', nodeId, role: 'worker' } as const,
        traceId: '0'.repeat(32),
        deadlineMs: systemClock.nowMs() + 10_000,
      }
      try {
        await manager.call('metrics_dashboard/report_metrics', reportOf(nodeId, services), context, 'c1')
        sent++
      } catch {
        failed++
      }
    }
    setTimeout(() => setInterval(() => void send(), EVERY_MS), (EVERY_MS * index) / materials.length)
  }
  // No port takes a thousand handshakes at once.
  const rest = materials.entries()
  const startRest = async (): Promise<void> => {
    for (const [index, material] of rest) await start(material, index)
  }
  await Promise.all(Array.from({ length: 8 }, startRest))
  process.on('message', () => process.send?.({ sent, failed }))
  process.send?.('ready')
}

/** As a busy node tells of itself. */
function reportOf(nodeId: string, services: number): NodeReport {
  const bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, null]
  const service = (): NodeReport['services'][string] => ({
    status: 'running',
    version: '1.4.2',
    wanted: 2,
    running: 2,
    healthy: 2,
    restarts: 0,
    memory_bytes: 50_000_000 + Math.floor(Math.random() * 1_000_000),
    cpu_percent: Math.random() * 20,
    calls: 400,
    errors: 1,
    durations: bounds.map((bound) => [bound, Math.floor(Math.random() * 50)]),
  })
  const bytes = { available: 4e9, used: 4e9, total: 8e9, percent: 50 + Math.random() }
  return {
    worker_id: nodeId,
    sent_at: Date.now(),
    seconds: EVERY_MS / 1_000,
    metrics: {
      cpu_percent: Math.random() * 100,
      cpu_count: 8,
      memory: bytes,
      memory_usage_mb: 120,
      disk: { free: 5e10, used: 5e10, total: 1e11, percent: 50 + Math.random() },
      disk_io: { read_bytes: 1e9, write_bytes: 1e9, read_bytes_s: 1e5, write_bytes_s: 1e5 },
      network_io: { bytes_recv: 1e9, bytes_sent: 1e9, rx_bytes_s: 1e6 * Math.random(), tx_bytes_s: 1e6 },
      load_average: [Math.random(), 1, 1],
      process_count: 200,
      loop_lag_ms: Math.random() * 10,
      timestamp: new Date().toISOString(),
    },
    services: Object.fromEntries(Array.from({ length: services }, (_, index) => [`service_${index}`, service()])),
    called_by: Object.fromEntries(Array.from({ length: 10 }, (_, index) => [nameOf(index * 7), 40])),
    certificate: { not_before: Date.now() - 86_400_000, not_after: Date.now() + 60 * 86_400_000 },
  }
}

async function coordinate({ material, nodes, directory }: Extract<Order, { part: 'coordinator' }>): Promise<void> {
  const coordinator = createBenchNode('c1', 'coordinator', material, nodes + 256)
  const { identity, transport, peers, membership, manager } = coordinator
  membership.set(identity, [])
  for (let index = 0; index < nodes; index++) {
    membership.set({ cluster: CLUSTER, role: 'worker', nodeId: nameOf(index) }, [])
  }
  const openThread = storeThreads(new URL('../src/telemetry/logs/thread/main.ts', import.meta.url))
  const logs = createLogStore(
    { ...needs, openThread },
    { directory: join(directory, 'logs'), retentionMs: 86_400_000, bytesMax: 2 ** 30 },
  )
  const timeline = createEventStore({ ...needs, openThread }, { directory: join(directory, 'events') })
  const metrics = createClusterMetrics({ clock: systemClock, membership })
  const metricFiles = createMetricFiles(
    { ...needs, histories: metrics.nodeHistories },
    { directory: join(directory, 'metrics') },
  )
  const store = new MemoryStore()
  const alerts = createAlerts(
    { ...needs, store, membership, attention: () => metrics.attention(), logs, recorder: timeline, senders: [] },
    { cluster: CLUSTER },
  )
  manager.register(
    createMetricsDashboardService(
      { clock: systemClock, calls: manager, metrics, nodeId: 'c1' },
      { softwareVersion: '3.0.0' },
    ),
  )
  const tokenIssuer = createTokenIssuer({ ...needs, store }, { cluster: CLUSTER })
  const api = createBenchApi(coordinator, { logs, timeline, alerts, tokenIssuer, dashboard: metrics })
  for (const component of [transport, peers, logs, timeline, metricFiles, alerts, manager, tokenIssuer, api]) {
    await component.start(signal)
  }
  await metrics.nodeHistories.restored()
  const credential = await tokenIssuer.ensureOperatorCredential(undefined)
  const { access_token: token } = await tokenIssuer.issue(credential, {
    role: 'viewer',
    record: async () => {},
    ttlS: 3_600,
  })
  const lag = monitorEventLoopDelay({ resolution: 1 })
  lag.enable()
  process.on('message', (told: string) => {
    if (told === 'begin') lag.reset()
    // What is complete is written, as it is once a minute.
    if (told === 'last') void metricFiles.stop().then(() => process.send?.({}))
    if (told === 'last') return
    const { user, system } = process.cpuUsage()
    process.send?.({
      cpuS: (user + system) / 1e6,
      lagP99Ms: Math.max(0, lag.percentile(99) / 1e6 - 1),
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      heapMiB: process.memoryUsage().heapUsed / 2 ** 20,
      historyMiB: metrics.nodeHistories.bytes / 2 ** 20,
      reporting: metrics.stats().active_workers,
    })
  })
  process.send?.({ port: transport.address().port, token })
}

interface Cost {
  cpuS: number
  lagP99Ms: number
  rssMiB: number
  /** Of V8: live objects, and dead ones until they are collected. */
  heapMiB: number
  historyMiB: number
  reporting: number
}

async function ask<T>(child: ChildProcess, question: string): Promise<T> {
  child.send(question)
  return ((await once(child, 'message')) as [T])[0]
}

/** What a coordinator says when it is ready. */
interface Ready {
  port: number
  token: string
}

async function startChild(order: Order): Promise<{ child: ChildProcess; answer: unknown }> {
  const child = fork(import.meta.filename, { execArgv: process.execArgv, serialization: 'advanced' })
  child.send(order)
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the process of the ${order.part} has ended`)))
  ended.catch(() => {})
  return { child, answer: ((await Promise.race([once(child, 'message'), ended])) as [unknown])[0] }
}

async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true })
  const facts = await Promise.all(names.map((name) => stat(join(directory, name))))
  return facts.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0)
}

/** Rows of metrics in the files of a directory. */
async function rowsIn(directory: string): Promise<number> {
  let rows = 0
  for (const name of await readdir(directory)) {
    const file = await systemFiles.open(join(directory, name), 'r')
    await readRows(file, MACHINE.fields, () => void rows++)
    await file.close()
  }
  return rows
}

async function openPages(count: number, { port, token }: Ready): Promise<WebSocket[]> {
  const headers = { authorization: `Bearer ${token}` }
  const pages = Array.from(
    { length: count },
    () => new WebSocket(`wss://127.0.0.1:${port}/ws/dashboard`, { headers, rejectUnauthorized: false }),
  )
  await Promise.all(pages.map((page) => once(page, 'message')))
  return pages
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '1000' },
      seconds: { type: 'string', default: '30' },
      services: { type: 'string', default: '8' },
      pages: { type: 'string', default: '0,5' },
    },
  })
  const nodes = Number(values.nodes)
  const seconds = Number(values.seconds)
  const directory = mkdtempSync(join(tmpdir(), 'p2p-bench-reports-'))
  const authority = await createTestAuthority()
  const material = await authority.issue({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' })
  const materials: TlsMaterial[] = []
  for (let index = 0; index < nodes; index++) {
    materials.push(await authority.issue({ cluster: CLUSTER, role: 'worker', nodeId: nameOf(index) }))
  }
  const coordinator = await startChild({
    part: 'coordinator',
    material,
    nodes,
    directory,
  })
  const ready = coordinator.answer as Ready
  const { port } = ready
  const workers = await startChild({ part: 'nodes', materials, port, services: Number(values.services) })
  console.log(`${nodes} nodes with ${values.services} services each report every ${EVERY_MS / 1_000} s:`)
  try {
    // The first reports make the histories; what is measured is what goes on for ever.
    await pause(2 * EVERY_MS)
    for (const count of values.pages.split(',').map(Number)) {
      const pages = await openPages(count, ready)
      const before = await ask<Cost>(coordinator.child, 'begin')
      const sent = await ask<{ sent: number; failed: number }>(workers.child, '')
      await pause(seconds * 1_000)
      const after = await ask<Cost>(coordinator.child, 'end')
      const now = await ask<{ sent: number; failed: number }>(workers.child, '')
      const reports = now.sent - sent.sent
      const cpuS = after.cpuS - before.cpuS
      console.log(
        `${count} dashboards open, ${seconds} s: ${reports} reports, ${now.failed - sent.failed} failed, ${after.reporting} nodes report; coordinator ${((cpuS / seconds) * 100).toFixed(0)} % of a core (${((cpuS / reports) * 1e6).toFixed(0)} µs a report), event loop late p99 ${after.lagP99Ms.toFixed(1)} ms, ${after.rssMiB.toFixed(0)} MiB of which heap ${after.heapMiB.toFixed(0)}, histories ${after.historyMiB.toFixed(1)}`,
      )
      for (const page of pages) page.terminate()
    }
    await ask(coordinator.child, 'last')
    const metricBytes = await bytesIn(join(directory, 'metrics'))
    const minutes = Math.max(1, await rowsIn(join(directory, 'metrics')))
    const perDay = (metricBytes / minutes) * nodes * (24 * 60 + 24)
    console.log(
      `disk: ${(metricBytes / minutes).toFixed(0)} bytes a node and minute or hour, ${(perDay / 2 ** 20).toFixed(1)} MiB a day, kept 30 hours and 35 days`,
    )
  } finally {
    for (const { child } of [workers, coordinator]) {
      child.kill()
      await once(child, 'exit')
    }
    rmSync(directory, { recursive: true, force: true })
  }
}

if (process.send) {
  process.once('message', (order: Order) => {
    if (order.part === 'coordinator') void coordinate(order)
    else void report(order)
  })
} else await main()
