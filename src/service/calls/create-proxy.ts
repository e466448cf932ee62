import type { Principal } from '../../base/identity.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { CallRequest, CallTarget, Caller } from '../definition/descriptor.ts'
import { callScope } from './invocation.ts'
import { ATTACH } from '../sdk/brands.ts'
import type { CallOptions, ServiceProxy } from '../sdk/service-proxy.ts'
import type { ServiceRuntime } from '../sdk/service-runtime.ts'
import { newTraceId } from './trace-id.ts'

/** Handles kept for reuse at each level; a service that makes up names only loses the reuse. */
const HANDLES_MAX = 1_024

export interface ProxyNeeds {
  clock: Clock
  random: Random
  caller: Caller
  /** How long a call is waited for when its options do not say. */
  callTimeoutMs: number
}

type Invoke = (
  method: string,
  params: unknown,
  options: CallOptions | undefined,
  target: CallTarget,
) => Promise<unknown>

/**
 * The proxy given to one service (see {@link ServiceProxy}). It also carries the service's runtime under a symbol, so
 * that `BaseService` finds it in its constructor.
 */
export function createServiceProxy(
  needs: ProxyNeeds,
  principal: Principal,
  runtime: () => ServiceRuntime,
): ServiceProxy {
  const invoke: Invoke = (method, params, options, target) => {
    const answer = needs.caller.call(method, params, requestOf(needs, principal, options), target)
    return options && 'fallback' in options ? answer.catch((error) => fallback(options, error)) : answer
  }
  return namedMembers({}, (service) => serviceHandle(invoke, service), runtime) as ServiceProxy
}

function serviceHandle(invoke: Invoke, service: string): object {
  return namedMembers({}, (first) => {
    // Called, the first name is a method; with another name behind it, it is a target. So no two meanings can collide.
    const callHere = (params?: object, options?: CallOptions) =>
      invoke(`${service}/${first}`, params, options, undefined)
    return namedMembers(
      callHere,
      (method) => (params?: object, options?: CallOptions) => invoke(`${service}/${method}`, params, options, first),
    )
  })
}

/** An object whose members are made when they are first asked for. */
function namedMembers(target: object, make: (name: string) => object, runtime?: () => ServiceRuntime): object {
  const made = new Map<string, object>()
  return new Proxy(target, {
    get(_target, name) {
      if (name === ATTACH) return runtime?.()
      // `await proxy.svc` asks for `then`: a proxy is no promise.
      if (typeof name === 'symbol' || name === 'then') return undefined
      const known = made.get(name)
      if (known) return known
      if (made.size >= HANDLES_MAX) made.clear()
      const member = make(name)
      made.set(name, member)
      return member
    },
  })
}

/** @throws the error when the caller itself gave up */
function fallback({ fallback: given, signal }: CallOptions, error: unknown): unknown {
  if (signal?.aborted) throw error
  return typeof given === 'function' ? (given as (error: unknown) => unknown)(error) : given
}

function requestOf(
  { clock, random, callTimeoutMs }: ProxyNeeds,
  caller: Principal,
  options: CallOptions | undefined,
): CallRequest {
  const served = callScope.getStore()
  // What goes on in the background after its call was answered is no part of that call any more.
  const parent = served?.hasEnded === false ? served : undefined
  const ownDeadlineMs = clock.nowMs() + (options?.timeoutMs ?? callTimeoutMs)
  return {
    caller,
    traceId: parent?.traceId ?? newTraceId(random),
    parentSpanId: parent?.spanId,
    hops: parent ? parent.hops + 1 : 0,
    deadlineMs: parent ? Math.min(parent.deadlineMs, ownDeadlineMs) : ownDeadlineMs,
    signal: options?.signal,
    cancellation: parent?.cancellation,
    retries: options?.retries,
  }
}
