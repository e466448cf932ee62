import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import type { LogFilter } from '../src/base/log-line.ts'
import { silentLogger } from '../src/base/log.ts'
import { createLogCollectorService, createLogMemory } from '../src/builtin/index.ts'
import { createLogStore, storeThreads } from '../src/telemetry/coordinator/index.ts'
import { createLogShipper, createLogSpool, type LogStore } from '../src/telemetry/index.ts'
import { createTestAuthority } from '../test/unit/transport/certificates.ts'
import { CLUSTER, createBenchNode, needs } from './support/bench-node.ts'

/*
 * Log lines from workers (processes of their own: spool on disk, mutual TLS, the real call path) to a coordinator's store and
 * a subscriber there: latency at several rates, lines/s that are stored without loss, and questions to a million lines.
 * A line is timed from the sink of the worker's logger to the subscriber, which sees it when it is on disk.
 *   node --conditions=source bench/logs.ts [--seconds 10] [--rates 10,1000,10000] [--flood 50000] [--flood-seconds 60]
 *     [--workers 2] [--search 1000000]
 */

const WORDS =
  'connection refused timeout member joined left suspect vault journal commit gossip exchange worker coordinator request answered failed retry disk full'.split(
    ' ',
  )
const MESSAGE = 'Call of inventory/find took some time on edge-17 with a member that had joined'

interface WorkerOrder {
  nodeId: string
  material: TlsMaterial
  port: number
  directory: string
}

/** A worker: writes lines at the rate it is told, and says how many it has written and had acknowledged. */
async function work({ nodeId, material, port, directory }: WorkerOrder): Promise<void> {
  const { peers, membership, manager } = createBenchNode(nodeId, 'worker', material)
  const spool = createLogSpool({ ...needs, log: () => silentLogger }, { directory, bytesMax: 2 ** 30 })
  await spool.start()
  const { signal } = new AbortController()
  for (const component of [peers, manager]) await component.start(signal)
  membership.set({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, [])
  await peers.open({ nodeId: 'c1', addresses: [`127.0.0.1:${port}`] })
  await createLogShipper({ ...needs, spool, calls: manager, membership }, { nodeId, role: 'worker' }).start(signal)
  let rate = 0
  let since = performance.now()
  let ofRate = 0
  let written = 0
  setInterval(() => {
    const due = Math.min(Math.floor(((performance.now() - since) / 1_000) * rate), ofRate + rate / 20)
    for (; ofRate < due; ofRate++, written++) {
      const fields = { sent: performance.timeOrigin + performance.now(), path: '/api/things/77' }
      spool.sink({ timeMs: Date.now(), level: 'INFO', logger: 'Service.bench', message: MESSAGE, fields })
    }
  }, 1)
  process.on('message', (told: { rate?: number }) => {
    if (told.rate !== undefined) {
      rate = told.rate
      since = performance.now()
      ofRate = 0
    }
    process.send?.({ written, ...spool.stats(), cpuUs: process.cpuUsage().user + process.cpuUsage().system })
  })
  process.send?.('ready')
}

interface Told {
  written: number
  waiting: number
  lost: number
  cpuUs: number
}

async function ask(child: ChildProcess, question: { rate?: number } = {}): Promise<Told> {
  child.send(question)
  return ((await once(child, 'message')) as [Told])[0]
}

const pause = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1_000))

function quantile(sorted: readonly number[], q: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0).toFixed(1)
}

/** Times of the lines that a subscriber gets. */
function latenciesOf(store: LogStore, signal: AbortSignal): { values: number[]; done: Promise<void> } {
  const values: number[] = []
  const read = async (): Promise<void> => {
    for await (const group of store.subscribe({}, { signal })) {
      const nowMs = performance.timeOrigin + performance.now()
      for (const { fieldsJson } of group) values.push(nowMs - Number(/"sent":([\d.]+)/.exec(fieldsJson)?.[1]))
    }
  }
  return { values, done: read() }
}

async function measure(store: LogStore, workers: ChildProcess[], rate: number, seconds: number): Promise<void> {
  const ending = new AbortController()
  const before = await Promise.all(workers.map((worker) => ask(worker, { rate: rate / workers.length })))
  const latencies = latenciesOf(store, ending.signal)
  const lag = monitorEventLoopDelay({ resolution: 1 })
  lag.enable()
  const cpu = process.cpuUsage()
  const stored = store.stats().added
  const beganMs = performance.now()
  await pause(seconds)
  const after = await Promise.all(workers.map((worker) => ask(worker, { rate: 0 })))
  const writtenIn = (performance.now() - beganMs) / 1_000
  lag.disable()
  const { user, system } = process.cpuUsage(cpu)
  const behind = after.reduce((sum, { waiting }) => sum + waiting, 0)
  while ((await Promise.all(workers.map((worker) => ask(worker)))).some(({ waiting }) => waiting > 0)) await pause(0.02)
  const tookS = (performance.now() - beganMs) / 1_000
  ending.abort()
  await latencies.done
  const written = after.reduce((sum, told, i) => sum + told.written - (before[i]?.written ?? 0), 0)
  const workerCpuUs = after.reduce((sum, told, i) => sum + told.cpuUs - (before[i]?.cpuUs ?? 0), 0)
  const missing = written - (store.stats().added - stored)
  const sorted = latencies.values.sort((a, b) => a - b)
  console.log(
    `${rate} lines/s for ${seconds} s: ${(written / writtenIn).toFixed(0)}/s written, ${behind} behind at the end, all ${written} stored after ${tookS.toFixed(1)} s (${(written / tookS).toFixed(0)}/s), ${missing} lost`,
  )
  console.log(
    `    line to subscriber, on disk: p50 ${quantile(sorted, 0.5)} ms, p99 ${quantile(sorted, 0.99)} ms, most ${quantile(sorted, 1)} ms (n=${sorted.length})`,
  )
  console.log(
    `    coordinator: event loop late p50 ${(lag.percentile(50) / 1e6).toFixed(1)} ms, p99 ${(lag.percentile(99) / 1e6).toFixed(1)} ms; processor ${(((user + system) / 1e6 / seconds) * 100).toFixed(0)} % of a core with its threads; workers ${((workerCpuUs / 1e6 / seconds) * 100).toFixed(0)} %`,
  )
}

