import { RawJson } from '../calls/raw-json.ts'
import type { LinkContext } from './call-link.ts'
import { HEADING, readRequest, readResult, REQUEST, RESULT } from './compact-message.ts'
import { type Heading, readHeading } from './heading.ts'
import { contextOf, isCallId, quoted, restText, TIMEOUT_MS_MAX } from './link-context.ts'
import { ITEM_COST_BYTES } from './link-limits.ts'

/*
 * Messages of a link (docs/protocol/jsonrpc.md). One that begins with `{` is a JSON-RPC 2.0 object on one line; behind a line
 * feed follow the parameters or the result as JSON text, which only whoever needs them reads. Items of streams and what
 * controls their flow are binary: a byte for the kind, six for the number of the call, then the item. So are requests and
 * results to another end that has greeted (compact-message.ts), and batches of messages.
 */

export type LinkMessage =
  | { kind: 'request'; id: number; method: string; params: RawJson | undefined; context: LinkContext }
  | { kind: 'result'; id: number; result: RawJson }
  | { kind: 'error'; id: number; error: unknown }
  | { kind: 'cancel'; id: number }
  /** The call is answered by a stream: items follow, and at last a result or an error. */
  | { kind: 'stream'; id: number }
  /** An item of bytes is a view of the message. `cost`: what it takes of the credit. */
  | { kind: 'item'; id: number; item: RawJson | Uint8Array; cost: number }
  /** The reader of the stream takes this many bytes more. */
  | { kind: 'credit'; id: number; bytes: number }
  /** This many bytes of items, of whatever streams, have come in. */
  | { kind: 'confirm'; bytes: number }
  /** The other end reads compact messages, and batches. */
  | { kind: 'greeting' }
  /** What the requests of this number have in common. */
  | { kind: 'heading'; number: number; heading: Heading }
  /** Messages follow each other from here to the end, each behind its length. */
  | { kind: 'batch'; begin: number }
  | { kind: 'invalid'; reason: string }

/** As in the Language Server Protocol: names beginning with `$/` belong to the protocol. */
const CANCEL_METHOD = '$/cancel'
const STREAM_METHOD = '$/stream'

const BRACE_OPEN = 0x7b
const BYTES_ITEM = 1
const JSON_ITEM = 2
const CREDIT = 3
const CONFIRM = 4
export const BATCH = 5
const GREETING = 9
/** Of the compact messages, and batches. */
const COMPACT_VERSION = 1
/** Of a batch: kind; of each message in it: length. */
export const BATCH_HEADER_BYTES = 1
export const LENGTH_BYTES = 4
/** Of a binary message: kind and number of the call. */
const BINARY_HEADER_BYTES = 7
const CONTROL_BYTES = BINARY_HEADER_BYTES + 4

/** @param paramsText JSON; undefined: the call has no parameters */
export function requestMessage(
  id: number,
  method: string,
  paramsText: string | undefined,
  timeoutMs: number,
  context: Omit<LinkContext, 'timeoutMs'>,
): Buffer {
  const waitMs = wholeMs(timeoutMs)
  const header = `{"jsonrpc":"2.0","id":${id},"method":${quoted(method)},"context":{"timeout_ms":${waitMs},"trace_id":"${context.traceId}"${restText(context)}}}`
  return Buffer.from(paramsText === undefined ? header : `${header}\n${paramsText}`)
}

/** How long a caller waits, as it is told. */
export function wholeMs(timeoutMs: number): number {
  return Math.min(Math.max(1, Math.ceil(timeoutMs)), TIMEOUT_MS_MAX)
}

/** @param text JSON */
export function resultMessage(id: number, text: string): Buffer {
  return Buffer.from(`{"jsonrpc":"2.0","id":${id}}\n${text}`)
}

export function cancelMessage(id: number): Buffer {
  return Buffer.from(`{"jsonrpc":"2.0","method":"${CANCEL_METHOD}","params":{"id":${id}}}`)
}

