import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HistoryPoint } from '../../../../src/service/index.ts'
import { type ClusterMetrics, createClusterMetrics, createMetricFiles } from '../../../../src/telemetry/index.ts'
import { SimulatedClock, SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { machineMetrics } from '../../service/http/stub-dashboard.ts'
import { StubMembership } from '../../service/support/node.ts'
import { RememberingLogger } from '../logs/support.ts'

const DIRECTORY = '/data/metrics'
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** A coordinator's machine: its disk outlives the runs of the program. */
function machine(nodes = ['w1', 'w2']) {
  const clock = new SimulatedClock()
  const disk = new SimulatedDisk(new SimulatedRandom(1))
  const log = new RememberingLogger()
  const membership = new StubMembership('c1')
  membership.set({ cluster: 'blue', role: 'coordinator', nodeId: 'c1' }, [])
  for (const nodeId of nodes) membership.set({ cluster: 'blue', role: 'worker', nodeId }, [])
  let reports = 0
  const open = async () => {
    const metrics = createClusterMetrics({ clock, membership })
    const files = createMetricFiles(
      { clock, files: disk, log, histories: metrics.nodeHistories },
      { directory: DIRECTORY },
    )
    await files.start(new AbortController().signal)
    return { metrics, files }
  }
  /** All nodes report, again and again. */
  const report = async (metrics: ClusterMetrics, forMs: number, everyMs = MINUTE_MS): Promise<void> => {
    for (const untilMs = clock.nowMs() + forMs; clock.nowMs() < untilMs; ) {
      for (const nodeId of nodes) {
        const shown = { ...machineMetrics(), cpu_percent: reports++ % 97 }
        metrics.report(nodeId, {
          worker_id: nodeId,
          sent_at: clock.wallMs(),
          seconds: 4,
          metrics: shown,
          services: {},
          called_by: {},
        })
      }
      await clock.run(everyMs)
    }
  }
  return { clock, disk, log, membership, open, report }
}

const cpu = (points: readonly HistoryPoint[] | undefined): [string, number][] =>
  (points ?? []).map(({ timestamp, cpu_percent: percent }) => [timestamp, Math.round(percent)])

test('weeks of graphs are there again after a restart, by minutes and by hours', async () => {
  const { open, report, log } = machine()
  const first = await open()
  await report(first.metrics, 20 * DAY_MS, 10 * MINUTE_MS)
  await report(first.metrics, 3 * HOUR_MS, 4_000)
  await first.files.stop()
  const second = await open()
  for (const range of ['6h', '1d', '30d'] as const) {
    const before = cpu(await first.metrics.history('w1', range, 1_000))
    assert.ok(before.length > 100)
    assert.deepEqual(cpu(await second.metrics.history('w1', range, 1_000)).slice(0, -1), before.slice(0, -1), range)
  }
  assert.equal((await second.metrics.history('w1', '15m', 100))?.length, 0, 'what is kept for minutes only')
  await report(second.metrics, 5 * MINUTE_MS)
  assert.equal((await second.metrics.history('w1', '15m', 100))?.length, 5)
  assert.ok(((await second.metrics.history('w1', '1d', 1_000))?.length ?? 0) > 280)
  assert.deepEqual(log.lines, [])
})

test('a killed program has lost the last minute, and the hour it was in is made of its minutes', async () => {
  const { disk, open, report } = machine()
  const first = await open()
  await report(first.metrics, 2 * HOUR_MS + 30 * MINUTE_MS, 4_000)
  disk.killProcess()
  const second = await open()
  const minutes = async (metrics: ClusterMetrics) => cpu(await metrics.history('w2', '6h', 1_000))
  const [before, after] = [await minutes(first.metrics), await minutes(second.metrics)]
  assert.ok(before.length - after.length <= 2, `${after.length} of ${before.length} minutes`)
  assert.deepEqual(after, before.slice(0, after.length))
  const hours = cpu(await second.metrics.history('w2', '7d', 100))
  assert.equal(hours.length, (await first.metrics.history('w2', '7d', 100))?.length)
})

test('files are as many as are shown, and as large as their rows', async () => {
  const { disk, open, report } = machine()
  const { metrics, files } = await open()
  await report(metrics, 42 * DAY_MS, 10 * MINUTE_MS)
  await files.stop()
  const names = await disk.list(DIRECTORY)
  assert.deepEqual(
    ['minutes', 'hours'].map((kind) => names.filter((name) => name.startsWith(kind)).length),
    [5, 7],
  )
  const bytes = names.reduce((sum, name) => sum + disk.contentOf(`${DIRECTORY}/${name}`).byteLength, 0)
  // Two nodes: 35 days of hours, 30 hours of which every tenth minute has a row.
  assert.ok(bytes < 2 * (35 * 24 + 30 * 6) * 50, `${bytes} bytes`)
})

test('what services were called is there again too', async () => {
  const { clock, disk, membership, log } = machine([])
  const open = async () => {
    const metrics = createClusterMetrics({ clock, membership })
    const files = createMetricFiles(
      { clock, files: disk, log, histories: metrics.serviceHistories },
      { directory: DIRECTORY },
    )
    await files.start(new AbortController().signal)
    return { metrics, files }
  }
  const shop = { status: 'running', version: '1.0.0', wanted: 1, running: 1, healthy: 1, restarts: 0 }
  const first = await open()
  for (let minute = 0; minute < 90; minute++) {
    const calls = minute % 2 === 0 ? { calls: 8, errors: 2, durations: [[10, 8] as [number, number]] } : undefined
    const services = { shop: { ...shop, ...(calls ?? { calls: 0, errors: 0, durations: [] }) } }
    const told = { sent_at: clock.wallMs(), seconds: 4, metrics: machineMetrics(), called_by: {} }
    first.metrics.report('c1', { ...told, worker_id: 'c1', services })
    await clock.run(MINUTE_MS)
  }
  await first.files.stop()
  const second = await open()
  const before = await first.metrics.serviceHistory('shop', '6h', 1_000)
  assert.deepEqual(
    before?.slice(0, 2).map(({ calls_per_s: calls, p99_ms: high }) => [calls, high]),
    [
      [2, 9.9],
      [0, null],
    ],
  )
  assert.deepEqual(await second.metrics.serviceHistory('shop', '6h', 1_000), before)
  assert.deepEqual(log.lines, [])
})

test('a torn end costs what is behind it, and the file goes on', async () => {
  const { disk, open, report } = machine()
  const first = await open()
  await report(first.metrics, HOUR_MS)
  await first.files.stop()
  const [name] = (await disk.list(DIRECTORY)).filter((one) => one.startsWith('minutes'))
  const path = `${DIRECTORY}/${name}`
  const sound = disk.contentOf(path)
  disk.overwrite(path, new Uint8Array([...sound.subarray(0, sound.byteLength - 5), 1, 2, 3]))
  const second = await open()
  const left = (await second.metrics.history('w1', '6h', 1_000))?.length ?? 0
  assert.ok(left >= 58 && left <= 60, `${left} minutes`)
  await report(second.metrics, 10 * MINUTE_MS)
  await second.files.stop()
  assert.ok(((await (await open()).metrics.history('w1', '6h', 1_000))?.length ?? 0) >= left + 9)
})

test('a full disk is said once, nothing is lost to the graphs, and it is written when there is room', async () => {
  const { disk, open, report, log } = machine()
  const first = await open()
  await report(first.metrics, 30 * MINUTE_MS)
  disk.capacityBytes = 0
  await report(first.metrics, 30 * MINUTE_MS)
  assert.deepEqual(log.lines.length, 1)
  disk.capacityBytes = Infinity
  await report(first.metrics, 10 * MINUTE_MS)
  assert.equal(log.lines.length, 2)
  await first.files.stop()
  const before = cpu(await first.metrics.history('w1', '6h', 1_000))
  assert.deepEqual(cpu(await (await open()).metrics.history('w1', '6h', 1_000)).slice(0, -1), before.slice(0, -1))
})

test('what is cleared does not come back, and all else does', async () => {
  const { clock, open, report } = machine()
  const first = await open()
  await report(first.metrics, 2 * HOUR_MS)
  assert.equal(await first.metrics.clear('w1'), 1)
  await clock.run(1)
  await first.files.stop()
  const second = await open()
  assert.equal(await second.metrics.history('w1', '6h', 1_000), undefined)
  assert.ok(((await second.metrics.history('w2', '6h', 1_000))?.length ?? 0) >= 119)
})

test('nodes that left since the restart are shown no more; files of a clock that was ahead are no graphs', async () => {
  const { clock, disk, membership, open, report } = machine()
  const first = await open()
  await report(first.metrics, HOUR_MS)
  await first.files.stop()
  const future = Math.floor((clock.wallMs() + 1_000 * DAY_MS) / (6 * HOUR_MS))
  disk.overwrite(`${DIRECTORY}/minutes-${future}.rows`, new Uint8Array([1, 2, 3]))
  disk.overwrite(`${DIRECTORY}/notes.txt`, new Uint8Array([1]))
  membership.set({ cluster: 'blue', role: 'worker', nodeId: 'w1' }, [], 'left')
  const second = await open()
  assert.equal(await second.metrics.history('w1', '6h', 1_000), undefined)
  assert.ok(((await second.metrics.history('w2', '6h', 1_000))?.length ?? 0) >= 59)
  const names = await disk.list(DIRECTORY)
  assert.deepEqual([names.includes(`minutes-${future}.rows`), names.includes('notes.txt')], [false, true])
})