/** Fills the store up and asks it questions, each three times. */
async function search(store: LogStore, lines: number): Promise<void> {
  const epoch = 'f'.repeat(16)
  const beganMs = performance.now()
  for (let first = 1; first <= lines; first += 2_000) {
    const batch = Array.from({ length: 2_000 }, (_, i) => {
      const n = first + i
      const words = `${WORDS[n % 20]} ${WORDS[(n * 7) % 20]} ${WORDS[(n * 3) % 20]}`
      return {
        timestamp: Date.now(),
        level: n % 997 === 0 ? 'ERROR' : 'INFO',
        logger_name: `Service.s${n % 30}`,
        message: `Call ${n} ${words} took ${n % 997} ms on edge-${n % 200}`,
        fields: `{"path":"/api/${WORDS[n % 20]}/${n % 77}"}`,
      }
    })
    await store.add(`filler-${((first / 2_000) % 5) | 0}`, {
      epoch,
      first,
      lost: 0,
      sentAtMs: Date.now(),
      lines: batch,
    })
  }
  console.log(
    `${lines} lines stored in ${((performance.now() - beganMs) / 1_000).toFixed(1)} s by one writer; questions, ms (first, second, third):`,
  )
  const unindexedMs = performance.now()
  await store.query({ search: 'zzz' }, { limit: 100 })
  console.log(
    `    a word that is nowhere, before the index is complete: ${(performance.now() - unindexedMs).toFixed(0)}`,
  )
  for (let previous = Infinity; ; ) {
    const startMs = performance.now()
    await store.query({ search: 'zzz' }, { limit: 100 })
    const tookMs = performance.now() - startMs
    if (tookMs < 5 && previous < 5) break
    previous = tookMs
    await pause(0.5)
  }
  const questions: Record<string, LogFilter> = {
    'newest 100': {},
    'a frequent word': { search: 'refused' },
    'two words': { search: 'refused edge-17' },
    'a rare number': { search: '123456' },
    'errors and above': { level: 'ERROR' },
    'errors of a node': { level: 'ERROR', nodeId: 'filler-3' },
    'a logger': { logger: 's17' },
    'nothing: no such logger': { logger: 'nobody' },
  }
  for (const [name, filter] of Object.entries(questions)) {
    const times: string[] = []
    let total = 0
    for (let round = 0; round < 3; round++) {
      const startMs = performance.now()
      total = (await store.query(filter, { limit: 100 })).total
      times.push((performance.now() - startMs).toFixed(1))
    }
    console.log(`    ${name}: ${times.join(', ')} (${total} lines)`)
  }
}

async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rates: { type: 'string', default: '10,1000,10000' },
      flood: { type: 'string', default: '50000' },
      'flood-seconds': { type: 'string', default: '60' },
      workers: { type: 'string', default: '2' },
      search: { type: 'string', default: '1000000' },
    },
  })
  const home = mkdtempSync(join(tmpdir(), 'p2p-bench-logs-'))
  const authority = await createTestAuthority(CLUSTER)
  const { signal } = new AbortController()
  const threadUrl = new URL('../src/telemetry/logs/thread/main.ts', import.meta.url)
  const store = createLogStore(
    { ...needs, openThread: storeThreads(threadUrl) },
    { directory: join(home, 'logs'), retentionMs: 86_400_000, bytesMax: 8 * 2 ** 30 },
  )
  const material = await authority.issue({ nodeId: 'c1', role: 'coordinator' })
  const { transport, peers, manager } = createBenchNode('c1', 'coordinator', material)
  const collector = { memory: createLogMemory({ max: 1_000 }), log: silentLogger, store }
  manager.register(createLogCollectorService(collector, { nodeId: 'c1', softwareVersion: '3.0.0' }))
  for (const component of [transport, peers, store, manager]) await component.start(signal)
  const workers: ChildProcess[] = []
  try {
    for (let i = 1; i <= Number(values.workers); i++) {
      const nodeId = `worker-${i}`
      const child = fork(import.meta.filename, ['--work'], { execArgv: ['--conditions=source'] })
      workers.push(child)
      const order: WorkerOrder = {
        nodeId,
        material: await authority.issue({ nodeId }),
        port: transport.address().port,
        directory: join(home, nodeId),
      }
      child.send(order)
      await once(child, 'message')
    }
    const seconds = Number(values.seconds)
    for (const rate of values.rates.split(',').map(Number)) if (rate > 0) await measure(store, workers, rate, seconds)
    if (Number(values.flood) > 0) await measure(store, workers, Number(values.flood), Number(values['flood-seconds']))
    if (Number(values.search) > 0) await search(store, Number(values.search))
  } finally {
    for (const worker of workers) {
      worker.kill()
      if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit')
    }
    for (const component of [manager, peers, transport, store]) await component.stop()
    rmSync(home, { recursive: true, force: true })
  }
}

if (process.argv[2] === '--work') {
  const [order] = (await once(process, 'message')) as [WorkerOrder]
  await work(order)
} else if (import.meta.main) await bench()
