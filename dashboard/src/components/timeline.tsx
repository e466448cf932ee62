import { Link } from '@tanstack/react-router'
import type { TimelineEvent } from '../api/types.ts'
import { dateTime } from './format.ts'
import { Mark, toneOf } from './state.tsx'
import { visible } from './visible-text.ts'

/** Events, one below the other: when, how grave, what, and where to look. */
export function TimelineRows({ events }: { events: readonly TimelineEvent[] }) {
  return events.map((event) => (
    <div key={event.id} className="timeline-row">
      <time className="muted mono" dateTime={event.time}>
        {dateTime(event.time).slice(5)}
      </time>
      <span className="state">
        <Mark tone={event.severity === 'info' ? 'off' : toneOf(event.severity)} />
        <span className="hidden-text">{event.severity}</span>
      </span>
      <div className="wrap">
        {visible(event.title)} <Places event={event} />
        {event.detail !== undefined && <p className="muted small wrap">{visible(event.detail)}</p>}
      </div>
    </div>
  ))
}

function Places({ event: { kind, node_id: node, service } }: { event: TimelineEvent }) {
  return (
    <span className="muted small">
      {kind}
      {node !== undefined && (
        <>
          {' · '}
          <Link to="/nodes/$nodeId" params={{ nodeId: node }}>
            {visible(node)}
          </Link>
        </>
      )}
      {service !== undefined && (
        <>
          {' · '}
          <Link to="/services/$service" params={{ service }}>
            {visible(service)}
          </Link>
        </>
      )}
    </span>
  )
}
