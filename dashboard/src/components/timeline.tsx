import { Link } from '@tanstack/react-router'
import { Fragment } from 'react'
import type { TimelineEvent } from '../api/types.ts'
import { dateTime } from './format.ts'
import { Mark, toneOf } from './state.tsx'
import { useNow } from './time.tsx'
import { visible } from './visible-text.ts'

const KINDS: Record<string, string> = {
  deploy: 'Deployment',
  health: 'Health',
  member: 'Node',
  certificate: 'Certificate',
  person: 'Person',
  log: 'Log errors',
  alert: 'Alert',
}

/** Events, newest on top, under their days: when, how grave, what, and where to look. */
export function TimelineRows({ events }: { events: readonly TimelineEvent[] }) {
  const now = useNow()
  let day = ''
  return events.map((event) => {
    const moment = dateTime(event.time)
    const isNewDay = moment.slice(0, 10) !== day
    day = moment.slice(0, 10)
    return (
      <Fragment key={event.id}>
        {isNewDay && <div className="timeline-day muted small">{dayName(day, now)}</div>}
        <div className="timeline-row">
          <time className="muted mono" dateTime={event.time} title={moment}>
            {moment.slice(11)}
          </time>
          <span className="state">
            <Mark tone={event.severity === 'info' ? 'off' : toneOf(event.severity)} />
            <span className="hidden-text">{event.severity}</span>
          </span>
          <div className="wrap">
            {visible(event.title)}
            {event.detail !== undefined && event.detail !== '' && (
              <p className="muted small wrap">{visible(event.detail)}</p>
            )}
          </div>
          <Places event={event} />
        </div>
      </Fragment>
    )
  })
}

const DAY_MS = 86_400_000

/** `Today`, `Yesterday`, else the date. */
function dayName(day: string, now: number): string {
  if (day === dateTime(now).slice(0, 10)) return 'Today'
  return day === dateTime(now - DAY_MS).slice(0, 10) ? 'Yesterday' : day
}

function Places({ event: { kind, node_id: node, service, time } }: { event: TimelineEvent }) {
  return (
    <span className="timeline-places muted small">
      {KINDS[kind] ?? visible(kind)}
      {service !== undefined && (
        <>
          {' · '}
          <Link to="/services/$service" params={{ service }}>
            {visible(service)}
          </Link>
        </>
      )}
      {node !== undefined && (
        <>
          {' · '}
          <Link to="/nodes/$nodeId" params={{ nodeId: node }}>
            {visible(node)}
          </Link>
          {' · '}
          <Link to="/logs" search={{ node, at: time }}>
            log
          </Link>
        </>
      )}
    </span>
  )
}
