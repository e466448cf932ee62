import { z } from 'zod'
import { LOG_CHOICE } from '../log-wire.ts'
import { EVENT_CHOICE } from '../timeline-wire.ts'

/** A message from a page may have so many bytes: a subscription to 200 nodes has a sixth of it. */
export const MESSAGE_BYTES_MAX = 65_536
const NODES_MAX = 1_000

const RESUME = z
  .union([
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
    z.int().min(0),
  ])
  .nullable()
  .default(null)

const SUBSCRIBE = z.object({
  type: z.literal('subscribe'),
  nodes: z.array(z.string().max(63)).max(NODES_MAX).default(['*']),
  logs: LOG_CHOICE.pick({ node_id: true, level: true, logger_name: true, search: true, trace_id: true })
    .partial()
    .nullable()
    .default({}),
  resume: RESUME,
  alerts: z.boolean().default(false),
  events: EVENT_CHOICE.pick({ node_id: true, service: true, kind: true }).partial().nullable().default(null),
  resume_events: RESUME,
})

/** Which log lines a socket wants; null: none. */
export type LogChoice = z.output<typeof SUBSCRIBE>['logs']
/** Which events a socket wants; null: none. */
export type EventChoice = z.output<typeof SUBSCRIBE>['events']

export interface Subscription {
  /** Node ids, or `*` for all. */
  nodes: readonly string[]
  logs: LogChoice
  /** Lines after the one with this cursor come first; undefined: from now on. */
  resume: number | undefined
  /** The alerts, whenever anything in them changes. */
  alerts: boolean
  events: EventChoice
  /** Events after the one with this id come first; undefined: from now on. */
  resumeEvents: number | undefined
}

export type ClientMessage = { type: 'ping' } | ({ type: 'subscribe' } & Subscription)

/** @returns undefined for what is none of the messages of docs/protocol/http.md */
export function parseClientMessage(text: string): ClientMessage | undefined {
  if (text === 'ping') return { type: 'ping' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if ((value as { type?: unknown } | null)?.type === 'ping') return { type: 'ping' }
  const { data } = SUBSCRIBE.safeParse(value)
  if (!data) return undefined
  const { resume, resume_events: resumeEvents, ...rest } = data
  return { ...rest, resume: resume ?? undefined, resumeEvents: resumeEvents ?? undefined }
}