export function streamMessage(id: number): Buffer {
  return Buffer.from(`{"jsonrpc":"2.0","method":"${STREAM_METHOD}","params":{"id":${id}}}`)
}

export function bytesItemMessage(id: number, item: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(BINARY_HEADER_BYTES + item.length)
  message[0] = BYTES_ITEM
  message.writeUIntBE(id, 1, 6)
  message.set(item, BINARY_HEADER_BYTES)
  return message
}

/** @param text JSON, of that many bytes */
export function jsonItemMessage(id: number, text: string, bytes: number): Buffer {
  const message = Buffer.allocUnsafe(BINARY_HEADER_BYTES + bytes)
  message[0] = JSON_ITEM
  message.writeUIntBE(id, 1, 6)
  message.write(text, BINARY_HEADER_BYTES)
  return message
}

export function creditMessage(id: number, bytes: number): Buffer {
  return controlMessage(CREDIT, id, bytes)
}

export function confirmMessage(bytes: number): Buffer {
  return controlMessage(CONFIRM, 0, bytes)
}

function controlMessage(kind: number, id: number, bytes: number): Buffer {
  const message = Buffer.allocUnsafe(CONTROL_BYTES)
  message[0] = kind
  message.writeUIntBE(id, 1, 6)
  message.writeUInt32BE(bytes, BINARY_HEADER_BYTES)
  return message
}

/** What an end says first that reads compact messages and batches. Others take it for no message, and drop it. */
export function greetingMessage(): Buffer {
  return Buffer.from([GREETING, COMPACT_VERSION])
}

/**
 * Reads one message, which lies there in the payload. Nothing in it can make this throw.
 * @param headings that the other end has told, by their numbers
 */
export function parseLinkMessage(
  payload: Uint8Array,
  headings: readonly (Heading | undefined)[] = [],
  begin = 0,
  end = payload.length,
): LinkMessage {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  switch (begin < end ? bytes[begin] : undefined) {
    case REQUEST:
      return readRequest(bytes, begin, end, headings) ?? invalid('no request')
    case RESULT:
      return readResult(bytes, begin, end) ?? invalid('no result')
    case BRACE_OPEN:
      return parseText(bytes.toString('utf8', begin, end))
    case BATCH:
      return { kind: 'batch', begin: begin + BATCH_HEADER_BYTES }
    case HEADING:
      return readHeading(bytes, begin, end) ?? invalid('no heading')
    case GREETING:
      return end - begin === 2 ? { kind: 'greeting' } : invalid('no greeting')
    case undefined:
    default:
      return parseBinary(bytes.subarray(begin, end))
  }
}

function parseBinary(message: Buffer): LinkMessage {
  if (message.length < BINARY_HEADER_BYTES) return invalid('too short')
  const id = message.readUIntBE(1, 6)
  switch (message[0]) {
    case BYTES_ITEM: {
      const item = message.subarray(BINARY_HEADER_BYTES)
      return { kind: 'item', id, item, cost: item.length + ITEM_COST_BYTES }
    }
    case JSON_ITEM: {
      const text = message.toString('utf8', BINARY_HEADER_BYTES)
      const cost = message.length - BINARY_HEADER_BYTES + ITEM_COST_BYTES
      return { kind: 'item', id, item: new RawJson(text), cost }
    }
    case CREDIT:
    case CONFIRM: {
      if (message.length !== CONTROL_BYTES) return invalid('control of a wrong length')
      const bytes = message.readUInt32BE(BINARY_HEADER_BYTES)
      return message[0] === CREDIT ? { kind: 'credit', id, bytes } : { kind: 'confirm', bytes }
    }
    case undefined:
    default:
      return invalid('of no known kind')
  }
}

/*
 * This program writes its headers in one way, which can be read at half the cost of JSON.parse; headers of any other form are
 * read in full. Both ways give the same.
 */

