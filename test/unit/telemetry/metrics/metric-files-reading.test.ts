import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OpenFile, OpenMode } from '../../../../src/base/files.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { type ClusterMetrics, createClusterMetrics, createMetricFiles } from '../../../../src/telemetry/index.ts'
import { encodeRows, RECORD_ROWS_MAX } from '../../../../src/telemetry/metrics/metric-record.ts'
import { SimulatedClock, SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { machineMetrics } from '../../service/http/stub-dashboard.ts'
import { StubMembership } from '../../service/support/node.ts'

const DIRECTORY = '/data/metrics'
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const NODES = ['w1', 'w2']

/** Shows what is read of it, and waits before each read for `gate`. */
class WatchedDisk extends SimulatedDisk {
  gate: Promise<void> = Promise.resolve()
  failsReading = false
  readonly lengths: number[] = []

  override async open(path: string, mode: OpenMode): Promise<OpenFile> {
    if (this.failsReading && mode === 'r') throw new Error('input/output error')
    const file = await super.open(path, mode)
    return {
      ...file,
      read: async (offset, length) => {
        this.lengths.push(length)
        await this.gate
        return file.read(offset, length)
      },
    }
  }

  override readFile(): Promise<Uint8Array> {
    throw new Error('a file is not read whole')
  }
}

function machine() {
  const clock = new SimulatedClock()
  const disk = new WatchedDisk(new SimulatedRandom(1))
  const membership = new StubMembership('c1')
  membership.set({ cluster: 'blue', role: 'coordinator', nodeId: 'c1' }, [])
  for (const nodeId of NODES) membership.set({ cluster: 'blue', role: 'worker', nodeId }, [])
  const open = async () => {
    const metrics = createClusterMetrics({ clock, membership })
    const files = createMetricFiles(
      { clock, files: disk, log: silentLogger, histories: metrics.nodeHistories },
      { directory: DIRECTORY },
    )
    await files.start(new AbortController().signal)
    return { metrics, files }
  }
  const report = (metrics: ClusterMetrics, cpuPercent = 10): void => {
    for (const nodeId of NODES) {
      metrics.report(nodeId, {
        worker_id: nodeId,
        sent_at: clock.wallMs(),
        seconds: 4,
        metrics: { ...machineMetrics(), cpu_percent: cpuPercent },
        services: {},
        called_by: {},
      })
    }
  }
  /** A run of two hours, a report a minute. */
  const fill = async (): Promise<void> => {
    const { metrics, files } = await open()
    for (let minute = 0; minute < 120; minute++) {
      report(metrics)
      await clock.run(MINUTE_MS)
    }
    await files.stop()
    disk.lengths.length = 0
  }
  return { clock, disk, open, report, fill }
}

test('a start reads nothing, nor does a run that ends at once; what is on disk stays', async () => {
  const { disk, open, report, fill } = machine()
  await fill()
  const short = await open()
  report(short.metrics)
  await short.files.stop()
  assert.deepEqual(disk.lengths, [])
  assert.equal((await (await open()).metrics.history('w1', '6h', 1_000))?.length, 120)
})

test('who asks while it is read waits; what is reported meanwhile is seen at once, and behind the past then', async () => {
  const { clock, disk, open, report, fill } = machine()
  await fill()
  const { promise: gate, resolve: letRead } = Promise.withResolvers<void>()
  disk.gate = gate
  const { metrics } = await open()
  report(metrics, 10)
  const answered: string[] = []
  const answers = NODES.map(async (nodeId) => {
    const points = await metrics.history(nodeId, '6h', 1_000)
    answered.push(nodeId)
    return points ?? []
  })
  await clock.run(MINUTE_MS)
  report(metrics, 90)
  assert.ok(disk.lengths.length > 0, 'the first question reads')
  assert.deepEqual(answered, [], 'nobody is told half of it')
  assert.deepEqual(
    metrics.recent('w1', 0, 10).map(({ cpu_percent: percent }) => percent),
    [10, 90],
  )
  letRead()
  for (const points of await Promise.all(answers)) {
    assert.equal(points.length, 122)
    assert.deepEqual(
      points.slice(-2).map(({ cpu_percent: percent }) => percent),
      [10, 90],
    )
  }
  assert.equal((await metrics.history('w1', '15m', 10))?.length, 2)
  const reads = disk.lengths.length
  await metrics.history('w1', '30d', 10)
  assert.equal(disk.lengths.length, reads, 'it is read once')
})

test('nobody needs to ask: it is read before the first is written, which goes behind what was there', async () => {
  const { clock, open, report, fill } = machine()
  await fill()
  const { metrics, files } = await open()
  for (let minute = 0; minute < 5; minute++) {
    report(metrics)
    await clock.run(MINUTE_MS)
  }
  const pasts = [...metrics.nodeHistories.all()].map(([nodeId, history]) => [nodeId, history.rows('minutes', 0).length])
  assert.deepEqual(pasts, [
    ['w1', 125],
    ['w2', 125],
  ])
  await files.stop()
  assert.equal((await (await open()).metrics.history('w2', '6h', 1_000))?.length, 125)
})

test('what is cleared while it is read does not come back', async () => {
  const { clock, disk, open, report, fill } = machine()
  await fill()
  const { promise: gate, resolve: letRead } = Promise.withResolvers<void>()
  disk.gate = gate
  const { metrics, files } = await open()
  report(metrics)
  const cleared = metrics.clear('w1')
  await clock.run(1)
  letRead()
  assert.equal(await cleared, 1)
  assert.deepEqual(await metrics.history('w1', '6h', 1_000), [])
  await files.stop()
  const again = await open()
  assert.equal(await again.metrics.history('w1', '6h', 1_000), undefined)
  assert.ok(((await again.metrics.history('w2', '6h', 1_000))?.length ?? 0) >= 120)
})

test('it is read in pieces of a bounded size, each some thousand rows, however long the file', async () => {
  const { clock, disk } = machine()
  const span = Math.floor(clock.wallMs() / (6 * HOUR_MS))
  const values = [1, 2, 3, 4, 5, 6, 7]
  const longName = 'n'.repeat(63)
  const rows = Array.from({ length: RECORD_ROWS_MAX }, (_, index) => ({ name: `${index}`, timeMs: 1_000, values }))
  const wide = rows.map((row) => ({ ...row, name: longName }))
  const records = [...Array.from({ length: 40 }, () => encodeRows(rows)), encodeRows(wide), encodeRows(wide)]
  disk.overwrite(`${DIRECTORY}/minutes-${span}.rows`, Buffer.concat(records))
  let sinceRead = 0
  let mostAtOnce = 0
  let all = 0
  const { nodeHistories: histories } = createClusterMetrics({ clock, membership: new StubMembership('c1') })
  let read: Parameters<typeof histories.restoreWith>[0] | undefined
  const component = createMetricFiles(
    {
      clock,
      files: disk,
      log: silentLogger,
      histories: {
        kind: histories.kind,
        all: () => histories.all(),
        restored: () => histories.restored(),
        onClear: (listener) => histories.onClear(listener),
        restoreWith: (given) => void (read = given),
      },
    },
    { directory: DIRECTORY },
  )
  await component.start(new AbortController().signal)
  let reads = 0
  await read?.(() => {
    if (disk.lengths.length > reads) sinceRead = 0
    reads = disk.lengths.length
    mostAtOnce = Math.max(mostAtOnce, ++sinceRead)
    all++
  })
  await component.stop()
  assert.equal(all, 42 * RECORD_ROWS_MAX)
  assert.ok(mostAtOnce < 2_000, `${mostAtOnce} rows at once`)
  assert.ok(disk.lengths.every((length) => length <= 64 * 1_024))
})

test('a disk that could not be read once loses nothing of what is on it', async () => {
  const { clock, disk, open, report, fill } = machine()
  await fill()
  disk.failsReading = true
  const blind = await open()
  assert.equal(await blind.metrics.history('w1', '6h', 1_000), undefined)
  for (let minute = 0; minute < 3; minute++) {
    report(blind.metrics)
    await clock.run(MINUTE_MS)
  }
  await blind.files.stop()
  disk.failsReading = false
  assert.equal((await (await open()).metrics.history('w1', '6h', 1_000))?.length, 123)
})
