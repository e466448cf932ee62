import { messageOf, RpcError, TransportError } from '../../base/errors.ts'
import { CALLS_PER_LINK_MAX, STREAMS_PER_LINK_MAX } from './link-limits.ts'

/*
 * How a call over a link fails beside what the other end answers.
 */

/** @param label of the other end: `node worker-1` */
export function exceeded(method: string, label: string): RpcError {
  return new RpcError('P2P_RPC_DEADLINE_EXCEEDED', `${method} was not answered by ${label} in time`, {
    method,
    at: label,
  })
}

export function cancelled(method: string, label?: string): RpcError {
  const where = label === undefined ? '' : ` on ${label}`
  return new RpcError('P2P_RPC_CANCELLED', `The call of ${method}${where} was given up by its caller`, { method })
}

/** Nothing moved in a stream for as long as its caller allows. */
export function idle(method: string, idleMs: number): RpcError {
  const message = `The stream of ${method} was ended: nothing moved in it for ${Math.round(idleMs)} ms`
  return new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method, idleMs: Math.round(idleMs) })
}

export function overloaded(method: string, where: string): RpcError {
  const message = `${method} was not called: ${CALLS_PER_LINK_MAX} calls ${where} wait for their answers; try again later`
  return new RpcError('P2P_RPC_OVERLOADED', message, { method })
}

export function tooManyStreams(method: string, label: string): RpcError {
  const message = `${method} cannot stream: ${STREAMS_PER_LINK_MAX} streams between this node and ${label} are open; try again later`
  return new RpcError('P2P_RPC_OVERLOADED', message, { method })
}

export function closed(label: string, reason: unknown): TransportError {
  // What a channel says of itself names the other end once more.
  const { details = {} } = reason instanceof TransportError ? reason : {}
  const why = typeof details['reason'] === 'string' ? details['reason'] : messageOf(reason)
  const message = `The connection to ${label} closed before the answer came: ${why}`
  return new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', message, { at: label })
}
