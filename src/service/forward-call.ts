import { Invocation } from './invocation.ts'
import type { CallLink } from './link/call-link.ts'
import type { MethodCall } from './sdk/method.ts'

/**
 * Passes a call that came to this node on, over the link to the process in which its method runs: with the caller as this node
 * knows it, its deadline, trace and cancellation.
 * @returns a `RawJson`, or a stream
 */
export function forwardCall(link: CallLink, method: string, params: unknown, call: MethodCall): Promise<unknown> {
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
  if (!(call instanceof Invocation)) return link.call({ method, params, deadlineMs, context, signal: call.signal })
  // Its signal would have to be made first, which costs more than the call.
  return link.call({ method, params, deadlineMs, context, cancellation: call.cancellation })
}
