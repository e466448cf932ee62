import { Button, NativeSelect, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useCallback, useMemo, useState } from 'react'
import { messageOf } from '../api/http.ts'
import type { LogLevel, LogLine } from '../api/types.ts'
import { Empty, Refusal } from '../components/empty.tsx'
import { counted, dateTime } from '../components/format.ts'
import { LogView } from '../components/log-view.tsx'
import { visible } from '../components/visible-text.ts'
import { askLogs, type LogPage } from '../live/ask-routes.ts'
import { choiceOf, LOG_LEVELS, type LogFilter, NO_FILTER } from '../live/log-filter.ts'
import { useFilteredLines } from '../live/use-filtered-lines.ts'
import { useCluster, useLive } from '../live/use-live.ts'

const route = getRouteApi('/logs')
const PAGE_LINES = 1_000
const TYPING_MS = 200
/** Around a moment: so long before it and after it, and pages of lines at most. */
const BEFORE_MS = 300_000
const AFTER_MS = 60_000
const PAGES_AROUND_MAX = 5

/** Every line of every node, as it is written; or those around a moment. */
export function LogsPage() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [filter, setFilter] = useState<LogFilter>(() => ({
    ...NO_FILTER,
    nodeId: search.node ?? '',
    level: search.level ?? '',
    logger: search.logger ?? '',
    search: search.search ?? '',
    traceId: search.trace ?? '',
  }))
  const [selected, setSelected] = useState<LogLine>()
  const [asked] = useDebouncedValue(filter, TYPING_MS)
  const change = (part: Partial<LogFilter>): void => {
    const next = { ...filter, ...part }
    setFilter(next)
    // So that the address can be sent to somebody else, and Back leads to where one was.
    void navigate({
      search: {
        ...(next.nodeId !== '' && { node: next.nodeId }),
        ...(next.level !== '' && { level: next.level }),
        ...(next.logger !== '' && { logger: next.logger }),
        ...(next.search !== '' && { search: next.search }),
        ...(next.traceId !== '' && { trace: next.traceId }),
        ...(search.at !== undefined && { at: search.at }),
      },
      replace: true,
    })
  }
  const shown = {
    filters: <Filters filter={filter} onChange={change} />,
    filter: asked,
    selected,
    onSelect: useCallback((line: LogLine) => setSelected((known) => (known === line ? undefined : line)), []),
  }
  return (
    <div className="page page-full">
      <h1>Logs</h1>
      {search.at === undefined ? (
        <LiveLines {...shown} />
      ) : (
        <LinesAround
          {...shown}
          at={search.at}
          onLive={() => void navigate({ search: ({ at: _at, ...rest }) => rest, replace: true })}
        />
      )}
      {selected && (
        <LineDetail
          line={selected}
          onClose={() => setSelected(undefined)}
          onTrace={(traceId) => change({ ...NO_FILTER, traceId })}
        />
      )}
    </div>
  )
}

interface Shown {
  filters: React.ReactNode
  filter: LogFilter
  selected: LogLine | undefined
  onSelect: (line: LogLine) => void
}

function LiveLines({ filters, filter, selected, onSelect }: Shown) {
  const [paused, setPaused] = useState<readonly LogLine[]>()
  const [isFollowing, setFollowing] = useState(true)
  const { cluster } = useLive()
  const { fetchNextPage, hasNextPage, isFetching, ...earlier } = useInfiniteQuery({
    queryKey: ['lines', filter],
    queryFn: async ({ signal, pageParam }) => {
      const query = new URLSearchParams({ ...choiceOf(filter), limit: String(PAGE_LINES) })
      if (pageParam !== undefined) query.set('cursor', String(pageParam))
      const { logs, next_cursor: next } = await askLogs(query, signal)
      cluster.logs.add(logs)
      return { next }
    },
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ next }) => next ?? undefined,
    staleTime: 0,
    gcTime: 0,
  })
  const live = useFilteredLines(filter)
  const dropped = useCluster((view) => view.droppedLines)
  const [pausedOf, setPausedOf] = useState(filter)
  // What was held is of another choice.
  if (pausedOf !== filter) {
    setPausedOf(filter)
    setPaused(undefined)
  }
  const lines = paused ?? live.lines
  const onEarlier = useCallback(() => {
    if (hasNextPage && !isFetching && !paused) void fetchNextPage()
  }, [hasNextPage, isFetching, paused, fetchNextPage])
  return (
    <>
      <div className="filters">
        {filters}
        <span className="push">
          <span className="muted small">
            {counted(lines.length, 'line')}
            {hasNextPage && ', and earlier ones'}
          </span>
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
      {earlier.error && <Refusal>{messageOf(earlier.error)}</Refusal>}
      {dropped > 0 && (
        <div className="note form-row" role="status">
          {counted(dropped, 'line')} of those below {dropped === 1 ? 'is' : 'are'} missing: they came faster than this
          page took them, or while it was away for long.
          <Button
            size="compact-xs"
            variant="default"
            onClick={() => {
              cluster.forgetLines()
              void earlier.refetch()
            }}
          >
            Read the newest anew
          </Button>
        </div>
      )}
      {lines.length === 0 && !earlier.isPending ? (
        <NoLines filter={filter} />
      ) : (
        <LogView
          className="log-tall"
          lines={lines}
          version={paused ? 0 : live.version}
          isFollowing={isFollowing && !paused}
          onFollow={setFollowing}
          onEarlier={onEarlier}
          selected={selected}
          onSelect={onSelect}
        />
      )}
    </>
  )
}

