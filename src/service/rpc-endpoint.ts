import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Caller, RpcAnswer, RpcRequest } from './descriptor.ts'
import { errorText, parseRpcBody, resultText, type RpcEntry } from './jsonrpc/index.ts'

export interface RpcEndpointNeeds {
  caller: Caller
  log: Logger
}

const OK = 200
const NO_CONTENT = 204

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
      const text = await answerEntry(needs, parsed.entry, request)
      if (text === undefined) return { status: NO_CONTENT, body: undefined }
      return { status: parsed.entry.kind === 'invalid' ? parsed.entry.error.facts.http : OK, body: text }
    }
    case 'batch': {
      const texts = await Promise.all(parsed.entries.map((entry) => answerEntry(needs, entry, request)))
      const answers = texts.filter((text) => text !== undefined)
      if (answers.length === 0) return { status: NO_CONTENT, body: undefined }
      return { status: OK, body: `[${answers.join(',')}]` }
    }
  }
}

/** @returns undefined for a notification: even its failure is told to nobody (section 4.1) */
async function answerEntry(needs: RpcEndpointNeeds, entry: RpcEntry, request: RpcRequest): Promise<string | undefined> {
  const { traceId, target } = request
  if (entry.kind === 'invalid') return errorText('2.0', entry.id, entry.error, traceId)
  const { envelope, id, method, params } = entry
  try {
    const result = await needs.caller.call(method, params, request, target)
    return id === undefined ? undefined : resultText(envelope, id, result, method)
  } catch (error) {
    if (id !== undefined) return errorText(envelope, id, error, traceId)
    needs.log.debug('A notification failed', { method, traceId, reason: messageOf(error) })
    return undefined
  }
}
