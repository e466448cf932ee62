import { z } from 'zod'
import { LOG_LEVELS } from '../../base/log.ts'
import { WIRE } from './wire.ts'

/** Lines in one answer at most, and how many without being asked. */
export const LOG_LIMIT_MAX = 1_000
export const LOG_LIMIT_DEFAULT = 100

/** A schema with its description where OpenAPI looks, and where the description of a service's method is made. */
function told<S extends z.ZodType>(schema: S, description: string): S {
  const described = schema.describe(description)
  WIRE.add(described, { description })
  return described
}

const MOMENT = z.iso.datetime({ offset: true })

/** Which log lines: of `GET /api/logs`, and of the method of a node's log collector that answers it. */
export const LOG_FILTER = z.strictObject({
  level: told(z.enum(LOG_LEVELS).optional(), 'This level and above'),
  logger_name: told(z.string().max(256).optional(), "Part of the logger's name, whatever the case"),
  search: told(z.string().max(256).optional(), 'Part of the message or of the fields as JSON, whatever the case'),
  since: told(MOMENT.optional(), 'No line before this moment, ISO 8601'),
  until: told(MOMENT.optional(), 'No line after this moment, ISO 8601'),
  // A number in a URL is a text.
  limit: told(z.coerce.number().int().min(1).max(LOG_LIMIT_MAX).default(LOG_LIMIT_DEFAULT), 'Lines at most'),
  offset: told(z.coerce.number().int().min(0).default(0), 'Newest lines to pass over'),
})

const LOG_LINE = z
  .object({
    timestamp: z.iso.datetime(),
    node_id: z.string(),
    level: z.enum(LOG_LEVELS),
    logger_name: z.string(),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()),
  })
  .register(WIRE, { id: 'LogLine' })

/** A page of log lines. */
export const LOG_PAGE = z.object({
  logs: told(z.array(LOG_LINE), 'Newest first; fewer than `limit` when the answer would grow beyond 4 MiB'),
  total: told(z.int(), 'Lines that match'),
  limit: z.int(),
  offset: z.int(),
})

/** What the lines can be chosen by. */
export const LOG_SOURCES = z.object({
  loggers: z.array(z.string()),
  log_levels: z.array(z.enum(LOG_LEVELS)),
})

/** That lines were forgotten. */
export const LOGS_CLEARED = z.object({
  success: z.literal(true),
  cleared: told(z.int(), 'Lines forgotten'),
  node: z.string(),
})
