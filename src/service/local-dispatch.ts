import { P2PError, RpcError } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import { type Clock, delay } from '../base/time.ts'
import { refusalOf } from './access.ts'
import { DeadlineTimer } from './deadline-timer.ts'
import { type CallOrigin, callScope, Invocation } from './invocation.ts'
import type { LocalMethod } from './local-method.ts'
import { RESULT_SCOPE, type ResultCache, resultKey } from './result-cache.ts'
import { namedParams, parsedParams, parsedResult } from './schema-check.ts'
import { SERVICE_ERROR } from './sdk/brands.ts'

/** Methods of this node running at once, those given up by their callers but not finished included. */
export const INVOCATIONS_MAX = 16_384

export interface LocalDispatchNeeds {
  clock: Clock
  log: Logger
  cache?: ResultCache | undefined
}

/**
 * Runs methods of this node's services. The name that is looked up is the name access is decided for; then
 * parameters are checked, the method runs under its deadline, and its result is checked.
 */
export class LocalDispatch {
  readonly #needs: LocalDispatchNeeds
  readonly #nodeId: NodeId
  readonly #methods = new Map<string, LocalMethod>()
  /** Calls somebody waits for. */
  readonly #open = new Set<Invocation>()
  readonly #timer: DeadlineTimer
  /** Methods that have not returned, waited for or not. */
  #unfinished = 0

