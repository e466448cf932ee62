import { isNodeId, type Principal, ROLES } from '../../base/identity.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import type { LinkContext } from './call-link.ts'

/*
 * The context of a request as JSON (docs/protocol/jsonrpc.md).
 */

/** A deadline beyond this is no deadline. */
export const TIMEOUT_MS_MAX = 24 * 60 * 60 * 1_000
const TRACE_ID = /^[0-9a-f]{32}$/
const SPAN_ID = /^[0-9a-f]{16}$/
const NAME_LENGTH_MAX = 256
const PERSON_ROLES: readonly unknown[] = ['viewer', 'operator', 'admin']

/** Callers whose text is known: there are few, and a call has one every time. */
const callerTexts = new WeakMap<Principal, string>()

function callerText(caller: Principal): string {
  const known = callerTexts.get(caller)
  if (known !== undefined) return known
  const text = JSON.stringify(caller)
  callerTexts.set(caller, text)
  return text
}

/** Its members beside `timeout_ms` and `trace_id`, each with a comma before it: what few calls have, so that the rest pays nothing for it. */
export function restText({
  spanId,
  isOwnSpan,
  hops,
  service,
  person,
  caller,
  relayedBy,
  target,
  retries,
}: Omit<LinkContext, 'timeoutMs' | 'traceId'>): string {
  let text = ''
  if (spanId !== undefined) text += `,"span_id":"${spanId}"`
  if (isOwnSpan) text += ',"own_span":true'
  if (hops !== undefined && hops > 0) text += `,"hops":${hops}`
  if (service !== undefined) text += `,"service":${quoted(service)}`
  if (person !== undefined) text += `,"person":${JSON.stringify(person)}`
  if (caller !== undefined) text += `,"caller":${callerText(caller)}`
  if (relayedBy !== undefined) text += `,"relayed_by":${quoted(relayedBy)}`
  if (target !== undefined) text += `,"target":${quoted(target)}`
  if (retries !== undefined) text += `,"retries":${retries}`
  return text
}

const PLAIN = /^[\w./$-]*$/

/** As JSON.stringify, and faster for what nearly all names are. */
export function quoted(name: string): string {
  return PLAIN.test(name) ? `"${name}"` : JSON.stringify(name)
}

/** @returns undefined when it is no context */
export function contextOf(value: unknown): LinkContext | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const fields = value as Record<string, unknown>
  const { timeout_ms: timeoutMs, trace_id: traceId, span_id: spanId, hops, service, person, caller, target } = fields
  const { relayed_by: relayedBy, retries, own_span: isOwnSpan } = fields
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0)) return undefined
  if (typeof traceId !== 'string' || !TRACE_ID.test(traceId)) return undefined
  const context: LinkContext = { timeoutMs: Math.min(timeoutMs, TIMEOUT_MS_MAX), traceId }
  if (spanId !== undefined) {
    if (typeof spanId !== 'string' || !SPAN_ID.test(spanId)) return undefined
    context.spanId = spanId
  }
  if (isOwnSpan === true) context.isOwnSpan = true
  if (hops !== undefined) {
    if (!isCallId(hops)) return undefined
    context.hops = hops
  }
  if (service !== undefined) {
    if (typeof service !== 'string' || !isServiceName(service)) return undefined
    context.service = service
  }
  if (person !== undefined) {
    if (!isPerson(person)) return undefined
    context.person = person
  }
  if (caller !== undefined) {
    if (!isPrincipal(caller)) return undefined
    context.caller = caller
  }
  if (relayedBy !== undefined) {
    if (typeof relayedBy !== 'string' || !isNodeId(relayedBy)) return undefined
    context.relayedBy = relayedBy
  }
  if (retries !== undefined) {
    if (!isCallId(retries)) return undefined
    context.retries = retries
  }
  if (target !== undefined) {
    if (typeof target !== 'string' || target.length > NAME_LENGTH_MAX) return undefined
    context.target = target
  }
  return context
}

function isPerson(value: unknown): value is NonNullable<LinkContext['person']> {
  if (typeof value !== 'object' || value === null) return false
  const { name, role } = value as Record<string, unknown>
  return typeof name === 'string' && name.length <= NAME_LENGTH_MAX && PERSON_ROLES.includes(role)
}

function isPrincipal(value: unknown): value is Principal {
  if (typeof value !== 'object' || value === null) return false
  const { kind, nodeId, role, service } = value as Record<string, unknown>
  if (kind === 'anonymous') return true
  if (kind === 'person') return isPerson(value)
  const isService = service === undefined || (typeof service === 'string' && isServiceName(service))
  const isNode = typeof nodeId === 'string' && isNodeId(nodeId) && (ROLES as readonly unknown[]).includes(role)
  return kind === 'node' && isNode && isService
}

/** Six bytes hold it. */
const ID_MAX = 2 ** 48 - 1

export function isCallId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= ID_MAX
}
