import { assert } from '../../base/assert.ts'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { CallRequest, CallTarget, RpcAnswer, RpcRequest } from '../definition/descriptor.ts'
import { errorText, parseRpcBody, resultText, type RpcEntry, type RpcId } from '../jsonrpc/index.ts'
import { isStream, lineOf, textOf } from './raw-json.ts'

export interface RpcEndpointNeeds {
  caller: UnreadCaller
  log: Logger
}

/** Runs calls, and gives results that came from elsewhere as they came. */
export interface UnreadCaller {
  /** As `Caller.call`, but results and items may be `RawJson`. */
  callUnread(method: string, params: unknown, request: CallRequest, target?: CallTarget): Promise<unknown>
}

const OK = 200
const NO_CONTENT = 204

/** What of a stream is gathered into one answer; beyond it the caller has to take it item by item. */
const COLLECTED_ITEMS_MAX = 10_000
const COLLECTED_BYTES_MAX = 8 * 1024 * 1024

/**
 * Answers one JSON-RPC body. What was executed is answered with status 200, failures in it included, because clients
 * of JSON-RPC read no body of another status; a body that is no request has its own status; nothing but notifications
 * gives 204. Entries of a batch run at the same time and are answered in their order.
 */
export async function answerRpc(needs: RpcEndpointNeeds, body: Uint8Array, request: RpcRequest): Promise<RpcAnswer> {
  const parsed = parseRpcBody(body)
  switch (parsed.kind) {
    case 'refused':
      return { status: parsed.error.facts.http, body: errorText('2.0', null, parsed.error, request.traceId) }
    case 'single': {
      const { entry } = parsed
      if (entry.kind === 'invalid') return { status: entry.error.facts.http, body: invalidText(entry, request) }
      const answer = await answerCall(needs, entry, request, textOf)
      if (answer === undefined) return { status: NO_CONTENT, body: undefined }
      return typeof answer === 'string' ? { status: OK, body: answer } : { status: OK, body: undefined, lines: answer }
    }
    case 'batch': {
      const inBatch = { ...request, acceptsStream: false }
      const answerOne = async (entry: RpcEntry): Promise<string | undefined> => {
        if (entry.kind === 'invalid') return invalidText(entry, request)
        const answer = await answerCall(needs, entry, inBatch, lineOf)
        assert(typeof answer !== 'object', 'in a batch nothing streams')
        return answer
      }
      const texts = await Promise.all(parsed.entries.map(answerOne))
      const answers = texts.filter((text) => text !== undefined)
      if (answers.length === 0) return { status: NO_CONTENT, body: undefined }
      return { status: OK, body: `[${answers.join(',')}]` }
    }
  }
}

type Call = Extract<RpcEntry, { kind: 'call' }>

function invalidText({ id, error }: Exclude<RpcEntry, Call>, { traceId }: RpcRequest): string {
  return errorText('2.0', id, error, traceId)
}

/**
 * @param write the result as JSON text; alone in its answer it may stand unread, among others it may not
 * @returns undefined for a notification: even its failure is told to nobody (section 4.1); the lines of a stream for who accepts one
 */
async function answerCall(
  needs: RpcEndpointNeeds,
  { envelope, id, method, params }: Call,
  request: RpcRequest,
  write: (method: string, result: unknown) => string,
): Promise<string | AsyncIterable<string> | undefined> {
  const { traceId, target } = request
  try {
    const result = await needs.caller.callUnread(method, params, request, target)
    if (isStream(result)) {
      if (request.acceptsStream && id !== undefined) return linesOf(result, id, method, traceId)
      const text = await collected(result, method)
      return id === undefined ? undefined : resultText(envelope, id, text)
    }
    return id === undefined ? undefined : resultText(envelope, id, write(method, result))
  } catch (error) {
    if (id !== undefined) return errorText(envelope, id, error, traceId)
    needs.log.debug('A notification failed', { method, traceId, reason: messageOf(error) })
    return undefined
  }
}

/** One JSON text a line: every item, then the result (null) or the error. */
async function* linesOf(
  items: AsyncIterable<unknown>,
  id: RpcId,
  method: string,
  traceId: string,
): AsyncGenerator<string> {
  const idText = JSON.stringify(id)
  try {
    for await (const item of items) yield `{"jsonrpc":"2.0","item":${itemText(item, method)},"id":${idText}}\n`
    yield `${resultText('2.0', id, 'null')}\n`
  } catch (error) {
    yield `${errorText('2.0', id, error, traceId)}\n`
  }
}

/** @throws {RpcError} P2P_RPC_TOO_MANY_ITEMS */
async function collected(items: AsyncIterable<unknown>, method: string): Promise<string> {
  const texts: string[] = []
  let length = 0
  for await (const item of items) {
    const text = itemText(item, method)
    length += text.length
    if (texts.length >= COLLECTED_ITEMS_MAX || length > COLLECTED_BYTES_MAX) throw tooMany(method)
    texts.push(text)
  }
  return `[${texts.join(',')}]`
}

/** Bytes have no JSON: they are a text in base64. */
function itemText(item: unknown, method: string): string {
  if (!(item instanceof Uint8Array)) return lineOf(method, item)
  return `"${Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString('base64')}"`
}

function tooMany(method: string): RpcError {
  const message = `${method} streams more than ${COLLECTED_ITEMS_MAX} items or ${COLLECTED_BYTES_MAX} bytes, too much for one answer: ask with "Accept: application/x-ndjson" for an item a line`
  return new RpcError('P2P_RPC_TOO_MANY_ITEMS', message, { method })
}
