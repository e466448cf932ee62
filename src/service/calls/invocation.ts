import { AsyncLocalStorage } from 'node:async_hooks'
import type { Placed } from './bag.ts'
import { Cancellation } from './cancellation.ts'
import type { NodeId, NodeRole, Principal } from '../../base/identity.ts'
import type { Random } from '../../base/random.ts'
import type { Reply } from '../link/call-link.ts'
import type { LocalMethod } from './local-method.ts'
import type { MethodGuard } from './method-guard.ts'
import type { PeerShare } from './peer-shares.ts'
import type { MethodCall } from '../sdk/method.ts'
import type { ServiceRuntime } from '../sdk/service-runtime.ts'
import { newSpanId } from './trace-id.ts'

/** Where a call comes from and how long it is waited for. */
export interface CallOrigin {
  caller: Principal
  relayedBy?: NodeId | undefined
  /** Of the other node that brought it over a channel. */
  peerRole?: NodeRole | undefined
  traceId: string
  parentSpanId?: string | undefined
  hops?: number | undefined
  /** On the monotonic clock. */
  deadlineMs: number
  /** What this call is known as already, by the node that told the process of its service. */
  ownSpanId?: string | undefined
}

/** What an invocation is told when it is given up while its result streams. */
export interface Abortable {
  abort(reason: Error): void
}

/**
 * One running call of a method of this node, and at the same time what the method sees of it. Its signal and its span id
 * are made when somebody asks for them: most methods never do.
 */
export class Invocation implements MethodCall, Placed {
  readonly method: LocalMethod
  readonly caller: Principal
  readonly relayedBy?: NodeId
  readonly traceId: string
  readonly parentSpanId: string | undefined
  readonly hops: number
  readonly startedMs: number
  /** Of a stream it moves on as the stream does. */
  deadlineMs: number
  /** Of a stream: how long nothing may move. */
  idleMs: number | undefined
  /** Among the open calls of its dispatch. */
  place = -1
  /** Its end will be told as a span: whatever is done for it must go by its span id. */
  isTraced = false
  /** Has let the call begin, and is told of its end. */
  guard: MethodGuard | undefined
  /** Counts it, when another node brought it. */
  share: PeerShare | undefined
  /** What it counts for there. */
  paramsBytes = 0
  readonly #random: Random
  #spanId: string | undefined
  /** Told of the end; undefined: only those who ask for `result` are. */
  readonly #reply: Reply | undefined
  #result: PromiseWithResolvers<unknown> | undefined
  #outcome: Outcome | undefined
  #controller: AbortController | undefined
  #hasEnded = false
  #abortReason: Error | undefined
  #stream: Abortable | undefined
  #cancellation: Cancellation | undefined
  #onEnd: (() => void) | undefined

  constructor(
    method: LocalMethod,
    origin: CallOrigin,
    deadlineMs: number,
    startedMs: number,
    random: Random,
    reply?: Reply,
  ) {
    this.method = method
    this.caller = origin.caller
    if (origin.relayedBy !== undefined) this.relayedBy = origin.relayedBy
    this.traceId = origin.traceId
    this.parentSpanId = origin.parentSpanId
    this.hops = origin.hops ?? 0
    this.deadlineMs = deadlineMs
    this.startedMs = startedMs
    this.#random = random
    this.#spanId = origin.ownSpanId
    this.#reply = reply
  }

  get service(): ServiceRuntime {
    return this.method.runtime
  }

  /** Settled as the call is. Made when it is first asked for: who passes a call on gives a reply, and needs none. */
  get result(): Promise<unknown> {
    if (!this.#result) {
      this.#result = Promise.withResolvers()
      if (this.#outcome) settle(this.#result, this.#outcome)
    }
    return this.#result.promise
  }

  get spanId(): string {
    return (this.#spanId ??= newSpanId(this.#random))
  }

  /** As which it is passed on; undefined where nobody will hear of it. */
  get ownSpanId(): string | undefined {
    return this.isTraced ? this.spanId : undefined
  }

  /** Settled or given up, a stream to its end; what the method still does after that belongs to no call. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  /** As the signal, at a tenth of its cost: for calls that are made on behalf of this one. */
  get cancellation(): Cancellation {
    if (!this.#cancellation) {
      this.#cancellation = new Cancellation()
      if (this.#abortReason !== undefined) this.#cancellation.cancel(this.#abortReason)
    }
    return this.#cancellation
  }

  /** Calls back when the call has ended, in whatever way. */
  whenEnded(listener: () => void): void {
    if (this.#hasEnded) {
      listener()
      return
    }
    const before = this.#onEnd
    this.#onEnd = before
      ? () => {
          before()
          listener()
        }
      : listener
  }

  resolve(value: unknown): void {
    this.#settled({ value })
    this.#ended()
  }

  reject(error: unknown): void {
    this.#settled({ error })
    this.#ended()
  }

  /** Answers with a stream: the call goes on until {@link streamEnded}. */
  resolveStream(stream: Abortable): void {
    this.#stream = stream
    this.#settled({ value: stream })
  }

  streamEnded(): void {
    this.#ended()
  }

  /** Rejects, or breaks off the stream, and tells the method that nobody waits any more. */
  abort(reason: Error): void {
    this.#abortReason = reason
    this.reject(reason)
    this.#stream?.abort(reason)
    this.#cancellation?.cancel(reason)
    this.#controller?.abort(reason)
  }

  /** The first outcome counts: a stream that breaks off has been answered. */
  #settled(outcome: Outcome): void {
    if (this.#outcome) return
    this.#outcome = outcome
    if (this.#reply) settle(this.#reply, outcome)
    if (this.#result) settle(this.#result, outcome)
  }

  #ended(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd?.()
  }
}

type Outcome = { value: unknown } | { error: unknown }

function settle(reply: Reply, outcome: Outcome): void {
  if ('error' in outcome) reply.reject(outcome.error)
  else reply.resolve(outcome.value)
}

/** The call on whose behalf code is running; the proxy carries its deadline, trace and cancellation on. */
export const callScope = new AsyncLocalStorage<Invocation>()

/** Trace of the call on whose behalf code is running; undefined outside of calls. */
export function currentTraceId(): string | undefined {
  const call = callScope.getStore()
  return call?.hasEnded === false ? call.traceId : undefined
}
