import type { AuditAct, AuditTrail } from '../../base/audit.ts'
import { codeOf, type ErrorCode, messageOf, P2PError, RpcError } from '../../base/errors.ts'
import { type NodeId, principalLabel } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { type Clock, delay } from '../../base/time.ts'
import { createRateLimiter, type RateLimiter } from '../../transport/index.ts'
import { refusalOf, refusalOfPeer } from './access.ts'
import { Bag } from './bag.ts'
import { DeadlineTimer } from './deadline-timer.ts'
import { type CallOrigin, callScope, Invocation } from './invocation.ts'
import type { Reply } from '../link/call-link.ts'
import { idle } from '../link/link-failure.ts'
import type { LocalMethod } from './local-method.ts'
import { LocalStream } from './local-stream.ts'
import { isGuarded, MethodGuard } from './method-guard.ts'
import { PARAMS_BYTES_MAX, peerOf, PeerShares } from './peer-shares.ts'
import { isStream, RawJson, readParams, readResult } from './raw-json.ts'
import { RESULT_SCOPE, type ResultCache, resultKey } from './result-cache.ts'
import { permissionRemedy } from '../definition/permission-remedy.ts'
import { namedParams, parsedParams, parsedResult } from '../definition/schema-check.ts'
import { SERVICE_ERROR } from '../sdk/brands.ts'
import type { Schema } from '../sdk/schema.ts'
import { type SpanListener, spanError } from './call-span.ts'

/** Methods of this node running at once, those given up by their callers but not finished included. */
export const INVOCATIONS_MAX = 16_384

const GIVEN_UP = new RpcError('P2P_RPC_CANCELLED', 'Nobody waited for it any more')

/** Calls that may make one another in a row: far more than any design has, and few enough that a circle ends at once. */
export const HOPS_MAX = 32

/** Of one worker: more than the people of a cluster do by it, and a gigabyte of records in more than two days. */
const RELAYED_ACTS_LIMIT = { perMinute: 600, burst: 300, keysMax: 256 } as const

export interface LocalDispatchNeeds {
  clock: Clock
  random: Random
  log: Logger
  cache?: ResultCache | undefined
  /** Records what people with more than a viewer's rights do. Absent in a service's process: the node has recorded it. */
  audit?: AuditTrail | undefined
  /** Told of the calls here. Absent in a service's process: its node tells of them. */
  spans?: SpanListener | undefined
}

/**
 * Runs methods of this node's services. The name that is looked up is the name access is decided for; then
 * parameters are checked, the method runs under its deadline, and its result, or each item of its stream, is checked.
 */
export class LocalDispatch {
  readonly #needs: LocalDispatchNeeds
  readonly #nodeId: NodeId
  readonly #methods = new Map<string, LocalMethod>()
  /** Of the methods that have limits of their own. */
  readonly #guards = new Map<LocalMethod, MethodGuard>()
  /** Calls somebody waits for, or whose stream is open. */
  readonly #open = new Bag<Invocation>()
  readonly #timer: DeadlineTimer
  readonly #shares = new PeerShares()
  /** Privileged calls of people that other nodes pass on, by those nodes. */
  readonly #relayedActs: RateLimiter
  /** Methods that have not returned, waited for or not. */
  #unfinished = 0

