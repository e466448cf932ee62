import { z } from 'zod'
import { LOG_LEVELS } from '../../base/log.ts'
import { isMethodName } from '../jsonrpc/index.ts'
import { METRIC_NAME_CHARACTERS_MAX, METRIC_NAMES_MAX } from '../sdk/service-metrics.ts'
import type { HostReport } from './host-message.ts'

/** As for services in the node itself: what is said of a service travels to every other node. */
const METHODS_MAX = 130
const TEXT_MAX = 10_000

const TEXT = z.string().max(TEXT_MAX)
const COUNTS = z.record(z.string(), z.number()).transform(bounded)

const SCHEMA = z.record(z.string(), z.unknown())

const METHOD = z.object({
  service: TEXT,
  name: TEXT.refine(isMethodName),
  description: TEXT,
  isPublic: z.boolean(),
  timeoutMs: z.number().positive(),
  cacheTtlMs: z.number().min(0),
  requiredRole: z.enum(['viewer', 'operator', 'admin']),
  params: SCHEMA.optional(),
  result: SCHEMA.optional(),
  item: SCHEMA.optional(),
  callers: z.array(TEXT).max(METHODS_MAX).optional(),
  isStream: z.boolean().optional(),
  isIdempotent: z.boolean().optional(),
  rate: z.object({ perMinute: z.number().positive(), burst: z.number().min(1) }).optional(),
  concurrency: z.int().min(1).optional(),
  queue: z.int().min(0).optional(),
})

const METRICS = z.object({
  counters: COUNTS,
  gauges: COUNTS,
  timers: z
    .record(z.string(), z.object({ count: z.number(), avg_ms: z.number(), min_ms: z.number(), max_ms: z.number() }))
    .transform(bounded),
})

/** The SDK has the same bounds; the one more is its own count of what it dropped. */
function bounded<T>(values: Record<string, T>): Record<string, T> {
  const names = Object.keys(values)
  if (names.length <= METRIC_NAMES_MAX + 1 && names.every((name) => name.length <= METRIC_NAME_CHARACTERS_MAX))
    return values
  const kept = Object.entries(values).filter(([name]) => name.length <= METRIC_NAME_CHARACTERS_MAX)
  return Object.fromEntries(kept.slice(0, METRIC_NAMES_MAX + 1))
}

/** A service's code could write to the link itself: what comes over it is checked like anything from outside. */
const REPORT = z.discriminatedUnion('type', [
  z.object({ type: z.literal('loaded'), name: TEXT }),
  z.object({
    type: z.literal('ready'),
    version: TEXT,
    description: TEXT,
    methods: z.array(METHOD).max(METHODS_MAX),
  }),
  z.object({
    type: z.literal('failed'),
    reason: z.string(),
    isHopeless: z.boolean(),
    isUnparsable: z.boolean(),
  }),
  z.object({ type: z.literal('reconfigured'), number: z.int(), reason: TEXT.optional() }),
  z.object({ type: z.literal('health'), health: z.enum(['healthy', 'failing']), reason: z.string().optional() }),
  z.object({
    type: z.literal('log'),
    level: z.enum(LOG_LEVELS),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).optional(),
    traceId: z
      .string()
      .regex(/^[\da-f]{32}$/)
      .optional(),
  }),
  z.object({
    type: z.literal('pong'),
    memoryBytes: z.number().min(0),
    cpuMs: z.number().min(0),
    // A service that measures what is no number is alive all the same.
    metrics: METRICS.catch({ counters: {}, gauges: {}, timers: {} }),
  }),
  z.object({ type: z.literal('crashed'), reason: z.string() }),
  z.object({ type: z.literal('stopped') }),
])

/** @returns undefined for what is no report */
export function parseReport(message: unknown): HostReport | undefined {
  const checked = REPORT.safeParse(message)
  return checked.success ? (checked.data as HostReport) : undefined
}
