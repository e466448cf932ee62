import type { IncomingHttpHeaders } from 'node:http'
import type { Random } from '../../base/random.ts'
import { newTraceId } from '../calls/trace-id.ts'

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(?:-|$)/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)

/** The trace id of the caller's `traceparent`, else a new one: 32 hex digits (W3C Trace Context section 3.2). */
export function traceIdOf(headers: IncomingHttpHeaders, random: Random): string {
  const given = partsOf(headers)?.[1]
  return given === undefined || given === NO_TRACE ? newTraceId(random) : given
}

/** The caller's span in its `traceparent`: 16 hex digits. */
export function parentSpanIdOf(headers: IncomingHttpHeaders): string | undefined {
  const parts = partsOf(headers)
  return parts && parts[1] !== NO_TRACE && parts[2] !== NO_SPAN ? parts[2] : undefined
}

/** A `traceparent` for whoever is told of the trace: version 00, sampled. */
export function traceparent(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`
}

function partsOf({ traceparent }: IncomingHttpHeaders): RegExpExecArray | null | undefined {
  return typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent) : undefined
}
