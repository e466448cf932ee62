import { formatBytes } from '../../base/bytes.ts'
import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { sparkline, spans } from '../output/graph.ts'
import { type Range, RANGES_MS } from '../output/ranges.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

interface MetricsFlags extends ConnectionFlags {
  range: Range
  service?: string
  output: OutputFormat
}

interface Point {
  /** ISO 8601. */
  timestamp: string
}

interface MachinePoint extends Point {
  cpu_percent: number
  memory_percent: number
  disk_percent: number
  network_rx_bytes_s: number
  network_tx_bytes_s: number
  load_1: number
  loop_lag_ms: number
}

interface CallsPoint extends Point {
  calls_per_s: number
  errors_per_s: number
  p50_ms: number | null
  p99_ms: number | null
}

interface Graph<P extends Point> {
  name: string
  /** Null where there was nothing to measure. */
  value: (point: P) => number | null
  text: (value: number) => string
  /** Value of the highest character; without it the greatest there is. */
  top?: number
}

const percent = (value: number): string => `${value.toFixed(1)} %`
const rate = (value: number): string => `${formatBytes(Math.round(value))}/s`
const milliseconds = (value: number): string => `${value.toFixed(1)} ms`
const perSecond = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)}/s`

const MACHINE_GRAPHS: readonly Graph<MachinePoint>[] = [
  { name: 'CPU', value: (point) => point.cpu_percent, text: percent, top: 100 },
  { name: 'Memory', value: (point) => point.memory_percent, text: percent, top: 100 },
  { name: 'Disk', value: (point) => point.disk_percent, text: percent, top: 100 },
  { name: 'Load', value: (point) => point.load_1, text: (value) => value.toFixed(2) },
  { name: 'Received', value: (point) => point.network_rx_bytes_s, text: rate },
  { name: 'Sent', value: (point) => point.network_tx_bytes_s, text: rate },
  { name: 'Loop lag', value: (point) => point.loop_lag_ms, text: milliseconds },
]

const CALLS_GRAPHS: readonly Graph<CallsPoint>[] = [
  { name: 'Calls', value: (point) => point.calls_per_s, text: perSecond },
  { name: 'Failed', value: (point) => point.errors_per_s, text: perSecond },
  { name: 'Median', value: (point) => point.p50_ms, text: milliseconds },
  { name: '99 % in', value: (point) => point.p99_ms, text: milliseconds },
]

/** More points than a line has characters, so that each character is a mean and not a pick. */
const POINTS = 1_000
const WIDTH = { min: 20, max: 120, piped: 60 } as const
const FIGURE_WIDTH = 14

/** `p2p metrics NODE` or `--service NAME` */
export async function metrics(host: CliHost, node: string | undefined, flags: MetricsFlags): Promise<void> {
  const { service, range, output } = flags
  if ((node === undefined) === (service === undefined)) {
    throw new CliError(
      'P2P_CLI_USAGE',
      'Give either a node or --service NAME: p2p metrics worker-1, p2p metrics --service shop',
    )
  }
  const session = await connect(host, flags)
  const ask = <T>(path: string): Promise<T> =>
    session.call<T>({ method: 'GET', path: `/api/dashboard/${path}?range=${range}&points=${POINTS}` })
  if (service !== undefined) {
    const told = await ask<{ history: CallsPoint[] }>(`services/${encodeURIComponent(service)}/history`)
    await show(host, output, told, () => graphs(host, service, { range, history: told.history, shown: CALLS_GRAPHS }))
    return
  }
  const path = `history/${encodeURIComponent(node ?? '')}`
  const told = await ask<{ node_id: string; history: MachinePoint[] }>(path)
  await show(host, output, told, () =>
    graphs(host, told.node_id, { range, history: told.history, shown: MACHINE_GRAPHS }),
  )
}

function graphs<P extends Point>(
  host: CliHost,
  name: string,
  { range, history, shown }: { range: Range; history: readonly P[]; shown: readonly Graph<P>[] },
): string {
  const style = styler(host.output, host.environment)
  const last = history.at(-1)
  if (!last) return `${plain(name)} has told nothing yet of the last ${range}; its first report comes within seconds\n`
  const names = Math.max(...shown.map((graph) => graph.name.length))
  const others = names + 2 + 3 * (FIGURE_WIDTH + 2)
  const room = (host.output.isTTY ? host.output.columns : undefined) ?? WIDTH.piped + others
  const width = Math.min(WIDTH.max, Math.max(WIDTH.min, room - others))
  // The node's time and this machine's need not agree, and a node that is gone is shown as it last was.
  const endMs = Date.parse(last.timestamp)
  const span = { endMs, lengthMs: RANGES_MS[range], width }
  const head = (text: string): string => text.padStart(FIGURE_WIDTH)
  const lines = shown.map(({ name: title, value, text, top }) => {
    const points = history.flatMap((point) => {
      const measured = value(point)
      return measured === null ? [] : [{ timeMs: Date.parse(point.timestamp), value: measured }]
    })
    const values = points.map((point) => point.value)
    const mean = values.reduce((sum, one) => sum + one, 0) / values.length
    // Of a mean over seconds the greatest may lie above all that is drawn.
    const figures = [value(last), mean, values.reduce((most, one) => Math.max(most, one), 0)].map((one) =>
      head(one === null || values.length === 0 ? '–' : text(one)),
    )
    const graph = sparkline(spans(points, span), top)
    return `${style('bold', title.padEnd(names))}  ${style('cyan', graph)}  ${figures.join('  ')}\n`
  })
  const left = spanText(RANGES_MS[range])
  const scale = `-${left}`.padEnd(width - 3) + 'now'
  const heading = `${plain(name)}, ${relativeTime(endMs, host.wallMs())}`
  return `${heading.padEnd(names + 2 + width)}  ${[head('now'), head('mean'), head('most')].join('  ')}\n${lines.join('')}${' '.repeat(names + 2)}${style('dim', scale)}\n`
}
