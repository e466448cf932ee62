import type { LogEntry, LogLevel } from '../../base/log.ts'

/*
 * The requests of OTLP/HTTP in JSON (OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding"): names in lowerCamelCase, 64-bit
 * integers as strings, enumerations as numbers, trace and span ids in hex.
 */

/** A value of an attribute, as far as this program has such. */
export type AttributeValue = string | number | boolean

export type Attributes = Readonly<Record<string, AttributeValue>>

/** One of `LogRecord`, with the logger it came from. */
export interface OtlpLog {
  entry: LogEntry
  traceId: string | undefined
}

/** One `Span`. Moments are Unix milliseconds. */
export interface OtlpSpan {
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  /** Whether the call came here, or left. */
  kind: 'server' | 'client'
  name: string
  startMs: number
  endMs: number
  attributes: Attributes
  error: { message: string } | undefined
}

/** One `Metric` with its data points. Sums and histograms count from `startMs` on (cumulative temporality). */
export type OtlpMetric = { name: string; unit: string; description: string } & (
  | { kind: 'gauge'; points: { attributes: Attributes; value: number }[] }
  | { kind: 'sum'; startMs: number; points: { attributes: Attributes; value: number }[] }
  | {
      kind: 'histogram'
      startMs: number
      points: { attributes: Attributes; sum: number; counts: number[]; bounds: number[] }[]
    }
)

const SCOPE = 'p2p-core'
const CUMULATIVE = 2
/** `SpanKind`. */
const SPAN_KINDS: Readonly<Record<OtlpSpan['kind'], number>> = { server: 2, client: 3 }
const STATUS_ERROR = 2
const TRACE_ID = /^[\da-f]{32}$/
/** `SeverityNumber`. */
const SEVERITIES: Readonly<Record<LogLevel, number>> = { DEBUG: 5, INFO: 9, WARNING: 13, ERROR: 17, CRITICAL: 21 }
const FIELD_CHARACTERS_MAX = 8_192
const FIELDS_MAX = 64

/** Body of a request to `/v1/logs`. */
export function logsRequest(resource: Attributes, logs: readonly OtlpLog[]): object {
  const byLogger = Map.groupBy(logs, ({ entry }) => entry.logger)
  const scopeLogs = [...byLogger].map(([name, records]) => ({ scope: { name }, logRecords: records.map(logRecord) }))
  return { resourceLogs: [{ resource: { attributes: attributesOf(resource) }, scopeLogs }] }
}

/** Body of a request to `/v1/traces`. */
export function tracesRequest(resource: Attributes, spans: readonly OtlpSpan[]): object {
  const scopeSpans = [{ scope: { name: SCOPE }, spans: spans.map(spanRecord) }]
  return { resourceSpans: [{ resource: { attributes: attributesOf(resource) }, scopeSpans }] }
}

/** Body of a request to `/v1/metrics`; all points are of `timeMs`. */
export function metricsRequest(resource: Attributes, metrics: readonly OtlpMetric[], timeMs: number): object {
  const scopeMetrics = [{ scope: { name: SCOPE }, metrics: metrics.map((metric) => metricRecord(metric, timeMs)) }]
  return { resourceMetrics: [{ resource: { attributes: attributesOf(resource) }, scopeMetrics }] }
}

function logRecord({ entry: { timeMs, level, message, fields }, traceId }: OtlpLog): object {
  const own = fields['traceId'] ?? fields['trace_id']
  const trace = typeof own === 'string' && TRACE_ID.test(own) ? own : traceId
  return {
    timeUnixNano: nanos(timeMs),
    observedTimeUnixNano: nanos(timeMs),
    severityNumber: SEVERITIES[level],
    severityText: level,
    body: { stringValue: message.toWellFormed() },
    attributes: fieldAttributes(fields),
    ...(trace !== undefined && { traceId: trace }),
  }
}

/** What is no plain value goes as its JSON text. */
function fieldAttributes(fields: Readonly<Record<string, unknown>>): object[] {
  const shown = Object.entries(fields).slice(0, FIELDS_MAX)
  return attributesOf(
    Object.fromEntries(
      shown.map(([name, value]): [string, AttributeValue] => {
        const isPlain = typeof value === 'number' || typeof value === 'boolean'
        if (isPlain) return [name, value]
        const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
        return [name, text.slice(0, FIELD_CHARACTERS_MAX)]
      }),
    ),
  )
}

function spanRecord(span: OtlpSpan): object {
  const { traceId, spanId, parentSpanId, kind, name, startMs, endMs, attributes, error } = span
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name,
    kind: SPAN_KINDS[kind],
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(endMs),
    attributes: attributesOf(attributes),
    status: error ? { code: STATUS_ERROR, message: error.message.toWellFormed() } : {},
  }
}

function metricRecord(metric: OtlpMetric, timeMs: number): object {
  const { name, unit, description } = metric
  const head = { name, unit, description }
  const timeUnixNano = nanos(timeMs)
  switch (metric.kind) {
    case 'gauge':
      return { ...head, gauge: { dataPoints: metric.points.map((point) => numberPoint(point, { timeUnixNano })) } }
    case 'sum': {
      const times = { startTimeUnixNano: nanos(metric.startMs), timeUnixNano }
      const dataPoints = metric.points.map((point) => numberPoint(point, times))
      return { ...head, sum: { dataPoints, aggregationTemporality: CUMULATIVE, isMonotonic: true } }
    }
    case 'histogram': {
      const times = { startTimeUnixNano: nanos(metric.startMs), timeUnixNano }
      const dataPoints = metric.points.map(({ attributes, sum, counts, bounds }) => ({
        attributes: attributesOf(attributes),
        ...times,
        count: String(counts.reduce((all, count) => all + count, 0)),
        sum,
        bucketCounts: counts.map(String),
        explicitBounds: bounds,
      }))
      return { ...head, histogram: { dataPoints, aggregationTemporality: CUMULATIVE } }
    }
  }
}

function numberPoint({ attributes, value }: { attributes: Attributes; value: number }, times: object): object {
  return { attributes: attributesOf(attributes), ...times, asDouble: value }
}

function attributesOf(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key: key.toWellFormed(), value: anyValue(value) }))
}

function anyValue(value: AttributeValue): object {
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'string') return { stringValue: value.toWellFormed() }
  if (Number.isSafeInteger(value)) return { intValue: String(value) }
  return Number.isFinite(value) ? { doubleValue: value } : { stringValue: String(value) }
}

/** Milliseconds as nanoseconds, in decimal digits: more than a number holds exactly. */
function nanos(ms: number): string {
  const whole = Math.floor(ms)
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1_000_000)))
}
