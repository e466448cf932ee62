import { AsyncLocalStorage } from 'node:async_hooks'
import type { NodeId, Principal } from '../base/identity.ts'
import type { LocalMethod } from './local-method.ts'
import type { MethodCall } from './sdk/method.ts'
import type { ServiceRuntime } from './sdk/service-runtime.ts'

/** Where a call comes from and how long it is waited for. */
export interface CallOrigin {
  caller: Principal
  relayedBy?: NodeId | undefined
  traceId: string
  /** On the monotonic clock. */
  deadlineMs: number
}

/**
 * One running call of a method of this node, and at the same time what the method sees of it. Its signal is made
 * when somebody asks for it: most methods never do.
 */
export class Invocation implements MethodCall {
  readonly method: LocalMethod
  readonly caller: Principal
  readonly relayedBy?: NodeId
  readonly traceId: string
  readonly deadlineMs: number
  readonly startedMs: number
  readonly result: Promise<unknown>
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void
  #controller: AbortController | undefined
  #hasEnded = false
  #abortReason: unknown

  constructor(method: LocalMethod, origin: CallOrigin, deadlineMs: number, startedMs: number) {
    this.method = method
    this.caller = origin.caller
    if (origin.relayedBy !== undefined) this.relayedBy = origin.relayedBy
    this.traceId = origin.traceId
    this.deadlineMs = deadlineMs
    this.startedMs = startedMs
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get service(): ServiceRuntime {
    return this.method.runtime
  }

  /** Settled or given up; what the method still does after that belongs to no call. */
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

  resolve(value: unknown): void {
    this.#hasEnded = true
    this.#resolve(value)
  }

  reject(error: unknown): void {
    this.#hasEnded = true
    this.#reject(error)
  }

  /** Rejects, and tells the method that nobody waits any more. */
  abort(reason: Error): void {
    this.reject(reason)
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }
}

/** The call on whose behalf code is running; the proxy carries its deadline, trace and cancellation on. */
export const callScope = new AsyncLocalStorage<Invocation>()
