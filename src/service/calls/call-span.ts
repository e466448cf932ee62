import { codeOf, messageOf } from '../../base/errors.ts'
import type { NodeId, Principal } from '../../base/identity.ts'

/**
 * A call that has ended: one hop of a trace (W3C Trace Context). A call between two nodes is two of them: that of the node it
 * left is the parent of that of the node it ran on.
 */
export interface CallSpan {
  /** Of a call that left this node: the one it was sent to. Undefined: it ran here. */
  calledNode?: NodeId | undefined
  /** 32 hex digits. */
  traceId: string
  /** 16 hex digits: of this call, and what calls it made have as their parent. */
  spanId: string
  /** Of the call that made this one; undefined at the beginning of a trace. */
  parentSpanId: string | undefined
  /** `service/method` */
  method: string
  caller: Principal
  /** It ended now; of a stream: when its last item had gone. */
  durationMs: number
  error: { code: string; message: string } | undefined
}

/** What a span tells of why its call failed. @param failure undefined: it did not */
export function spanError(failure: unknown): CallSpan['error'] {
  return failure === undefined ? undefined : { code: codeOf(failure) ?? '', message: messageOf(failure) }
}

/** Hears of the calls that end on this node, and of those that left it, each attempt by itself. */
export interface SpanListener {
  /** Whether it wants to hear of the calls of this trace; all nodes should answer alike. */
  wants(traceId: string): boolean
  ended(span: CallSpan): void
}