function LinesAround({ filters, filter, selected, onSelect, at, onLive }: Shown & { at: string; onLive: () => void }) {
  const around = useQuery({
    queryKey: ['lines-around', filter, at],
    queryFn: ({ signal }) => linesAround(filter, at, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const lines = around.data ?? NO_LINES
  const first = useMemo(() => lines.find(({ timestamp }) => timestamp >= at) ?? lines.at(-1), [lines, at])
  return (
    <>
      <div className="filters">
        {filters}
        <span className="push">
          <span className="muted small">
            {counted(lines.length, 'line')} around {dateTime(at).slice(5)}
          </span>
          <Button variant="default" onClick={onLive}>
            To the newest
          </Button>
          <Button variant="default" disabled={lines.length === 0} onClick={() => save(lines)}>
            Export
          </Button>
        </span>
      </div>
      {around.error && <Refusal>{messageOf(around.error)}</Refusal>}
      {lines.length === 0 && !around.isPending ? (
        <Empty title="No line from then">
          Nothing that matches was written between five minutes before and one minute after, or it is kept no longer.
        </Empty>
      ) : (
        <LogView
          className="log-tall"
          lines={lines}
          version={0}
          isFollowing={false}
          onFollow={NOTHING}
          at={first}
          selected={selected}
          onSelect={onSelect}
        />
      )}
    </>
  )
}

const NO_LINES: LogLine[] = []
const NOTHING = (): void => {}

/** Oldest first. */
async function linesAround(filter: LogFilter, at: string, signal: AbortSignal): Promise<LogLine[]> {
  const atMs = Date.parse(at)
  const query = new URLSearchParams({
    ...choiceOf(filter),
    since: new Date(atMs - BEFORE_MS).toISOString(),
    until: new Date(atMs + AFTER_MS).toISOString(),
    limit: String(PAGE_LINES),
  })
  const found: LogLine[] = []
  for (let pages = 0; pages < PAGES_AROUND_MAX; pages++) {
    const page: LogPage = await askLogs(query, signal)
    found.push(...page.logs)
    if (typeof page.next_cursor !== 'number') break
    query.set('cursor', String(page.next_cursor))
  }
  return found.sort((a, b) => (a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0))
}

function NoLines({ filter }: { filter: LogFilter }) {
  return (
    <Empty title="No line matches">
      {Object.keys(choiceOf(filter)).length === 0
        ? 'Lines appear here as nodes write them.'
        : 'Lower the level or shorten the search. New lines that match appear here.'}
    </Empty>
  )
}

function Filters({ filter, onChange }: { filter: LogFilter; onChange: (part: Partial<LogFilter>) => void }) {
  const nodes = useCluster((view) => view.nodes)
  const loggers = useCluster((view) => view.loggers)
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
        list="loggers"
        value={filter.logger}
        onChange={(event) => onChange({ logger: event.currentTarget.value })}
      />
      <datalist id="loggers">
        {loggers.map((logger) => (
          <option key={logger} value={logger} />
        ))}
      </datalist>
      {filter.traceId !== '' && (
        <Button variant="default" onClick={() => onChange({ traceId: '' })} title="Lines of all calls again">
          One call: {filter.traceId.slice(0, 8)}… ×
        </Button>
      )}
    </>
  )
}

function LineDetail(props: { line: LogLine; onClose: () => void; onTrace: (traceId: string) => void }) {
  const { line } = props
  const { message, fields, trace_id: traceId } = line
  return (
    <div className="log-detail form" role="region" aria-label="The chosen line" tabIndex={0}>
      <div className="form-row">
        <span className="muted wrap">
          {dateTime(line.timestamp)} · {visible(line.node_id)} · {visible(line.logger_name)} · {line.level}
          {traceId !== undefined && ` · trace ${visible(traceId)}`}
        </span>
        <span className="push form-row">
          {traceId !== undefined && (
            <Button size="compact-xs" variant="default" onClick={() => props.onTrace(traceId)}>
              All lines of this call
            </Button>
          )}
          <Button size="compact-xs" variant="default" onClick={props.onClose}>
            Close
          </Button>
        </span>
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
