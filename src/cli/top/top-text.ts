import { formatBytes } from '../../base/bytes.ts'
import type { CliHost } from '../host.ts'
import { bar } from '../output/graph.ts'
import { spanText } from '../output/relative-time.ts'
import { table } from '../output/show.ts'
import type { Column } from '../output/table.ts'
import { type Format, styler } from '../output/style.ts'
import type { SortKey } from './sort-keys.ts'
import type { NodeRow, ServiceRow, TopData } from './top-data.ts'

const BAR_WIDTH = 8
/** A narrower terminal shows no bars, and of the services what matters most. */
const WIDE_COLUMNS = 110
/** A node that did not report for so long is not there: three reports are missing. */
const FRESH_S = 15

/** The tables of `p2p top`; those of a terminal fit its height. */
export function topText(host: CliHost, data: TopData, sort: SortKey): string {
  const room = host.output.isTTY ? host.output.rows : undefined
  // A heading and a remark on what is left out for each table, the line between them, the title and the keys.
  const lines = room === undefined ? Number.POSITIVE_INFINITY : Math.max(4, room - 9)
  const services = Math.min(data.services.length, Math.max(Math.ceil(lines / 2), lines - data.nodes.length))
  const nodesMax = Math.max(2, lines - services)
  const isWide = (host.output.columns ?? WIDE_COLUMNS) >= WIDE_COLUMNS
  const more = (shown: number, all: number): string => (all > shown ? `… and ${all - shown} more\n` : '')
  return [
    titleOf(host, data, sort),
    table(host, data.nodes.slice(0, nodesMax), nodeColumns(sort, isWide)),
    more(nodesMax, data.nodes.length),
    '\n',
    data.services.length === 0 ? 'No service is known yet\n' : '',
    data.services.length === 0 ? '' : table(host, data.services.slice(0, services), serviceColumns(sort, isWide)),
    more(services, data.services.length),
  ].join('')
}

function titleOf(host: CliHost, { timestamp, nodes, services }: TopData, sort: SortKey): string {
  const style = styler(host.output, host.environment)
  const present = nodes.filter(isPresent).length
  const calls = services.reduce((sum, service) => sum + service.calls_per_s, 0)
  const time = `${timestamp.slice(11, 19)} UTC`
  const count = `${present} of ${nodes.length} nodes, ${services.length} services, ${number(calls)} calls/s`
  return `${style('dim', time)}  ${style(present === nodes.length ? 'green' : 'red', count)}  by ${style('bold', sort)}\n`
}

function isPresent({ age_s: age }: NodeRow): boolean {
  return age !== null && age <= FRESH_S
}

function nodeColumns(sort: SortKey, isWide: boolean): Column<NodeRow>[] {
  const gauge = (title: string, key: SortKey, value: (row: NodeRow) => number | null): Column<NodeRow>[] => {
    const style = (row: NodeRow): Format => levelStyle(value(row))
    const text = (row: NodeRow): string | undefined => percentText(value(row))
    const head = marked(title, key, sort)
    if (!isWide) return [{ title: head, value: text, align: 'right', style }]
    return [
      { title: head, value: (row) => bar(value(row) ?? 0, BAR_WIDTH), style },
      { title: '', value: text, align: 'right', style },
    ]
  }
  const figure = (title: string, value: (row: NodeRow) => string | undefined): Column<NodeRow> => ({
    title,
    value,
    align: 'right',
  })
  return [
    {
      title: marked('NODE', 'name', sort),
      value: (row) => row.node_id,
      style: (row) => (isPresent(row) ? 'cyan' : 'red'),
    },
    ...gauge('CPU', 'cpu', (row) => row.cpu_percent),
    ...gauge('MEMORY', 'memory', (row) => row.memory_percent),
    ...gauge('DISK', 'disk', (row) => row.disk_percent),
    figure(marked('LOAD', 'load', sort), (row) => row.load_1?.toFixed(2)),
    figure(marked('IN/S', 'network', sort), (row) => bytes(row.network_rx_bytes_s)),
    figure('OUT/S', (row) => bytes(row.network_tx_bytes_s)),
    figure('LAG', (row) => (row.loop_lag_ms === null ? undefined : `${Math.round(row.loop_lag_ms)} ms`)),
    figure(marked('CALLS/S', 'calls', sort), (row) => (row.age_s === null ? undefined : number(row.calls_per_s))),
    { title: 'TOLD', value: toldText, style: (row) => (isPresent(row) ? 'dim' : 'red') },
  ]
}

function serviceColumns(sort: SortKey, isWide: boolean): Column<ServiceRow>[] {
  const figure = (title: string, value: (row: ServiceRow) => string | undefined): Column<ServiceRow> => ({
    title,
    value,
    align: 'right',
  })
  const ifWide = (column: Column<ServiceRow>): Column<ServiceRow>[] => (isWide ? [column] : [])
  return [
    { title: marked('SERVICE', 'name', sort), value: (row) => row.name, style: () => 'cyan' },
    {
      title: 'HEALTHY',
      value: ({ healthy, wanted }) => `${healthy} of ${wanted}`,
      align: 'right',
      style: ({ healthy, wanted }) => (healthy >= wanted ? 'green' : healthy === 0 ? 'red' : 'yellow'),
    },
    ...ifWide(figure('NODES', ({ nodes }) => String(nodes))),
    figure(marked('CALLS/S', 'calls', sort), (row) => number(row.calls_per_s)),
    {
      title: marked('ERRORS/S', 'errors', sort),
      value: (row) => number(row.errors_per_s),
      align: 'right',
      style: (row) => (row.errors_per_s > 0 ? 'red' : undefined),
    },
    ...ifWide(figure('P50', (row) => milliseconds(row.p50_ms))),
    figure('P99', (row) => milliseconds(row.p99_ms)),
    figure(marked('CPU', 'cpu', sort), (row) =>
      row.cpu_percent === null ? undefined : `${number(row.cpu_percent)} %`,
    ),
    figure(marked('MEMORY', 'memory', sort), (row) => bytes(row.memory_bytes)),
    ...ifWide({
      title: 'RESTARTS',
      value: (row) => row.restarts,
      align: 'right',
      style: (row) => (row.restarts > 0 ? 'yellow' : undefined),
    }),
  ]
}

function marked(title: string, key: SortKey, sort: SortKey): string {
  return key === sort ? `${title}${key === 'name' ? '▲' : '▼'}` : title
}

function percentText(percent: number | null): string | undefined {
  return percent === null ? undefined : `${Math.round(percent)} %`
}

function levelStyle(percent: number | null): Format {
  if (percent === null) return 'dim'
  return percent >= 90 ? 'red' : percent >= 70 ? 'yellow' : 'green'
}

function toldText({ age_s: age }: NodeRow): string {
  if (age === null) return 'never'
  return age <= FRESH_S ? 'now' : `${spanText(age * 1_000)} ago`
}

function bytes(count: number | null): string | undefined {
  return count === null ? undefined : formatBytes(Math.round(count))
}

function milliseconds(ms: number | null): string | undefined {
  return ms === null ? undefined : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

function number(value: number): string {
  return value === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(1)
}
