import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { every } from '../api/asking.ts'
import { get, messageOf } from '../api/http.ts'
import { Empty } from './empty.tsx'
import { momentMs } from './format.ts'
import { Graph } from './graph.tsx'
import { Section } from './section.tsx'
import { Segments } from './segments.tsx'

/** A graph of what was measured: its lines by the names of their fields. */
export interface GraphOf<Point> {
  title: string
  lines: readonly { name: string; field: keyof Point }[]
  format: (value: number | null) => string
  /** Top of the scale; without it, what the values need. */
  max?: number
  /** Distances of the marks on the scale: one of these. */
  steps?: readonly number[]
}

const RANGES = [
  { value: '15m', text: '15 m' },
  { value: '1h', text: '1 h' },
  { value: '6h', text: '6 h' },
  { value: '1d', text: '1 d' },
  { value: '7d', text: '7 d' },
  { value: '30d', text: '30 d' },
] as const
type Range = (typeof RANGES)[number]['value']

/** Newest points come with the connection; a range is asked for again every so often. */
const HISTORY_EVERY_MS = 15_000
const POINTS = 300

/** Graphs of one node or service over a time that the reader chooses; a moment of them leads to its log. */
export function HistoryGraphs<Point extends { timestamp: string | number }>(props: {
  title: string
  /** Where the history is asked for. */
  path: string
  graphs: readonly GraphOf<Point>[]
  /** Which lines a moment leads to. */
  log: { node: string } | { logger: string }
  /** What is shown until the node has answered. */
  known?: readonly Point[] | undefined
  /** Said while there is no point. */
  empty: string
}) {
  const { title, path, graphs, log, known, empty } = props
  const navigate = useNavigate()
  const toLog = (time: number): void => {
    void navigate({ to: '/logs', search: { ...log, at: new Date(time * 1000).toISOString() } })
  }
  const [range, setRange] = useState<Range>('15m')
  const asked = useQuery({
    queryKey: ['history', path, range],
    queryFn: ({ signal }) => get<{ history: Point[] }>(`${path}?range=${range}&points=${POINTS}`, signal),
    refetchInterval: every(HISTORY_EVERY_MS),
    placeholderData: (before) => before,
  })
  const points = asked.data?.history ?? known
  const times = useMemo(() => (points ?? []).map((point) => momentMs(point.timestamp) / 1000), [points])
  const values = (field: keyof Point) =>
    (points ?? []).map((point) => (point[field] as number | null | undefined) ?? null)
  return (
    <Section
      title={title}
      note="choose a moment to see its log"
      actions={<Segments label="Range" options={RANGES} value={range} onChange={setRange} />}
    >
      {times.length === 0 ? (
        <div className="panel">
          <Empty title="Nothing measured yet">{asked.error ? messageOf(asked.error) : empty}</Empty>
        </div>
      ) : (
        <div className="graphs">
          {graphs.map(({ lines, ...graph }) => (
            <Graph
              key={graph.title}
              {...graph}
              times={times}
              onChoose={toLog}
              series={lines.map(({ name, field }) => ({ name, values: values(field) }))}
            />
          ))}
        </div>
      )}
    </Section>
  )
}
