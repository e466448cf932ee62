import { z } from 'zod'
import { isNodeId } from '../../base/identity.ts'
import {
  EVENT_KINDS,
  EVENT_SEVERITIES,
  type EventKind,
  type TimelineEvent,
  type TimelineFilter,
  type TimelinePosition,
} from '../../base/timeline.ts'
import { WIRE } from './wire.ts'

const told = <S extends z.ZodType>(schema: S, description: string): S => {
  WIRE.add(schema, { description })
  return schema
}

const KINDS = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(z.enum(EVENT_KINDS)).min(1))

/** Which events. */
export const EVENT_CHOICE = z.strictObject({
  node_id: told(z.string().refine(isNodeId, 'is no node id').optional(), 'Events of this node'),
  service: told(z.string().min(1).max(63).optional(), 'Events of this service'),
  kind: told(KINDS.optional(), `One or several, with commas between: ${EVENT_KINDS.join(', ')}`),
  since: told(z.iso.datetime({ offset: true }).optional(), 'No event before this moment, ISO 8601'),
  until: told(z.iso.datetime({ offset: true }).optional(), 'No event after this moment, ISO 8601'),
})

export const EVENT_FILTER = EVENT_CHOICE.extend({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  cursor: told(
    z
      .string()
      .regex(/^\d{1,16}-\d{1,16}$/, 'is no cursor')
      .optional(),
    '`cursor` of the page before: events that come meanwhile do not shift this one',
  ),
})

export const TIMELINE_EVENT = z
  .object({
    id: z.string(),
    time: z.iso.datetime(),
    kind: z.enum(EVENT_KINDS),
    severity: z.enum(EVENT_SEVERITIES),
    title: z.string(),
    detail: z.string().optional(),
    node_id: z.string().optional(),
    service: z.string().optional(),
    trace_id: z.string().optional(),
  })
  .register(WIRE, { id: 'TimelineEvent' })
export type TimelineEventWire = z.infer<typeof TIMELINE_EVENT>

export const EVENT_PAGE = z.object({
  events: told(z.array(TIMELINE_EVENT), 'Newest first'),
  cursor: told(z.string().nullable(), 'Of the next page; null on the last one'),
  latest: told(z.string(), 'Id of the newest event there was: where following begins'),
})

export function eventFilterOf({
  node_id: nodeId,
  service,
  kind,
  since,
  until,
}: z.output<typeof EVENT_CHOICE>): TimelineFilter {
  return {
    nodeId,
    service,
    kinds: kind as EventKind[] | undefined,
    sinceMs: since === undefined ? undefined : Date.parse(since),
    untilMs: until === undefined ? undefined : Date.parse(until),
  }
}

export function positionOf(cursor: string | undefined): TimelinePosition | undefined {
  const [timeMs, id] = cursor?.split('-') ?? []
  return timeMs === undefined ? undefined : { timeMs: Number(timeMs), id: Number(id) }
}

export function cursorText(position: TimelinePosition | undefined): string | null {
  return position ? `${position.timeMs}-${position.id}` : null
}

/** An event as it travels. */
export function timelineEventWire(event: TimelineEvent): TimelineEventWire {
  const { id, timeMs, kind, severity, title, detail, nodeId, service, traceId } = event
  return {
    id: String(id),
    time: new Date(timeMs).toISOString(),
    kind,
    severity,
    title,
    ...(detail !== undefined && { detail }),
    ...(nodeId !== undefined && { node_id: nodeId }),
    ...(service !== undefined && { service }),
    ...(traceId !== undefined && { trace_id: traceId }),
  }
}