const RESULT_BEGIN = '{"jsonrpc":"2.0","id":'
const DIGITS = /^\d{1,14}$/
const REQUEST_LINE =
  /^\{"jsonrpc":"2\.0","id":(\d{1,14}),"method":"([\w./$-]{1,128})","context":\{"timeout_ms":(\d{1,8}),"trace_id":"([0-9a-f]{32})"(?:,"span_id":"([0-9a-f]{16})")?(.*)\}\}$/

function parseText(text: string): LinkMessage {
  const feed = text.indexOf('\n')
  const body = feed === -1 ? undefined : new RawJson(text.slice(feed + 1))
  const header = feed === -1 ? text : text.slice(0, feed)
  if (body && header.startsWith(RESULT_BEGIN)) {
    const digits = header.slice(RESULT_BEGIN.length, -1)
    if (DIGITS.test(digits) && header.endsWith('}')) return { kind: 'result', id: Number(digits), result: body }
  }
  return parseRequest(header, body) ?? parseHeader(header, body)
}

function parseRequest(header: string, params: RawJson | undefined): LinkMessage | undefined {
  const match = REQUEST_LINE.exec(header)
  if (!match) return undefined
  const [, id, method, timeoutMs, traceId, spanId, restText] = match as unknown as string[]
  const rest = parseRest(restText as string)
  if (!rest || timeoutMs === '0') return undefined
  const context: LinkContext = {
    ...rest,
    timeoutMs: Math.min(Number(timeoutMs), TIMEOUT_MS_MAX),
    traceId: traceId as string,
  }
  if (spanId !== undefined) context.spanId = spanId
  return { kind: 'request', id: Number(id), method: method as string, params, context }
}

/** What most contexts have beside their times and ids: the same few texts again and again. */
const rests = new Map<string, Omit<LinkContext, 'timeoutMs' | 'traceId'>>()
const RESTS_MAX = 256
const REST_LENGTH_MAX = 512

function parseRest(text: string): Omit<LinkContext, 'timeoutMs' | 'traceId'> | undefined {
  const known = rests.get(text)
  if (known || text.length > REST_LENGTH_MAX) return known
  let rest: LinkContext | undefined
  try {
    rest = contextOf(JSON.parse(`{"timeout_ms":1,"trace_id":"${'0'.repeat(32)}"${text}}`))
  } catch {
    return undefined
  }
  if (!rest) return undefined
  if (rests.size >= RESTS_MAX) rests.clear()
  rests.set(text, rest)
  return rest
}

function parseHeader(text: string, body: RawJson | undefined): LinkMessage {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch {
    return invalid('no JSON')
  }
  return headerMessage(header as Record<string, unknown>, body)
}

function headerMessage(header: Record<string, unknown>, body: RawJson | undefined): LinkMessage {
  const { id, method } = header
  if (method === undefined) {
    if (!isCallId(id)) return invalid('an answer without an id')
    if (header.error !== undefined) return { kind: 'error', id, error: header.error }
    return { kind: 'result', id, result: body ?? raw(header.result) ?? new RawJson('null') }
  }
  if (method === CANCEL_METHOD || method === STREAM_METHOD) {
    const called = (header.params as { id?: unknown } | null | undefined)?.id
    if (!isCallId(called)) return invalid(`${method} without an id`)
    return { kind: method === CANCEL_METHOD ? 'cancel' : 'stream', id: called }
  }
  if (!isCallId(id)) return invalid('a request without an id')
  if (typeof method !== 'string') return invalid('a method that is no string')
  const context = contextOf(header.context)
  if (!context) return invalid('a request without a usable context')
  return { kind: 'request', id, method, params: body ?? raw(header.params), context }
}

/** A plain JSON-RPC message has parameters and result in its object: read as well. */
function raw(value: unknown): RawJson | undefined {
  return value === undefined ? undefined : new RawJson(JSON.stringify(value))
}

function invalid(reason: string): LinkMessage {
  return { kind: 'invalid', reason }
}
