import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import type { Files } from '../src/base/files.ts'
import { silentLogger } from '../src/base/log.ts'
import { systemClock, systemFiles } from '../src/platform/index.ts'
import { createClusterMetrics, createMetricFiles } from '../src/telemetry/index.ts'
import { encodeRows, RECORD_ROWS_MAX } from '../src/telemetry/metrics/metric-record.ts'
import { StubMembership } from '../test/unit/service/support/node.ts'

/*
 * What the history of metrics costs a coordinator that starts again: its start itself, then the first question, which reads the
 * hours of 30 days and the minutes of 30 hours of all nodes, and how long the event loop is held meanwhile.
 *   node --conditions=source bench/metric-history.ts [--nodes 200]
 */

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const KINDS = [
  { ring: 'hours', rowMs: HOUR_MS, spanMs: 5 * 24 * HOUR_MS, forMs: 30 * 24 * HOUR_MS },
  { ring: 'minutes', rowMs: MINUTE_MS, spanMs: 6 * HOUR_MS, forMs: 30 * HOUR_MS },
]

const { values: options } = parseArgs({ options: { nodes: { type: 'string', default: '200' } } })
const nodes = Array.from({ length: Number(options.nodes) }, (_, index) => `node-${String(index + 1).padStart(4, '0')}`)
const directory = mkdtempSync(join(tmpdir(), 'p2p-bench-metric-history-'))

function p99(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length * 0.99)] ?? 0
}

/** As a coordinator of these nodes would have left them: a record a period, or more where the nodes are many. */
async function fill(): Promise<number> {
  const nowMs = systemClock.wallMs()
  let bytes = 0
  for (const { ring, rowMs, spanMs, forMs } of KINDS) {
    for (
      let spanStartMs = Math.floor((nowMs - forMs) / spanMs + 1) * spanMs;
      spanStartMs < nowMs;
      spanStartMs += spanMs
    ) {
      const file = await open(join(directory, `${ring}-${spanStartMs / spanMs}.rows`), 'a')
      for (let timeMs = spanStartMs; timeMs < Math.min(nowMs, spanStartMs + spanMs) - rowMs; timeMs += rowMs) {
        for (let first = 0; first < nodes.length; first += RECORD_ROWS_MAX) {
          const rows = nodes.slice(first, first + RECORD_ROWS_MAX)
          const record = encodeRows(rows.map((name) => ({ name, timeMs, values: [12, 40, 60, 1e5, 1e5, 0.4, 1] })))
          await file.appendFile(record)
          bytes += record.byteLength
        }
      }
      await file.close()
    }
  }
  return bytes
}

/** CPU of this thread between what was read and the next read, in ms: decoded and put in their places. */
const pieces: number[] = []
const watchedFiles: Files = {
  ...systemFiles,
  async open(path, mode) {
    const file = await systemFiles.open(path, mode)
    let before: NodeJS.CpuUsage | undefined
    const endPiece = (): void => {
      if (!before) return
      const { user, system } = process.threadCpuUsage(before)
      pieces.push((user + system) / 1_000)
      before = undefined
    }
    return {
      read: async (offset, length) => {
        endPiece()
        const chunk = await file.read(offset, length)
        before = process.threadCpuUsage()
        return chunk
      },
      close: () => file.close(),
      write: (offset, content) => file.write(offset, content),
      sync: () => file.sync(),
      truncate: (length) => file.truncate(length),
      size: () => file.size(),
    }
  },
}

try {
  const bytes = await fill()
  const membership = new StubMembership('c1')
  for (const nodeId of nodes) membership.set({ cluster: 'bench', role: 'worker', nodeId }, [])
  const metrics = createClusterMetrics({ clock: systemClock, membership })
  const files = createMetricFiles(
    { clock: systemClock, files: watchedFiles, log: silentLogger, histories: metrics.nodeHistories },
    { directory },
  )
  const lag = monitorEventLoopDelay({ resolution: 1 })
  lag.enable()
  const { user, system } = process.cpuUsage()
  const beginMs = performance.now()
  await files.start(new AbortController().signal)
  const startedMs = performance.now()
  const points = await metrics.history(nodes.at(-1) as string, '30d', 1_000)
  const answeredMs = performance.now()
  const cpu = process.cpuUsage({ user, system })
  console.log(
    `${nodes.length} nodes, ${(bytes / 2 ** 20).toFixed(0)} MiB: start ${(startedMs - beginMs).toFixed(1)} ms; first question ${(answeredMs - startedMs).toFixed(0)} ms (${points?.length} points, ${((cpu.user + cpu.system) / 1_000).toFixed(0)} ms of CPU) in ${pieces.length} pieces of at most ${Math.max(...pieces).toFixed(1)} ms of CPU, p99 ${p99(pieces).toFixed(1)}; event loop held p99 ${(lag.percentile(99) / 1e6 - 1).toFixed(1)} ms, at most ${(lag.max / 1e6 - 1).toFixed(1)} ms; histories ${(metrics.nodeHistories.bytes / 2 ** 20).toFixed(1)} MiB`,
  )
  await files.stop()
} finally {
  rmSync(directory, { recursive: true, force: true })
}