  constructor(needs: LocalDispatchNeeds, nodeId: NodeId) {
    this.#needs = needs
    this.#nodeId = nodeId
    this.#relayedActs = createRateLimiter({ clock: needs.clock }, RELAYED_ACTS_LIMIT)
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endExpired(nowMs))
  }

  tableSizes(): { running: number; unfinished: number } {
    return { running: this.#open.size, unfinished: this.#unfinished }
  }

  /** A method takes the place of one of the same name: calls that run go on where they are. */
  add(methods: Iterable<LocalMethod>): void {
    for (const method of methods) {
      this.#methods.set(method.name, method)
      if (isGuarded(method.descriptor)) this.#guards.set(method, new MethodGuard(this.#needs.clock, method.descriptor))
    }
  }

  /** A method whose place was taken by another is left as it is. */
  remove(methods: Iterable<LocalMethod>): void {
    for (const method of methods) {
      if (this.#methods.get(method.name) === method) this.#methods.delete(method.name)
      this.#guards.delete(method)
    }
  }

  find(name: string): LocalMethod | undefined {
    return this.#methods.get(name)
  }

  /** Starts a call; what becomes of it, a refusal too, is told to `reply`, and by the invocation's result. */
  start(method: LocalMethod, params: unknown, origin: CallOrigin, reply?: Reply): Invocation {
    const nowMs = this.#needs.clock.nowMs()
    const deadlineMs = Math.min(origin.deadlineMs, nowMs + method.descriptor.timeoutMs)
    const invocation = new Invocation(method, origin, deadlineMs, nowMs, this.#needs.random, reply)
    if (this.#needs.spans?.wants(origin.traceId)) invocation.isTraced = true
    const peer = peerOf(origin, this.#nodeId)
    if (peer !== undefined) invocation.share = this.#shares.of(peer)
    const guard = this.#guards.size > 0 ? this.#guards.get(method) : undefined
    const refusal =
      refusalOf(method.descriptor, origin.caller, this.#nodeId) ??
      (peer === undefined ? undefined : refusalOfPeer(method.descriptor, origin, this.#nodeId)) ??
      this.#noRoom(invocation) ??
      guard?.refusalOf(origin.caller, origin.relayedBy) ??
      this.#tooManyActs(invocation, origin)
    if (refusal) {
      this.#refuse(invocation, refusal)
      return invocation
    }
    method.stats.begin()
    method.callers?.note(method.descriptor.name, origin.caller)
    this.#track(invocation)
    if (invocation.share) {
      if (params instanceof RawJson) invocation.paramsBytes = params.bytesMax
      invocation.share.running++
      invocation.share.paramsBytes += invocation.paramsBytes
    }
    const audit = isPrivileged(invocation) ? this.#needs.audit : undefined
    if (audit) void this.#record(audit, invocation, () => this.#begin(invocation, params, guard))
    else this.#begin(invocation, params, guard)
    return invocation
  }

  /** Gives a call up: its caller went away. */
  cancel(invocation: Invocation, reason: Error): void {
    if (this.#open.delete(invocation)) invocation.abort(reason)
  }

  /** Waits until none of these methods runs, at most `limitMs`; then gives up the calls that are open. */
  async drain(methods: Iterable<LocalMethod>, limitMs: number): Promise<void> {
    const draining = new Set(methods)
    const open = this.#open.list().filter(({ method }) => draining.has(method))
    if (open.length === 0) return
    const waiting = new AbortController()
    const limit = delay(this.#needs.clock, limitMs, waiting.signal).catch(() => {})
    const ended = open.map((invocation) => new Promise<void>((resolve) => invocation.whenEnded(resolve)))
    await Promise.race([Promise.all(ended), limit])
    waiting.abort()
    for (const invocation of open) this.cancel(invocation, stopping(invocation.method.name))
  }

  stop(): void {
    this.#timer.stop()
    for (const invocation of this.#open.list()) this.cancel(invocation, stopping(invocation.method.name))
  }

  #begin(invocation: Invocation, params: unknown, guard: MethodGuard | undefined): void {
    if (guard) this.#queue(invocation, params, guard)
    else this.#serve(invocation, params)
  }

  /** Without a record nothing privileged is done. Never rejects. */
  async #record(audit: AuditTrail, invocation: Invocation, begin: () => void): Promise<void> {
    try {
      const end = await audit.begin(actOf(invocation))
      invocation.result.then(
        () => end('succeeded'),
        (error: unknown) => end('failed', codeOf(error) ?? messageOf(error)),
      )
    } catch (error) {
      this.#fail(invocation, error)
      return
    }
    // Given up meanwhile: nobody waits, so nothing is done.
    if (invocation.hasEnded) this.#returned(invocation, true)
    else begin()
  }

  #refuse(invocation: Invocation, refusal: RpcError): void {
    if (isPrivileged(invocation)) this.#needs.audit?.refused(actOf(invocation), refusal.code)
    invocation.method.stats.count(0, true)
    this.#tellSpan(invocation, 0, refusal)
    invocation.reject(refusal)
  }

  /**
   * One other node may have as many calls here as there is room left: half of all when it is alone, a third when another has as
   * much … However many of them take what they can get, there is room for whoever comes next.
   */
  #noRoom(invocation: Invocation): RpcError | undefined {
    const { method, hops, share } = invocation
    if (invocation.deadlineMs <= invocation.startedMs) return exceeded(invocation)
    if (hops > HOPS_MAX) {
      const message = `${method.name} was not called: ${HOPS_MAX} calls have made one another in a row; look for services that call each other in a circle`
      return new RpcError('P2P_RPC_TOO_MANY_HOPS', message, { method: method.name, hops })
    }
    const left = INVOCATIONS_MAX - this.#unfinished
    if (left > 0 && share && (share.running >= left || share.paramsBytes >= PARAMS_BYTES_MAX)) {
      const message = `Node ${this.#nodeId} runs ${share.running} calls of ${share.nodeId} already, its share, and took no call of ${method.name}: try again later`
      return new RpcError('P2P_RPC_OVERLOADED', message, { method: method.name, node: this.#nodeId })
    }
    if (left > 0) return undefined
    const message = `Node ${this.#nodeId} runs ${INVOCATIONS_MAX} calls already and took no call of ${method.name}: try again later`
    return new RpcError('P2P_RPC_OVERLOADED', message, { method: method.name, node: this.#nodeId })
  }

  /** Each is a record in the audit trail, which is finite: what a worker could make up must not push out what people did. */
  #tooManyActs(invocation: Invocation, { relayedBy, peerRole }: CallOrigin): RpcError | undefined {
    if (relayedBy === undefined || peerRole !== 'worker') return undefined
    const { method } = invocation
    if (!this.#needs.audit || !isPrivileged(invocation)) return undefined
    const verdict = this.#relayedActs.take(relayedBy)
    if (verdict.ok) return undefined
    const { retryAfterMs } = verdict
    const message = `Worker ${relayedBy} passes on too many calls of people: wait ${retryAfterMs} ms to call ${method.name}, or ask a coordinator`
    return new RpcError('P2P_RPC_RATE_LIMITED', message, { method: method.name, retryAfterMs })
  }

  #track(invocation: Invocation): void {
    this.#unfinished++
    this.#open.add(invocation)
    this.#timer.note(invocation.deadlineMs)
  }

  #queue(invocation: Invocation, params: unknown, guard: MethodGuard): void {
    const refuse = (refusal: RpcError): void => {
      this.#returned(invocation, true, refusal)
      this.#open.delete(invocation)
      invocation.reject(refusal)
    }
    guard.enter({
      owner: invocation.share?.nodeId ?? principalLabel(invocation.caller),
      get hasEnded() {
        return invocation.hasEnded
      },
      begin: () => {
        invocation.guard = guard
        this.#serve(invocation, params)
      },
      drop: () => this.#returned(invocation, true),
      refuse,
    })
  }

  /** Never throws. Nothing here waits for what is there already: most methods answer at once. */
  #serve(invocation: Invocation, params: unknown): void {
    try {
      const { method } = invocation
      if (method.forward && !this.#isCached(method)) {
        method.forward(params, invocation, this.#replyOf(invocation))
        return
      }
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

  /** Takes what a method that runs elsewhere answers. */
  #replyOf(invocation: Invocation): Reply {
    return {
      resolve: (value) => this.#end(invocation, value),
      reject: (error) => this.#fail(invocation, error),
    }
  }

  #end(invocation: Invocation, outcome: unknown): void {
    const value = invocation.method.forward && isStream(outcome) ? this.#stream(invocation, outcome) : outcome
    if (value instanceof LocalStream) {
      if (invocation.hasEnded) value.abort(stopping(invocation.method.name))
      else invocation.resolveStream(value)
      return
    }
    const isAwaited = this.#open.delete(invocation)
    this.#returned(invocation, !isAwaited)
    if (isAwaited) invocation.resolve(value)
  }

  #fail(invocation: Invocation, error: unknown): void {
    const failure = error instanceof P2PError ? error : this.#callersError(error, invocation)
    const isAwaited = this.#open.delete(invocation)
    this.#returned(invocation, true, failure)
    if (isAwaited) invocation.reject(failure)
  }

  /** The method does not run any more, whether somebody still waits or not. */
  #returned(invocation: Invocation, isError: boolean, failure?: unknown): void {
    this.#unfinished--
    if (invocation.share) {
      invocation.share.running--
      invocation.share.paramsBytes -= invocation.paramsBytes
    }
    const durationMs = this.#needs.clock.nowMs() - invocation.startedMs
    invocation.method.stats.end(durationMs, isError)
    invocation.guard?.leave()
    this.#tellSpan(invocation, durationMs, isError ? (failure ?? GIVEN_UP) : undefined)
  }

  #tellSpan(invocation: Invocation, durationMs: number, failure: unknown): void {
    if (!invocation.isTraced) return
    const { method, traceId, spanId, parentSpanId, caller } = invocation
    const error = spanError(failure)
    this.#needs.spans?.ended({ method: method.name, traceId, spanId, parentSpanId, caller, durationMs, error })
  }

  /** @returns the outcome, or a promise of it */
  #checkAndRun(invocation: Invocation, params: unknown): unknown {
    const { method } = invocation
    if (method.forward) return this.#fromCache(invocation, params, params) ?? this.#invoke(invocation, params)
    const named = namedParams(method.name, readParams(method.name, params), method.parameterNames)
    const run = (input: unknown): unknown =>
      this.#fromCache(invocation, named, input) ?? this.#invoke(invocation, input)
    if (!method.params) return run(named)
    const checked = method.params['~standard'].validate(named)
    if (checked instanceof Promise) return checked.then((result) => run(parsedParams(method.name, result)))
    return run(parsedParams(method.name, checked))
  }

  #isCached({ descriptor }: LocalMethod): boolean {
    return this.#needs.cache !== undefined && descriptor.cacheTtlMs > 0
  }

  /** @param named the parameters before they were parsed: what the caller's result is kept under */
  #fromCache(invocation: Invocation, named: unknown, input: unknown): Promise<unknown> | undefined {
    const { method } = invocation
    const { cache } = this.#needs
    const { cacheTtlMs } = method.descriptor
    if (!cache || !this.#isCached(method)) return undefined
    const key = resultKey(this.#nodeId, method.name, method.serviceVersion, readParams(method.name, named))
    if (key === undefined) return undefined
    return cache.getOrCompute(RESULT_SCOPE, key, cacheTtlMs, () => this.#compute(invocation, input))
  }

  /** A computation that several callers may wait for: it has the method's whole time, and none of them can cancel it. */
  async #compute(first: Invocation, input: unknown): Promise<unknown> {
    const { clock, random } = this.#needs
    const nowMs = clock.nowMs()
    const invocation = new Invocation(first.method, first, nowMs + first.method.descriptor.timeoutMs, nowMs, random)
    this.#track(invocation)
    const settle = (end: () => void): void => {
      this.#unfinished--
      if (this.#open.delete(invocation)) end()
    }
    Promise.try(() => this.#invoke(invocation, input)).then(
      (value) => settle(() => invocation.resolve(readResult(first.method.name, value))),
      (error: unknown) => settle(() => invocation.reject(error)),
    )
    return invocation.result
  }

  /** @returns the result, or a promise of it */
  #invoke(invocation: Invocation, input: unknown): unknown {
    const { method } = invocation
    // What is only passed on makes no calls of its own, and was checked, with its errors, where it ran.
    const { forward } = method
    if (forward) return new Promise((resolve, reject) => forward(input, invocation, { resolve, reject }))
    let value: unknown
    try {
      value = callScope.run(invocation, method.invoke, input, invocation)
    } catch (error) {
      throw this.#callersError(error, invocation)
    }
    if (isThenable(value)) {
      return value.then(
        (settled) => this.#outcome(invocation, settled),
        (error: unknown) => {
          throw this.#callersError(error, invocation)
        },
      )
    }
    return this.#outcome(invocation, value)
  }

  /** @returns the result as it may leave, or a promise of it; a method that streams has a {@link LocalStream} */
  #outcome(invocation: Invocation, value: unknown): unknown {
    const { method } = invocation
    if (isStream(value)) {
      if (method.descriptor.isStream) return this.#stream(invocation, value)
      throw wrongOutcome(method, 'returned a stream: set stream: true in its options')
    }
    if (method.descriptor.isStream) throw wrongOutcome(method, 'has stream: true and returned no async iterable')
    return checkedValue(method, method.result, value)
  }

  /** From here on the deadline is that of inactivity. */
  #stream(invocation: Invocation, items: AsyncIterable<unknown>): LocalStream {
    const { method } = invocation
    const idleMs = invocation.deadlineMs - invocation.startedMs
    invocation.idleMs = idleMs
    const stream = new LocalStream(invocation, items, {
      moved: () => {
        invocation.deadlineMs = this.#needs.clock.nowMs() + idleMs
      },
      checked: (item) => (method.forward ? item : checkedValue(method, method.item, item)),
      methodError: (error) => this.#callersError(error, invocation),
      returned: (isError) => this.#returned(invocation, isError),
    })
    invocation.whenEnded(() => this.#open.delete(invocation))
    return stream
  }

  /** What the caller may know of a failure. The log gets what the caller does not. */
  #callersError(error: unknown, invocation: Invocation): P2PError {
    const { method, traceId } = invocation
    if (isServiceError(error)) {
      const details = { method: method.name, reason: error.reason, ...error.details }
      return new RpcError('P2P_RPC_SERVICE_FAILED', error.message, details, { cause: error })
    }
    if (error instanceof P2PError) {
      const isKept = method.forward || method.isBuiltin || PASSED_ON.has(error.code)
      if (isKept) return error
      // A failure of what the method itself called must not look like a failure of this call.
      const message = `${method.name} failed because a call it made failed: ${error.message}`
      return new RpcError(
        'P2P_RPC_SERVICE_FAILED',
        message,
        { method: method.name, reason: error.code },
        { cause: error },
      )
    }
    const remedy = permissionRemedy(error)
    this.#needs.log.error('A method failed', { method: method.name, traceId, error, ...(remedy && { remedy }) })
    const message = `${method.name} failed on node ${this.#nodeId}; the reason is in the log: p2p logs --trace ${traceId}`
    return new RpcError(
      'P2P_RPC_SERVICE_FAILED',
      message,
      { method: method.name, node: this.#nodeId },
      { cause: error },
    )
  }

  #endExpired(nowMs: number): number {
    let nextMs = Infinity
    for (const invocation of this.#open.list()) {
      if (invocation.deadlineMs <= nowMs) this.cancel(invocation, exceeded(invocation))
      else if (invocation.deadlineMs < nextMs) nextMs = invocation.deadlineMs
    }
    return nextMs
  }
}

/** Ends of the caller's own patience, and of circles: the same for everybody on the way. */
const PASSED_ON: ReadonlySet<ErrorCode> = new Set([
  'P2P_RPC_CANCELLED',
  'P2P_RPC_DEADLINE_EXCEEDED',
  'P2P_RPC_TOO_MANY_HOPS',
])

/** @returns the value, or a promise of it */
function checkedValue(method: LocalMethod, schema: Schema | undefined, value: unknown): unknown {
  if (!schema) return value
  const checked = schema['~standard'].validate(value)
  if (checked instanceof Promise) return checked.then((result) => parsedResult(method.name, result))
  return parsedResult(method.name, checked)
}

function wrongOutcome({ name }: LocalMethod, what: string): RpcError {
  return new RpcError('P2P_RPC_INVALID_RESULT', `${name} ${what}`, { method: name })
}

/** What a person does that not every person may. */
function isPrivileged({ caller, method }: Invocation): boolean {
  return caller.kind === 'person' && method.descriptor.requiredRole !== 'viewer'
}

/** Names only: parameters may hold secrets. */
function actOf({ caller, method, relayedBy, traceId }: Invocation): AuditAct {
  const role = caller.kind === 'person' ? caller.role : undefined
  return { act: `rpc ${method.name}`, who: principalLabel(caller), role, from: relayedBy, traceId }
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
  const { method, startedMs, deadlineMs, idleMs } = invocation
  if (idleMs !== undefined) return idle(method.name, idleMs)
  const waitedMs = Math.max(0, Math.round(deadlineMs - startedMs))
  const message = `${method.name} did not answer within ${waitedMs} ms`
  return new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method: method.name, waitedMs })
}

function stopping(method: string): RpcError {
  return new RpcError('P2P_RPC_CANCELLED', `${method} was given up: its service is stopping`, { method })
}
