import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { get, messageOf } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { AuditRecord, TimelineEvent } from '../api/types.ts'
import { DataTable } from '../components/data-table.tsx'
import { Empty } from '../components/empty.tsx'
import { dateTime } from '../components/format.ts'
import { Segments } from '../components/segments.tsx'
import { Mark, State, toneOf } from '../components/state.tsx'
import { visible } from '../components/visible-text.ts'
import { useLive } from '../live/use-live.ts'

const EVERY_MS = 5_000
const LIMIT = 200
const VIEWS = [
  { value: 'timeline', text: 'Timeline' },
  { value: 'audit', text: 'Audit trail' },
] as const

/** What happened, and who did what. */
export function EventsPage() {
  const { session } = useLive()
  const [view, setView] = useState<'timeline' | 'audit'>('timeline')
  const mayAudit = hasRole(session.me, 'admin')
  return (
    <div className="page">
      <div className="page-head">
        <h1>Events</h1>
        <span className="actions">
          {mayAudit && <Segments label="View" options={VIEWS} value={view} onChange={setView} />}
        </span>
      </div>
      {view === 'timeline' ? <Timeline /> : <Audit />}
    </div>
  )
}

function Timeline() {
  const events = useQuery({
    queryKey: ['events'],
    queryFn: ({ signal }) => get<{ events: TimelineEvent[] }>(`/api/events?limit=${LIMIT}`, signal),
    refetchInterval: ({ state }) => (state.error ? false : EVERY_MS),
  })
  if (events.isPending) return null
  const rows = events.data?.events ?? []
  return (
    <section className="panel" aria-label="Timeline">
      {rows.length === 0 ? (
        <Empty title={events.error ? 'This node keeps no timeline' : 'Nothing happened yet'}>
          {events.error
            ? messageOf(events.error)
            : 'Deploys, nodes that come and go, health, certificates and alerts appear here.'}
        </Empty>
      ) : (
        rows.map((event) => (
          <div key={event.id} className="timeline-row">
            <time className="muted mono" dateTime={event.time}>
              {dateTime(event.time).slice(5)}
            </time>
            <span className="state">
              <Mark tone={event.severity === 'info' ? 'off' : toneOf(event.severity)} />
              <span className="hidden-text">{event.severity}</span>
            </span>
            <div className="wrap">
              {visible(event.title)}{' '}
              <span className="muted">
                {[event.kind, event.node_id, event.service].filter(Boolean).join(' · ')}
                {event.detail ? ` · ${visible(event.detail)}` : ''}
              </span>
            </div>
          </div>
        ))
      )}
    </section>
  )
}

function Audit() {
  const audit = useQuery({
    queryKey: ['audit'],
    queryFn: ({ signal }) => get<{ records: AuditRecord[] }>(`/api/audit?limit=${LIMIT}`, signal),
    refetchInterval: ({ state }) => (state.error ? false : EVERY_MS),
  })
  if (audit.isPending) return null
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