  constructor(needs: LocalDispatchNeeds, nodeId: NodeId) {
    this.#needs = needs
    this.#nodeId = nodeId
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endExpired(nowMs))
  }

  tableSizes(): { running: number; unfinished: number } {
    return { running: this.#open.size, unfinished: this.#unfinished }
  }

  add(methods: Iterable<LocalMethod>): void {
    for (const method of methods) this.#methods.set(method.name, method)
  }

  remove(methods: Iterable<LocalMethod>): void {
    for (const method of methods) this.#methods.delete(method.name)
  }

  find(name: string): LocalMethod | undefined {
    return this.#methods.get(name)
  }

  /** Starts a call; what becomes of it, a refusal too, is told by the invocation's result. */
  start(method: LocalMethod, params: unknown, origin: CallOrigin): Invocation {
    const nowMs = this.#needs.clock.nowMs()
    const deadlineMs = Math.min(origin.deadlineMs, nowMs + method.descriptor.timeoutMs)
    const invocation = new Invocation(method, origin, deadlineMs, nowMs)
    const refusal = refusalOf(method.descriptor, origin.caller, this.#nodeId) ?? this.#noRoom(invocation)
    if (refusal) {
      method.stats.count(0, true)
      invocation.reject(refusal)
      return invocation
    }
    method.stats.begin()
    this.#track(invocation)
    this.#serve(invocation, params)
    return invocation
  }

  /** Gives a call up: its caller went away. */
  cancel(invocation: Invocation, reason: Error): void {
    if (this.#open.delete(invocation)) invocation.abort(reason)
  }

  /** Waits until no call of the service runs, at most `limitMs`; then gives up those that do. */
  async drain(service: string, limitMs: number): Promise<void> {
    const open = [...this.#open].filter((invocation) => invocation.method.descriptor.service === service)
    if (open.length === 0) return
    const waiting = new AbortController()
    const limit = delay(this.#needs.clock, limitMs, waiting.signal).catch(() => {})
    await Promise.race([Promise.allSettled(open.map((invocation) => invocation.result)), limit])
    waiting.abort()
    for (const invocation of open) this.cancel(invocation, stopping(invocation.method.name))
  }

  stop(): void {
    this.#timer.stop()
    for (const invocation of this.#open) this.cancel(invocation, stopping(invocation.method.name))
  }

  #noRoom(invocation: Invocation): RpcError | undefined {
    const { name } = invocation.method
    if (invocation.deadlineMs <= invocation.startedMs) return exceeded(invocation)
    if (this.#unfinished < INVOCATIONS_MAX) return undefined
    const message = `Node ${this.#nodeId} runs ${INVOCATIONS_MAX} calls already and took no call of ${name}: try again later`
    return new RpcError('P2P_RPC_OVERLOADED', message, { method: name, node: this.#nodeId })
  }

  #track(invocation: Invocation): void {
    this.#unfinished++
    this.#open.add(invocation)
    this.#timer.note(invocation.deadlineMs)
  }

  /** Never throws. Nothing here waits for what is there already: most methods answer at once. */
  #serve(invocation: Invocation, params: unknown): void {
    try {
      const outcome = this.#checkAndRun(invocation, params)
      if (isThenable(outcome)) {
        outcome.then(
          (value) => this.#end(invocation, value),
          (error: unknown) => this.#fail(invocation, error),
        )
      } else this.#end(invocation, outcome)
    } catch (error) {
      this.#fail(invocation, error)
    }
  }

  #end(invocation: Invocation, value: unknown): void {
    if (this.#close(invocation, invocation.hasEnded)) invocation.resolve(value)
  }

  #fail(invocation: Invocation, error: unknown): void {
    const failure = error instanceof P2PError ? error : this.#callersError(error, invocation)
    if (this.#close(invocation, true)) invocation.reject(failure)
  }

  /** @returns whether somebody still waits for the outcome */
  #close(invocation: Invocation, isError: boolean): boolean {
    this.#unfinished--
    invocation.method.stats.end(this.#needs.clock.nowMs() - invocation.startedMs, isError)
    return this.#open.delete(invocation)
  }

  /** @returns the outcome, or a promise of it */
  #checkAndRun(invocation: Invocation, params: unknown): unknown {
    const { method } = invocation
    const named = namedParams(method.name, params, method.parameterNames)
    const run = (input: unknown): unknown =>
      this.#fromCache(invocation, named, input) ?? this.#invoke(invocation, input)
    if (!method.params) return run(named)
    const checked = method.params['~standard'].validate(named)
    if (checked instanceof Promise) return checked.then((result) => run(parsedParams(method.name, result)))
    return run(parsedParams(method.name, checked))
  }

  /** @param named the parameters before they were parsed: what the caller's result is kept under */
  #fromCache(invocation: Invocation, named: unknown, input: unknown): Promise<unknown> | undefined {
    const { method } = invocation
    const { cache } = this.#needs
    const { cacheTtlMs } = method.descriptor
    if (!cache || cacheTtlMs === 0) return undefined
    const key = resultKey(this.#nodeId, method.name, method.serviceVersion, named)
    if (key === undefined) return undefined
    return cache.getOrCompute(RESULT_SCOPE, key, cacheTtlMs, () => this.#compute(invocation, input))
  }

  /** A computation that several callers may wait for: it has the method's whole time, and none of them can cancel it. */
  async #compute(first: Invocation, input: unknown): Promise<unknown> {
    const nowMs = this.#needs.clock.nowMs()
    const invocation = new Invocation(first.method, first, nowMs + first.method.descriptor.timeoutMs, nowMs)
    this.#track(invocation)
    const settle = (end: () => void): void => {
      this.#unfinished--
      if (this.#open.delete(invocation)) end()
    }
    Promise.try(() => this.#invoke(invocation, input)).then(
      (value) => settle(() => invocation.resolve(value)),
      (error: unknown) => settle(() => invocation.reject(error)),
    )
    return invocation.result
  }

  /** @returns the result, or a promise of it */
  #invoke(invocation: Invocation, input: unknown): unknown {
    const { method } = invocation
    let value: unknown
    try {
      value = callScope.run(invocation, method.invoke, input, invocation)
    } catch (error) {
      throw this.#callersError(error, invocation)
    }
    if (isThenable(value)) {
      return value.then(
        (settled) => checkedResult(method, settled),
        (error: unknown) => {
          throw this.#callersError(error, invocation)
        },
      )
    }
    return checkedResult(method, value)
  }

  /** What the caller may know of a failure. The log gets what the caller does not. */
  #callersError(error: unknown, invocation: Invocation): P2PError {
    const { method, traceId } = invocation
    if (isServiceError(error)) {
      const details = { method: method.name, reason: error.reason, ...error.details }
      return new RpcError('P2P_RPC_SERVICE_FAILED', error.message, details, { cause: error })
    }
    if (error instanceof P2PError) {
      if (method.isBuiltin || error.code === 'P2P_RPC_DEADLINE_EXCEEDED' || error.code === 'P2P_RPC_CANCELLED')
        return error
      // A failure of what the method itself called must not look like a failure of this call.
      const message = `${method.name} failed because a call it made failed: ${error.message}`
      return new RpcError(
        'P2P_RPC_SERVICE_FAILED',
        message,
        { method: method.name, reason: error.code },
        { cause: error },
      )
    }
    this.#needs.log.error('A method failed', { method: method.name, traceId, error })
    const message = `${method.name} failed on node ${this.#nodeId}: its log has the reason under trace ${traceId}`
    return new RpcError(
      'P2P_RPC_SERVICE_FAILED',
      message,
      { method: method.name, node: this.#nodeId },
      { cause: error },
    )
  }

  #endExpired(nowMs: number): number {
    let nextMs = Infinity
    for (const invocation of this.#open) {
      if (invocation.deadlineMs <= nowMs) this.cancel(invocation, exceeded(invocation))
      else if (invocation.deadlineMs < nextMs) nextMs = invocation.deadlineMs
    }
    return nextMs
  }
}

/** @returns the result, or a promise of it */
function checkedResult(method: LocalMethod, value: unknown): unknown {
  if (!method.result) return value
  const checked = method.result['~standard'].validate(value)
  if (checked instanceof Promise) return checked.then((result) => parsedResult(method.name, result))
  return parsedResult(method.name, checked)
}

/** Also promises that are not Node's own, as `await` does. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

interface ServiceErrorLike {
  message: string
  reason: string
  details: Record<string, unknown>
}

function isServiceError(error: unknown): error is ServiceErrorLike {
  return typeof error === 'object' && error !== null && SERVICE_ERROR in error
}

function exceeded(invocation: Invocation): RpcError {
  const { method, startedMs, deadlineMs } = invocation
  const waitedMs = Math.max(0, Math.round(deadlineMs - startedMs))
  const message = `${method.name} did not answer within ${waitedMs} ms`
  return new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method: method.name, waitedMs })
}

function stopping(method: string): RpcError {
  return new RpcError('P2P_RPC_CANCELLED', `${method} was given up: its service is stopping`, { method })
}
