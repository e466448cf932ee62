import { messageOf, RpcError } from '../../base/errors.ts'
import { forbiddenKeyIn, isTooDeep } from './json-guard.ts'
import { RPC_LIMITS } from './limits.ts'

/** JSON-RPC 2.0 section 4: a string, a number or null. */
export type RpcId = string | number | null

/** `2.0`, or the envelope without `jsonrpc` that the program spoke before version 3. */
export type RpcEnvelope = '2.0' | 'legacy'

export type RpcEntry =
  /** A request; without an id it is a notification (section 4.1) and gets no answer, whatever happens. */
  | { kind: 'call'; envelope: RpcEnvelope; id: RpcId | undefined; method: string; params: object | undefined }
  /** No valid request: answered with the error under the id, null where none could be told (section 5). */
  | { kind: 'invalid'; id: RpcId; error: RpcError }

export type RpcBody =
  | { kind: 'single'; entry: RpcEntry }
  | { kind: 'batch'; entries: RpcEntry[] }
  /** Nothing in it was looked at: one answer with id null. */
  | { kind: 'refused'; error: RpcError }

// Fatal, because JSON is UTF-8 (RFC 8259 section 8.1) and a replaced character would be another text.
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Reads a JSON-RPC body: size first, then encoding, depth, grammar, keys and shape. */
export function parseRpcBody(bytes: Uint8Array): RpcBody {
  const { bodyBytesMax, depthMax, batchMax } = RPC_LIMITS
  if (bytes.length > bodyBytesMax)
    return refused(invalid(`the body has ${bytes.length} bytes, ${bodyBytesMax} are allowed`))
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    return refused(new RpcError('P2P_RPC_PARSE_ERROR', 'Parse error: the body is not UTF-8'))
  }
  if (isTooDeep(text, depthMax)) return refused(invalid(`the body nests deeper than ${depthMax} levels`))
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refused(new RpcError('P2P_RPC_PARSE_ERROR', `Parse error: ${messageOf(error)}`))
  }
  const key = forbiddenKeyIn(text, value)
  if (key !== undefined) return refused(invalid(`the key "${key}" is not allowed anywhere in a body`))
  if (!Array.isArray(value)) return { kind: 'single', entry: entryOf(value) }
  if (value.length === 0) return refused(invalid('the batch is empty'))
  if (value.length > batchMax) return refused(invalid(`the batch has ${value.length} entries, ${batchMax} are allowed`))
  return { kind: 'batch', entries: value.map((item) => asVersion2(entryOf(item))) }
}

function entryOf(value: unknown): RpcEntry {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { kind: 'invalid', id: null, error: invalid('a request is an object') }
  }
  const { jsonrpc, method, params, id } = value as Record<string, unknown>
  const hasId = 'id' in value
  const usableId = isRpcId(id) ? id : null
  const reject = (reason: string): RpcEntry => ({ kind: 'invalid', id: usableId, error: invalid(reason) })
  if (hasId && !isRpcId(id)) return reject('"id" must be a string, null, or a number that keeps its value as a double')
  if (typeof method !== 'string') return reject('"method" must be a string')
  if (params !== undefined && (typeof params !== 'object' || params === null)) {
    return reject('"params" must be an object or an array')
  }
  const call = { kind: 'call', id: hasId ? usableId : undefined, method, params } as const
  if (jsonrpc === '2.0') return { ...call, envelope: '2.0' }
  // The older envelope always had an id; without one it would be an answerless call that says nowhere what it is.
  if (jsonrpc === undefined && hasId && id !== null) return { ...call, envelope: 'legacy' }
  return reject('"jsonrpc" must be exactly "2.0"')
}

/** The older envelope had no batches. */
function asVersion2(entry: RpcEntry): RpcEntry {
  if (entry.kind === 'invalid' || entry.envelope === '2.0') return entry
  return { kind: 'invalid', id: entry.id ?? null, error: invalid('"jsonrpc" must be exactly "2.0"') }
}

/** A number that a double cannot hold would come back as another one. */
function isRpcId(id: unknown): id is RpcId {
  if (typeof id === 'number') return Number.isFinite(id) && Math.abs(id) <= Number.MAX_SAFE_INTEGER
  return typeof id === 'string' || id === null
}

function invalid(reason: string): RpcError {
  return new RpcError('P2P_RPC_INVALID_REQUEST', `Invalid Request: ${reason}`)
}

function refused(error: RpcError): RpcBody {
  return { kind: 'refused', error }
}
