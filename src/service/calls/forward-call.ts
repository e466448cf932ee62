import { Invocation } from './invocation.ts'
import type { CallLink, Reply } from '../link/call-link.ts'
import type { MethodCall } from '../sdk/method.ts'

/**
 * Passes a call that came to this node on, over the link to the process in which its method runs: with the caller as this node
 * knows it, its deadline, trace and cancellation.
 * @param reply told of a `RawJson`, or a stream
 */
export function forwardCall(link: CallLink, method: string, params: unknown, call: MethodCall, reply: Reply): void {
  const { caller, relayedBy, traceId, parentSpanId, hops, deadlineMs } = call
  const ownSpanId = call instanceof Invocation ? call.ownSpanId : undefined
  const context = {
    traceId,
    spanId: ownSpanId ?? parentSpanId,
    isOwnSpan: ownSpanId === undefined ? undefined : (true as const),
    hops,
    caller,
    relayedBy,
  }
  // Of an invocation a signal would have to be made first, which costs more than the call.
  const isInvocation = call instanceof Invocation
  const signal = isInvocation ? undefined : call.signal
  const cancellation = isInvocation ? call.cancellation : undefined
  link.begin({ method, params, deadlineMs, context, signal, cancellation }, reply)
}
