import type { IncomingHttpHeaders } from 'node:http'
import type { Random } from '../../base/random.ts'

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}(?:-|$)/
const NO_TRACE = '0'.repeat(32)

/** The trace id of the caller's `traceparent`, else a new one: 32 hex digits (W3C Trace Context section 3.2). */
export function traceIdOf(headers: IncomingHttpHeaders, random: Random): string {
  const { traceparent } = headers
  const given = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined
  return given === undefined || given === NO_TRACE ? newTraceId(random) : given
}

const HEX_BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** 128 bits that need to be unlikely to meet again, not secret: the fast generator, as every request may need one. */
function newTraceId(random: Random): string {
  let id = ''
  while (id.length < 32) {
    const bits = random.float() * 2 ** 32
    // Byte by byte from a table: Number's own toString(16) is eight times as slow.
    for (let shift = 0; shift < 32; shift += 8) id += HEX_BYTES[(bits >>> shift) & 0xff]
  }
  return id
}
