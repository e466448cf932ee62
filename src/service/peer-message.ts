import { isServiceName, RPC_LIMITS, forbiddenKeyIn, isTooDeep } from './jsonrpc/index.ts'

/*
 * JSON-RPC 2.0 messages between nodes (docs/protocol/jsonrpc.md): one message a frame, ids are numbers, and a request
 * has a member `context` beside those of the specification.
 */

/** What travels with a request. Who calls is not in it: the channel's certificate says that. */
export interface PeerCallContext {
  /** How long the caller still waits, at least 1. */
  timeoutMs: number
  /** 32 hex digits. */
  traceId: string
  /** The calling node's service. */
  service?: string | undefined
  /** The person whose call the node passes on. */
  person?: { name: string; role: 'viewer' | 'operator' | 'admin' } | undefined
}

export type PeerMessage =
  | { kind: 'request'; id: number; method: string; params: object | undefined; context: PeerCallContext }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; error: unknown }
  | { kind: 'cancel'; id: number }
  | { kind: 'invalid'; reason: string }

/** As in the Language Server Protocol: names beginning with `$/` belong to the protocol. */
const CANCEL_METHOD = '$/cancel'
/** A deadline beyond this is no deadline. */
const TIMEOUT_MS_MAX = 24 * 60 * 60 * 1_000
const TRACE_ID = /^[0-9a-f]{32}$/
const PERSON_NAME_LENGTH_MAX = 256
const PERSON_ROLES: readonly unknown[] = ['viewer', 'operator', 'admin']

/**
 * @param method of the form `service/method`
 * @throws what JSON.stringify throws when `params` cannot be JSON
 */
export function requestText(id: number, method: string, params: unknown, context: PeerCallContext): string {
  const paramsPart = params === undefined ? '' : `,"params":${JSON.stringify(params)}`
  const servicePart = context.service === undefined ? '' : `,"service":"${context.service}"`
  const personPart = context.person === undefined ? '' : `,"person":${JSON.stringify(context.person)}`
  const contextPart = `{"timeout_ms":${Math.min(Math.ceil(context.timeoutMs), TIMEOUT_MS_MAX)},"trace_id":"${context.traceId}"${servicePart}${personPart}}`
  return `{"jsonrpc":"2.0","id":${id},"method":"${method}"${paramsPart},"context":${contextPart}}`
}

export function cancelText(id: number): string {
  return `{"jsonrpc":"2.0","method":"${CANCEL_METHOD}","params":{"id":${id}}}`
}

/** Reads one frame. Nothing in it can make this throw. */
export function parsePeerMessage(payload: Uint8Array): PeerMessage {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8')
  let value: Record<string, unknown>
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null) return { kind: 'invalid', reason: 'no object' }
    value = parsed as Record<string, unknown>
  } catch {
    return { kind: 'invalid', reason: 'no JSON' }
  }
  const { id, method } = value
  if (method === undefined) return answerOf(id, value)
  if (isTooDeep(text, RPC_LIMITS.depthMax)) return { kind: 'invalid', reason: 'nested too deep' }
  if (forbiddenKeyIn(text, value) !== undefined) return { kind: 'invalid', reason: 'a key that is not allowed' }
  if (method === CANCEL_METHOD) return cancelOf(value.params)
  return requestOf(id, method, value)
}

function answerOf(id: unknown, value: Record<string, unknown>): PeerMessage {
  if (!isCallId(id)) return { kind: 'invalid', reason: 'an answer without an id' }
  if (value.error !== undefined) return { kind: 'error', id, error: value.error }
  return { kind: 'result', id, result: value.result }
}

function cancelOf(params: unknown): PeerMessage {
  const id = typeof params === 'object' && params !== null ? (params as { id?: unknown }).id : undefined
  return isCallId(id) ? { kind: 'cancel', id } : { kind: 'invalid', reason: 'a cancellation without an id' }
}

function requestOf(id: unknown, method: unknown, value: Record<string, unknown>): PeerMessage {
  const { params } = value
  const context = contextOf(value.context)
  if (!isCallId(id)) return { kind: 'invalid', reason: 'a request without an id' }
  if (typeof method !== 'string') return { kind: 'invalid', reason: 'a method that is no string' }
  if (!context) return { kind: 'invalid', reason: 'a request without a usable context' }
  if (params !== undefined && (typeof params !== 'object' || params === null)) {
    return { kind: 'invalid', reason: 'params that are neither object nor array' }
  }
  return { kind: 'request', id, method, params, context }
}

function contextOf(value: unknown): PeerCallContext | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { timeout_ms: timeoutMs, trace_id: traceId, service, person } = value as Record<string, unknown>
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0)) return undefined
  if (typeof traceId !== 'string' || !TRACE_ID.test(traceId)) return undefined
  if (service !== undefined && (typeof service !== 'string' || !isServiceName(service))) return undefined
  if (person !== undefined && !isPerson(person)) return undefined
  return { timeoutMs: Math.min(timeoutMs, TIMEOUT_MS_MAX), traceId, service, person }
}

function isPerson(value: unknown): value is NonNullable<PeerCallContext['person']> {
  if (typeof value !== 'object' || value === null) return false
  const { name, role } = value as Record<string, unknown>
  return typeof name === 'string' && name.length <= PERSON_NAME_LENGTH_MAX && PERSON_ROLES.includes(role)
}

function isCallId(id: unknown): id is number {
  return typeof id === 'number' && Number.isSafeInteger(id) && id >= 0
}
