import { RawJson } from '../calls/raw-json.ts'
import type { LinkContext } from './call-link.ts'
import type { Heading } from './heading.ts'
import { TIMEOUT_MS_MAX } from './link-context.ts'

/*
 * Requests and results as nearly all are written (docs/protocol/jsonrpc.md): a header of fixed length, then parameters or
 * result as JSON text. What the requests of a link have in common, the method and most of the context, is its heading: it is
 * told once, as JSON, and named by a number from then on. So a node that only passes a call on neither reads nor makes a text.
 *
 *   request   u8 6 | u48 id | u32 ms | u8 hops | u8 flags | u16 heading | 16 trace | 8 span, if flagged | parameters, if flagged
 *   result    u8 7 | u48 id | result
 *   heading   u8 8 | u16 number | JSON: {"method": …, "context": { … }}
 */

export const REQUEST = 6
export const RESULT = 7
export const HEADING = 8

const REQUEST_HEADER_BYTES = 31
export const RESULT_HEADER_BYTES = 7
export const HEADING_HEADER_BYTES = 3
const SPAN_BYTES = 8
export const REQUEST_HEADER_BYTES_MAX = REQUEST_HEADER_BYTES + SPAN_BYTES

const HAS_PARAMS = 1
const HAS_SPAN = 2
const IS_OWN_SPAN = 4

/** Calls make one another far less often in a row than one byte counts. */
const HOPS_MAX = 255

/** What came in. */
export type CompactMessage =
  | { kind: 'request'; id: number; method: string; params: RawJson | undefined; context: LinkContext }
  | { kind: 'result'; id: number; result: RawJson }

/** @returns where the header ends */
export function writeRequestHeader(
  into: Buffer,
  at: number,
  { id, timeoutMs, heading, hasParams }: { id: number; timeoutMs: number; heading: number; hasParams: boolean },
  { traceId, spanId, isOwnSpan, hops = 0 }: Pick<LinkContext, 'traceId' | 'spanId' | 'isOwnSpan' | 'hops'>,
): number {
  into[at] = REQUEST
  into.writeUIntBE(id, at + 1, 6)
  into.writeUInt32BE(timeoutMs, at + 7)
  into[at + 11] = Math.min(hops, HOPS_MAX)
  into[at + 12] = (hasParams ? HAS_PARAMS : 0) | (spanId === undefined ? 0 : HAS_SPAN) | (isOwnSpan ? IS_OWN_SPAN : 0)
  into.writeUInt16BE(heading, at + 13)
  into.write(traceId, at + 15, 'hex')
  if (spanId === undefined) return at + REQUEST_HEADER_BYTES
  into.write(spanId, at + REQUEST_HEADER_BYTES, 'hex')
  return at + REQUEST_HEADER_BYTES + SPAN_BYTES
}

/** @returns where the header ends */
export function writeResultHeader(into: Buffer, at: number, id: number): number {
  into[at] = RESULT
  into.writeUIntBE(id, at + 1, 6)
  return at + RESULT_HEADER_BYTES
}

/** @returns where it ends */
export function writeHeading(into: Buffer, at: number, number: number, text: string): number {
  into[at] = HEADING
  into.writeUInt16BE(number, at + 1)
  return at + HEADING_HEADER_BYTES + into.write(text, at + HEADING_HEADER_BYTES)
}

/** @returns undefined when it is no request, or one whose heading was never told */
export function readRequest(
  message: Buffer,
  begin: number,
  end: number,
  headings: readonly (Heading | undefined)[],
): CompactMessage | undefined {
  if (end - begin < REQUEST_HEADER_BYTES) return undefined
  const heading = headings[message.readUInt16BE(begin + 13)]
  const timeoutMs = message.readUInt32BE(begin + 7)
  const flags = message[begin + 12] as number
  const hasSpan = (flags & HAS_SPAN) !== 0
  const body = begin + REQUEST_HEADER_BYTES + (hasSpan ? SPAN_BYTES : 0)
  if (!heading || timeoutMs === 0 || timeoutMs > TIMEOUT_MS_MAX || end < body) return undefined
  // Member by member: copying an object with `...` costs as much as all the rest of this.
  const { service, person, caller, relayedBy, target, retries } = heading.context
  const hops = message[begin + 11] as number
  const context: LinkContext = {
    timeoutMs,
    traceId: message.toString('hex', begin + 15, begin + REQUEST_HEADER_BYTES),
    spanId: hasSpan ? message.toString('hex', begin + REQUEST_HEADER_BYTES, body) : undefined,
    isOwnSpan: (flags & IS_OWN_SPAN) === 0 ? undefined : true,
    hops: hops === 0 ? undefined : hops,
    caller,
    relayedBy,
    service,
    person,
    target,
    retries,
  }
  const params = (flags & HAS_PARAMS) === 0 ? undefined : RawJson.of(message, body, end)
  return { kind: 'request', id: message.readUIntBE(begin + 1, 6), method: heading.method, params, context }
}

export function readResult(message: Buffer, begin: number, end: number): CompactMessage | undefined {
  if (end - begin <= RESULT_HEADER_BYTES) return undefined
  const result = RawJson.of(message, begin + RESULT_HEADER_BYTES, end)
  return { kind: 'result', id: message.readUIntBE(begin + 1, 6), result }
}
