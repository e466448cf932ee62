import { Button, NativeSelect, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'
import type { LogLevel, LogLine } from '../api/types.ts'
import { Empty } from '../components/empty.tsx'
import { dateTime } from '../components/format.ts'
import { LogView } from '../components/log-view.tsx'
import { askLogs } from '../live/ask-routes.ts'
import { LOG_LEVELS, type LogFilter, NO_FILTER, queryOf } from '../live/log-filter.ts'
import { useFilteredLines } from '../live/use-filtered-lines.ts'
import { useCluster, useLive } from '../live/use-live.ts'

const route = getRouteApi('/logs')
const EARLIER_LINES = 1_000

/** Every line of every node, as it is written. */
export function LogsPage() {
  const { node } = route.useSearch()
  const [filter, setFilter] = useState<LogFilter>({ ...NO_FILTER, nodeId: node ?? '' })
  const [paused, setPaused] = useState<readonly LogLine[]>()
  const [isFollowing, setFollowing] = useState(true)
  const [selected, setSelected] = useState<LogLine>()
  const asked = useDeferredValue(filter)
  const { cluster } = useLive()
  const earlier = useQuery({
    queryKey: ['lines', asked],
    queryFn: async ({ signal }) => {
      const query = queryOf(asked)
      query.set('limit', String(EARLIER_LINES))
      return cluster.logs.add(await askLogs(query, signal))
    },
    staleTime: 0,
    gcTime: 0,
  })
  const live = useFilteredLines(asked)
  const lines = paused ?? live.lines
  const change = (part: Partial<LogFilter>): void => {
    setPaused(undefined)
    setFilter({ ...filter, ...part })
  }
  return (
    <div className="page page-full">
      <h1>Logs</h1>
      <div className="filters">
        <Filters filter={filter} onChange={change} />
        <span className="push">
          <span className="muted small">{lines.length.toLocaleString('en')} lines</span>
          <Button
            variant="default"
            aria-pressed={paused !== undefined}
            onClick={() => setPaused(paused ? undefined : [...live.lines])}
          >
            {paused ? `Go on (${Math.max(0, live.lines.length - paused.length).toLocaleString('en')} new)` : 'Pause'}
          </Button>
          <Button variant="default" disabled={lines.length === 0} onClick={() => save(lines)}>
            Export
          </Button>
        </span>
      </div>
      {lines.length === 0 && !earlier.isPending ? (
        <Empty title="No line matches">
          {asked === NO_FILTER ? 'Lines appear here as nodes write them.' : 'Lower the level or shorten the search.'}
        </Empty>
      ) : (
        <LogView
          className="log-tall"
          lines={lines}
          version={paused ? 0 : live.version}
          isFollowing={isFollowing && !paused}
          onFollow={setFollowing}
          selected={selected}
          onSelect={(line) => setSelected(line === selected ? undefined : line)}
        />
      )}
      {selected && <LineDetail line={selected} onClose={() => setSelected(undefined)} />}
    </div>
  )
}

function Filters({ filter, onChange }: { filter: LogFilter; onChange: (part: Partial<LogFilter>) => void }) {
  const nodes = useCluster((view) => view.nodes)
  return (
    <>
      <TextInput
        className="search"
        type="search"
        aria-label="Search"
        placeholder="Search messages and fields"
        value={filter.search}
        onChange={(event) => onChange({ search: event.currentTarget.value })}
      />
      <NativeSelect
        aria-label="Node"
        value={filter.nodeId}
        onChange={(event) => onChange({ nodeId: event.currentTarget.value })}
        data={[{ value: '', label: 'All nodes' }, ...nodes.map(({ node_id }) => ({ value: node_id, label: node_id }))]}
      />
      <NativeSelect
        aria-label="Level"
        value={filter.level}
        onChange={(event) => onChange({ level: event.currentTarget.value as LogLevel | '' })}
        data={[
          { value: '', label: 'All levels' },
          ...LOG_LEVELS.slice(1).map((level) => ({ value: level, label: `${level} and above` })),
        ]}
      />
      <TextInput
        aria-label="Logger"
        placeholder="Logger"
        value={filter.logger}
        onChange={(event) => onChange({ logger: event.currentTarget.value })}
      />
    </>
  )
}

function LineDetail({ line, onClose }: { line: LogLine; onClose: () => void }) {
  const { message, fields, trace_id: traceId } = line
  return (
    <div className="log-detail form" role="region" aria-label="The chosen line" tabIndex={0}>
      <div className="form-row">
        <span className="muted">
          {dateTime(line.timestamp)} · {line.node_id} · {line.logger_name} · {line.level}
          {traceId !== undefined && ` · trace ${traceId}`}
        </span>
        <Button size="compact-xs" variant="default" onClick={onClose}>
          Close
        </Button>
      </div>
      <pre>{message}</pre>
      {fields && Object.keys(fields).length > 0 && <pre className="muted">{JSON.stringify(fields, null, 2)}</pre>}
    </div>
  )
}

/** As JSON lines, made here from what is shown. */
function save(lines: readonly LogLine[]): void {
  const blob = new Blob(
    lines.map((line) => `${JSON.stringify(line)}\n`),
    { type: 'application/x-ndjson' },
  )
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = `p2p-logs-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.jsonl`
  link.click()
  URL.revokeObjectURL(link.href)
}
