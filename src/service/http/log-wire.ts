import { z } from 'zod'
import { isNodeId } from '../../base/identity.ts'
import type { LogLine } from '../../base/log-line.ts'
import { LOG_LEVELS } from '../../base/log.ts'
import { WIRE } from './wire.ts'

/** Lines in one answer at most, and how many without being asked. */
const LOG_LIMIT_MAX = 1_000
export const LOG_LIMIT_DEFAULT = 100

/** A schema with its description where OpenAPI looks, and where the description of a service's method is made. */
function told<S extends z.ZodType>(schema: S, description: string): S {
  const described = schema.describe(description)
  WIRE.add(described, { description })
  return described
}

const MOMENT = z.iso.datetime({ offset: true })

const NODE_ID = z
  .string()
  .refine(isNodeId, 'is no node id')
  // To the router these are not names.
  .refine(
    (id) => !['coordinator', 'worker', 'local', 'remote'].includes(id),
    'must be the id of one node, not a role or place',
  )
  .optional()

/** Which log lines, of those of one node or of all. */
export const LOG_CHOICE = z.strictObject({
  node_id: told(NODE_ID, 'Whose; when absent those of all nodes on a coordinator, elsewhere those of the node asked'),
  level: told(z.enum(LOG_LEVELS).optional(), 'This level and above'),
  logger_name: told(z.string().max(256).optional(), "Part of the logger's name, whatever the case"),
  search: told(
    z.string().max(256).optional(),
    'Words that all begin a word of the message or of the fields, whatever the case',
  ),
  trace_id: told(
    z
      .string()
      .regex(/^[\da-f]{32}$/, 'is no trace id: 32 hex digits')
      .optional(),
    'Lines of this call, on whatever node they were written',
  ),
  since: told(MOMENT.optional(), 'No line before this moment, ISO 8601'),
  until: told(MOMENT.optional(), 'No line after this moment, ISO 8601'),
})

/** Which page of which log lines: of `GET /api/logs`, and of the method of the log collector that answers it. */
export const LOG_FILTER = LOG_CHOICE.extend({
  // A number in a URL is a text.
  limit: told(z.coerce.number().int().min(1).max(LOG_LIMIT_MAX).default(LOG_LIMIT_DEFAULT), 'Lines at most'),
  offset: told(z.coerce.number().int().min(0).max(1_000_000).default(0), 'Newest lines to pass over'),
  cursor: told(
    z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
    '`next_cursor` of the page before: lines that come meanwhile do not shift this one',
  ),
})

/** Whose log. */
export const LOG_OWNER = LOG_CHOICE.pick({ node_id: true })

const LOG_LINE = z
  .object({
    timestamp: told(z.iso.datetime(), "The node's clock, corrected where it was more than a minute off"),
    node_id: z.string(),
    level: z.enum(LOG_LEVELS),
    logger_name: z.string(),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()),
    trace_id: told(z.string().optional(), 'Of the call on whose behalf it was written'),
    seq: told(z.int().optional(), "The node's number of the line; numbers of one node only grow"),
    cursor: told(z.int().optional(), "The line's place in the coordinator's log"),
    received_at: told(z.iso.datetime().optional(), "The coordinator's clock"),
    clock_offset_ms: told(z.int().optional(), "What was added to the node's clock; absent when it was right"),
  })
  .register(WIRE, { id: 'LogLine' })

/** A line as it travels. */
export type LogLineWire = z.infer<typeof LOG_LINE>

/** A page of log lines. */
export const LOG_PAGE = z.object({
  logs: told(z.array(LOG_LINE), 'Newest first; fewer than `limit` when the answer would grow beyond 4 MiB'),
  total: told(z.int(), 'Lines that match, from `cursor` on; counted up to 10,000'),
  limit: z.int(),
  offset: z.int(),
  next_cursor: told(z.int().nullable().optional(), '`cursor` of the next page; null on the last one'),
  latest_cursor: told(z.int().optional(), 'Newest line there was: where following begins (`Last-Event-ID`)'),
})

/** What the lines can be chosen by. */
export const LOG_SOURCES = z.object({
  nodes: told(z.array(z.string()), 'Nodes there are lines of'),
  loggers: z.array(z.string()),
  log_levels: z.array(z.enum(LOG_LEVELS)),
})

/** That lines were forgotten. */
export const LOGS_CLEARED = z.object({
  success: z.literal(true),
  cleared: told(z.int(), 'Lines forgotten'),
  node: told(z.string(), 'Whose; `all` for those of all nodes'),
})

/** A stored line as it travels. */
export function logLineWire(line: LogLine): LogLineWire {
  const { timeMs, receivedMs, nodeId, level, logger, message, fieldsJson, traceId, seq, cursor, clockOffsetMs } = line
  return {
    timestamp: new Date(timeMs).toISOString(),
    node_id: nodeId,
    level,
    logger_name: logger,
    message,
    fields: JSON.parse(fieldsJson) as Record<string, unknown>,
    ...(traceId !== '' && { trace_id: traceId }),
    seq,
    cursor,
    received_at: new Date(receivedMs).toISOString(),
    ...(clockOffsetMs !== 0 && { clock_offset_ms: clockOffsetMs }),
  }
}

/** The line as JSON; the fields as they are kept. */
export function logLineText(line: LogLine): string {
  const { timeMs, receivedMs, nodeId, level, logger, message, fieldsJson, traceId, seq, cursor, clockOffsetMs } = line
  // Put together by hand: of ten thousand lines a second JSON.stringify would be half the work.
  const head = `{"timestamp":"${isoOf(timeMs, LATEST.time)}","node_id":"${nodeId}","level":"${level}"`
  const words = `"logger_name":${JSON.stringify(logger)},"message":${JSON.stringify(message)},"fields":${fieldsJson}`
  const trace = traceId === '' ? '' : `,"trace_id":"${traceId}"`
  const offset = clockOffsetMs === 0 ? '' : `,"clock_offset_ms":${clockOffsetMs}`
  const place = `"seq":${seq},"cursor":${cursor},"received_at":"${isoOf(receivedMs, LATEST.received)}"`
  return `${head},${words}${trace},${place}${offset}}`
}

/** Many lines that follow on each other are of the same millisecond, and were received in the same. */
const LATEST = { time: { ms: 0, text: '' }, received: { ms: 0, text: '' } }

function isoOf(ms: number, latest: { ms: number; text: string }): string {
  if (ms !== latest.ms || latest.text === '') {
    latest.ms = ms
    latest.text = new Date(ms).toISOString()
  }
  return latest.text
}

/** What of a choice a line store asks. */
export function logFilterOf(choice: z.output<typeof LOG_CHOICE>) {
  const { node_id: nodeId, level, logger_name: logger, search, trace_id: traceId, since, until } = choice
  return { nodeId, level, logger, search, traceId, sinceMs: momentMs(since), untilMs: momentMs(until) }
}

function momentMs(iso: string | undefined): number | undefined {
  return iso === undefined ? undefined : Date.parse(iso)
}
