import type { Principal } from '../../base/identity.ts'

/** A call of a method of this node that has ended: one hop of a trace (W3C Trace Context). */
export interface CallSpan {
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

/** Hears of the calls that end on this node. */
export interface SpanListener {
  /** Whether it wants to hear of the calls of this trace; all nodes should answer alike. */
  wants(traceId: string): boolean
  ended(span: CallSpan): void
}
