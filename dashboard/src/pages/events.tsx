import { Button, NativeSelect } from '@mantine/core'
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { every, isRefused } from '../api/asking.ts'
import { get, messageOf } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { AuditRecord, TimelineEvent } from '../api/types.ts'
import { AlertsPanel } from '../components/alerts.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty } from '../components/empty.tsx'
import { dateTime } from '../components/format.ts'
import { PanelLoading } from '../components/loading.tsx'
import { Segments } from '../components/segments.tsx'
import { State } from '../components/state.tsx'
import { TimelineRows } from '../components/timeline.tsx'
import { visible } from '../components/visible-text.ts'
import { useCluster, useLive } from '../live/use-live.ts'

const EVERY_MS = 4_000
const PAGE = 100
const LIMIT = 200
const KINDS = [
  { value: 'deploy', label: 'Deployments' },
  { value: 'health', label: 'Health' },
  { value: 'member', label: 'Nodes' },
  { value: 'certificate', label: 'Certificates' },
  { value: 'person', label: 'People' },
  { value: 'log', label: 'Log errors' },
  { value: 'alert', label: 'Alerts' },
]
const VIEWS = [
  { value: 'timeline', text: 'Timeline' },
  { value: 'alerts', text: 'Alerts' },
  { value: 'audit', text: 'Audit trail' },
] as const

/** What happened, and who did what. */
export function EventsPage() {
  const { session } = useLive()
  const [view, setView] = useState<(typeof VIEWS)[number]['value']>('timeline')
  const mayAudit = hasRole(session.me, 'admin')
  return (
    <div className="page">
      <div className="page-head">
        <h1>Events</h1>
        <span className="actions">
          <Segments
            label="View"
            options={VIEWS.filter(({ value }) => value !== 'audit' || mayAudit)}
            value={view}
            onChange={setView}
          />
        </span>
      </div>
      {view === 'timeline' && <Timeline />}
      {view === 'alerts' && <AlertsPanel />}
      {view === 'audit' && <Audit />}
    </div>
  )
}

interface Chosen {
  kind: string
  node: string
  service: string
}

function Timeline() {
  const [chosen, setChosen] = useState<Chosen>({ kind: '', node: '', service: '' })
  const nodes = useCluster((view) => view.nodes)
  const services = useCluster((view) => view.services)
  const pushed = useCluster((view) => view.events)
  const events = useInfiniteQuery({
    // Pushed ones may be lost on the way: then all is asked for anew.
    queryKey: ['events', chosen, pushed === undefined],
    queryFn: ({ pageParam, signal }) =>
      get<{ events: TimelineEvent[]; cursor: string | null }>(pathOf(chosen, pageParam), signal),
    initialPageParam: '',
    getNextPageParam: ({ cursor }) => cursor,
    // Pushed ones need no asking; and who looks at what was long ago is not waiting for what is new.
    refetchInterval: ({ state }) =>
      pushed !== undefined || isRefused(state.error) || (state.data?.pages.length ?? 0) > 1 ? false : EVERY_MS,
    placeholderData: keepPreviousData,
  })
  const change = (part: Partial<Chosen>): void => setChosen({ ...chosen, ...part })
  const asked = events.data?.pages.flatMap((page) => page.events) ?? []
  const known = new Set(asked.map(({ id }) => id))
  const rows = [...(pushed ?? []).filter((event) => !known.has(event.id) && isChosen(event, chosen)), ...asked]
  const isFiltered = chosen.kind !== '' || chosen.node !== '' || chosen.service !== ''
  return (
    <>
      <div className="filters">
        <NativeSelect
          aria-label="Kind"
          value={chosen.kind}
          onChange={(event) => change({ kind: event.currentTarget.value })}
          data={[{ value: '', label: 'All kinds' }, ...KINDS]}
        />
        <NativeSelect
          aria-label="Node"
          value={chosen.node}
          onChange={(event) => change({ node: event.currentTarget.value })}
          data={[{ value: '', label: 'All nodes' }, ...nodes.map(({ node_id }) => node_id)]}
        />
        <NativeSelect
          aria-label="Service"
          value={chosen.service}
          onChange={(event) => change({ service: event.currentTarget.value })}
          data={[{ value: '', label: 'All services' }, ...services.map(({ name }) => name)]}
        />
      </div>
      {events.isPending ? (
        <PanelLoading />
      ) : (
        <section className="panel" aria-label="Timeline">
          {rows.length === 0 ? (
            <Empty title={emptyTitle(events.error, isFiltered)}>
              {events.error
                ? messageOf(events.error)
                : isFiltered
                  ? 'Choose other kinds, nodes or services.'
                  : 'Deploys, nodes that come and go, health, certificates and alerts appear here.'}
            </Empty>
          ) : (
            <TimelineRows events={rows} />
          )}
        </section>
      )}
      {events.hasNextPage && (
        <div>
          <Button variant="default" loading={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
            Earlier events
          </Button>
        </div>
      )}
    </>
  )
}

function isChosen(event: TimelineEvent, { kind, node, service }: Chosen): boolean {
  return (
    (kind === '' || event.kind === kind) &&
    (node === '' || event.node_id === node) &&
    (service === '' || event.service === service)
  )
}

function emptyTitle(error: unknown, isFiltered: boolean): string {
  if (error) return 'This node keeps no timeline'
  return isFiltered ? 'Nothing of that kind happened' : 'Nothing happened yet'
}

function pathOf({ kind, node, service }: Chosen, cursor: string | null): string {
  const query = new URLSearchParams({ limit: String(PAGE) })
  if (kind !== '') query.set('kind', kind)
  if (node !== '') query.set('node_id', node)
  if (service !== '') query.set('service', service)
  if (cursor) query.set('cursor', cursor)
  return `/api/events?${query}`
}

function Audit() {
  const audit = useQuery({
    queryKey: ['audit'],
    queryFn: ({ signal }) => get<{ records: AuditRecord[] }>(`/api/audit?limit=${LIMIT}`, signal),
    refetchInterval: every(EVERY_MS),
  })
  if (audit.isPending) return <PanelLoading />
  return (
    <DataTable
      label="Audit trail"
      rows={audit.data?.records ?? []}
      keyOf={({ seq }) => String(seq)}
      empty={
        <Empty title="No privileged act yet">
          {audit.error ? messageOf(audit.error) : 'What operators and admins do is recorded here before it is done.'}
        </Empty>
      }
      columns={[
        { title: 'No.', kind: 'num', cell: ({ seq }) => <span className="muted">{seq}</span> },
        { title: 'When', cell: ({ time }) => <span className="mono">{dateTime(time)}</span> },
        { title: 'Who', cell: ({ who }) => visible(who) },
        { title: 'What', cell: ({ act }) => <span className="mono">{visible(act)}</span> },
        { title: 'Of', kind: 'wide', cell: ({ target }) => visible(target ?? '') },
        {
          title: 'Outcome',
          cell: ({ phase, outcome }) => (outcome ? <State word={outcome} /> : <span className="muted">{phase}</span>),
        },
        { title: 'Detail', kind: 'wide grow', cell: ({ detail }) => visible(detail ?? '') },
      ]}
    />
  )
}
