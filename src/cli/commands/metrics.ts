import { formatBytes } from '../../base/bytes.ts'
import type { CliHost } from '../host.ts'
import { sparkline, spans } from '../output/graph.ts'
import { type Range, RANGES_MS } from '../output/ranges.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

interface MetricsFlags extends ConnectionFlags {
  range: Range
  output: OutputFormat
}

interface Point {
  timestamp: string
  cpu_percent: number
  memory_percent: number
  disk_percent: number
  network_rx_bytes_s: number
  network_tx_bytes_s: number
  load_1: number
  loop_lag_ms: number
}

interface History {
  node_id: string
  history: Point[]
  count: number
}

interface Graph {
  name: string
  value: (point: Point) => number
  text: (value: number) => string
  /** Value of the highest character; without it the greatest there is. */
  top?: number
}

const percent = (value: number): string => `${value.toFixed(1)} %`
const rate = (value: number): string => `${formatBytes(Math.round(value))}/s`

const GRAPHS: readonly Graph[] = [
  { name: 'CPU', value: (point) => point.cpu_percent, text: percent, top: 100 },
  { name: 'Memory', value: (point) => point.memory_percent, text: percent, top: 100 },
  { name: 'Disk', value: (point) => point.disk_percent, text: percent, top: 100 },
  { name: 'Load', value: (point) => point.load_1, text: (value) => value.toFixed(2) },
  { name: 'Received', value: (point) => point.network_rx_bytes_s, text: rate },
  { name: 'Sent', value: (point) => point.network_tx_bytes_s, text: rate },
  { name: 'Loop lag', value: (point) => point.loop_lag_ms, text: (value) => `${value.toFixed(1)} ms` },
]

/** More points than a line has characters, so that each character is a mean and not a pick. */
const POINTS = 1_000
const WIDTH = { min: 20, max: 120, piped: 60 } as const
const FIGURE_WIDTH = 14

/** `p2p metrics NODE` */
export async function metrics(host: CliHost, node: string, flags: MetricsFlags): Promise<void> {
  const session = await connect(host, flags)
  const path = `/api/dashboard/history/${encodeURIComponent(node)}?range=${flags.range}&points=${POINTS}`
  const told = await session.call<History>({ method: 'GET', path })
  await show(host, flags.output, told, () => graphs(host, flags.range, told))
}

function graphs(host: CliHost, range: Range, { node_id: nodeId, history }: History): string {
  const style = styler(host.output, host.environment)
  const last = history.at(-1)
  if (!last)
    return `${plain(nodeId)} has told nothing yet of the last ${range}; its first report comes within seconds\n`
  const names = Math.max(...GRAPHS.map(({ name }) => name.length))
  const others = names + 2 + 3 * (FIGURE_WIDTH + 2)
  const room = (host.output.isTTY ? host.output.columns : undefined) ?? WIDTH.piped + others
  const width = Math.min(WIDTH.max, Math.max(WIDTH.min, room - others))
  // The node's time and this machine's need not agree, and a node that is gone is shown as it last was.
  const endMs = Date.parse(last.timestamp)
  const span = { endMs, lengthMs: RANGES_MS[range], width }
  const head = (text: string): string => text.padStart(FIGURE_WIDTH)
  const lines = GRAPHS.map(({ name, value, text, top }) => {
    const points = history.map((point) => ({ timeMs: Date.parse(point.timestamp), value: value(point) }))
    const values = points.map((point) => point.value)
    const mean = values.reduce((sum, one) => sum + one, 0) / values.length
    // Of a mean over seconds the greatest may lie above all that is drawn.
    const figures = [value(last), mean, values.reduce((most, one) => Math.max(most, one), 0)].map((one) =>
      head(text(one)),
    )
    const graph = sparkline(spans(points, span), top)
    return `${style('bold', name.padEnd(names))}  ${style('cyan', graph)}  ${figures.join('  ')}\n`
  })
  const left = spanText(RANGES_MS[range])
  const scale = `-${left}`.padEnd(width - 3) + 'now'
  const title = `${plain(nodeId)}, ${relativeTime(endMs, host.wallMs())}`
  return `${title.padEnd(names + 2 + width)}  ${[head('now'), head('mean'), head('most')].join('  ')}\n${lines.join('')}${' '.repeat(names + 2)}${style('dim', scale)}\n`
}
