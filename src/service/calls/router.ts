import { RpcError } from '../../base/errors.ts'
import type { NodeId, NodeIdentity, Principal } from '../../base/identity.ts'
import type { Membership } from '../../base/member.ts'
import type { PeerChannel, Peers } from '../../base/peer.ts'
import type { Random } from '../../base/random.ts'
import { type Clock, delay } from '../../base/time.ts'
import type { Gossip } from '../../network/index.ts'
import { Cancellation } from './cancellation.ts'
import { type SpanListener, spanError } from './call-span.ts'
import type { CallRequest, CallTarget, Caller, ServiceDirectory } from '../definition/descriptor.ts'
import type { CallOrigin, Invocation } from './invocation.ts'
import type { LocalDispatch } from './local-dispatch.ts'
import type { LocalMethod } from './local-method.ts'
import type { LinkCall, LinkContext, Reply, ServedCall, ServedContext } from '../link/call-link.ts'
import type { PeerRpc } from './peer-rpc.ts'
import { readResult } from './raw-json.ts'
import { backoffMs, ELSEWHERE_MAX, isTransient, neverRan, RETRIES_IDEMPOTENT } from './resilience.ts'
import { type Candidate, type Route, Routes } from './routes.ts'
import type { UnreadCaller } from './rpc-endpoint.ts'
import { newSpanId } from './trace-id.ts'
import { watchedReply } from './watched-reply.ts'

export interface RouterNeeds {
  clock: Clock
  random: Random
  membership: DiallableMembership
  peers: Peers
  local: LocalDispatch
  remote: PeerRpc
  directory: ServiceDirectory
  /** Told of the calls that leave this node. */
  spans?: SpanListener | undefined
}

/** The members, and how each is dialled: as whom, best address first. */
export type DiallableMembership = Membership & Pick<Gossip, 'targetOf'>

/** A call on its way, through all its attempts. */
interface RoutedCall {
  readonly method: string
  readonly params: unknown
  readonly request: CallRequest
  readonly target: CallTarget
  /** The result is passed on as it came. */
  readonly isUnread: boolean
  /** Told of the end, when nothing is tried any more. */
  readonly reply: Reply
  /** Attempts that surely did not run, and others. */
  elsewhere: number
  retries: number
  /** Here it was refused. */
  avoidsHere: boolean
  /** Nodes on which it failed. */
  tried: Set<NodeId> | undefined
}

/** Runs the calls that services of this node make from their processes. */
export interface OwnCaller {
  /** @param caller the service, as the node knows it; what the context says of a caller is not believed */
  startOwn(method: string, params: unknown, context: ServedContext, caller: Principal, reply: Reply): ServedCall
}

/** Finds where a call runs, and runs it there; again where that is safe. */
export class Router implements Caller, UnreadCaller, OwnCaller {
  readonly #needs: RouterNeeds
  readonly #self: NodeIdentity
  readonly #routes: Routes

  constructor(needs: RouterNeeds, self: NodeIdentity) {
    this.#needs = needs
    this.#self = self
    this.#routes = new Routes(needs, self)
  }

  /** @returns a function that stops following the membership */
  follow(): () => void {
    return this.#routes.follow()
  }

  call(method: string, params: unknown, request: CallRequest, target?: CallTarget): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#run(routed(method, params, request, target, false, { resolve, reject }))
    })
  }

  /** As `call`; what came from elsewhere is a `RawJson`, unread. */
  callUnread(method: string, params: unknown, request: CallRequest, target?: CallTarget): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#run(routed(method, params, request, target, true, { resolve, reject }))
    })
  }

  /** The call of a peer: it runs here or nowhere. @throws {RpcError} P2P_RPC_METHOD_NOT_FOUND, P2P_RPC_NO_INSTANCE */
  startLocal(method: string, params: unknown, origin: CallOrigin, reply: Reply): ServedCall {
    const { local } = this.#needs
    const found = local.find(method)
    if (!found) throw this.#routes.notHere(method)
    const invocation = local.start(found, params, origin, reply)
    return { cancel: (reason) => local.cancel(invocation, reason) }
  }

  startOwn(method: string, params: unknown, context: ServedContext, caller: Principal, reply: Reply): ServedCall {
    const { traceId, spanId: parentSpanId, hops, retries, deadlineMs, target } = context
    const cancellation = new Cancellation()
    const request = { caller, traceId, parentSpanId, hops, retries, deadlineMs, cancellation }
    this.#run(routed(method, params, request, target, true, reply))
    return cancellation
  }

  /** Never throws. */
  #run(call: RoutedCall): void {
    const { method, params, request, target } = call
    const { local } = this.#needs
    const here = !call.avoidsHere && this.#mayRunHere(target) ? local.find(method) : undefined
    if (here) this.#follow(local.start(here, params, request, this.#replyFromHere(call, here)), request)
    else this.#callElsewhere(call)
  }

  #replyFromHere(call: RoutedCall, { name, forward, descriptor }: LocalMethod): Reply {
    const { reply, isUnread, request } = call
    const { isIdempotent = false } = descriptor
    // What runs inline gives its value itself, and there is nothing another attempt could do better.
    if (!forward && !isIdempotent && request.retries === undefined) return reply
    return {
      resolve: (value) => settle(reply, name, value, isUnread),
      reject: (error) => void this.#again(call, undefined, isIdempotent, error),
    }
  }

  #mayRunHere(target: CallTarget): boolean {
    if (target === undefined || target === 'local') return true
    return target === this.#self.nodeId || target === this.#self.role
  }

  #follow(invocation: Invocation, { signal, cancellation }: CallRequest): void {
    if (invocation.hasEnded || !(signal || cancellation)) return
    const giveUp = (): void => {
      const { name } = invocation.method
      const message = `The call of ${name} was given up by its caller`
      this.#needs.local.cancel(invocation, new RpcError('P2P_RPC_CANCELLED', message, { method: name }))
    }
    if (cancellation) {
      cancellation.listen(giveUp)
      invocation.whenEnded(() => cancellation.unlisten(giveUp))
    }
    if (signal?.aborted) giveUp()
    else if (signal) {
      signal.addEventListener('abort', giveUp, { once: true })
      invocation.whenEnded(() => signal.removeEventListener('abort', giveUp))
    }
  }

  /** Never throws. */
  #callElsewhere(call: RoutedCall): void {
    const { peers, remote, clock, random, spans } = this.#needs
    const spanId = spans?.wants(call.request.traceId) ? newSpanId(random) : undefined
    let outgoing: LinkCall
    let route: Route
    let candidate: Candidate
    try {
      outgoing = this.#outgoing(call, spanId)
      route = this.#routes.of(call.method, call.target)
      candidate = this.#routes.choose(route, call)
    } catch (error) {
      call.reply.reject(error)
      return
    }
    if (!call.tried) route.budget.deposit()
    const { nodeId, breaker } = candidate
    const ended: Reply = {
      resolve: (value) => {
        breaker.succeeded(clock.nowMs())
        settle(call.reply, call.method, value, call.isUnread)
      },
      reject: (error) => {
        breaker.failed(error, clock.nowMs())
        void this.#again(call, nodeId, route.isIdempotent, error)
      },
    }
    const reply = spanId === undefined ? ended : watchedReply(ended, this.#spanOf(call, spanId, nodeId))
    const channel = peers.get(nodeId)
    if (channel) remote.begin(channel, outgoing, reply)
    else {
      this.#dial(nodeId, outgoing).then(
        (dialled) => remote.begin(dialled, outgoing, reply),
        (error: unknown) => reply.reject(error),
      )
    }
  }

  /** @returns tells of this attempt when it has ended */
  #spanOf({ method, request }: RoutedCall, spanId: string, calledNode: NodeId): (failure: unknown) => void {
    const { clock, spans } = this.#needs
    const { traceId, parentSpanId, caller } = request
    const startedMs = clock.nowMs()
    return (failure) => {
      const durationMs = clock.nowMs() - startedMs
      const error = spanError(failure)
      spans?.ended({ method, traceId, spanId, parentSpanId, caller, calledNode, durationMs, error })
    }
  }

  /** Makes a call that failed again, where that is safe and there is somewhere to make it; else it has failed. Never rejects. */
  async #again(call: RoutedCall, failedOn: NodeId | undefined, isIdempotent: boolean, error: unknown): Promise<void> {
    if (failedOn === undefined) call.avoidsHere = neverRan(error)
    else call.tried = (call.tried ?? new Set<NodeId>()).add(failedOn)
    const route = this.#routes.ifAny(call)
    const hasOther = route?.candidates.some(({ nodeId }) => !call.tried?.has(nodeId)) ?? false
    if (neverRan(error) && hasOther && call.elsewhere < ELSEWHERE_MAX - 1) {
      call.elsewhere++
      this.#run(call)
      return
    }
    const { clock } = this.#needs
    const waitMs = this.#retryWaitMs(call, isIdempotent, error)
    const mayRetry =
      waitMs !== undefined &&
      (await delay(clock, waitMs, call.request.signal).then(
        () => !call.request.cancellation?.reason,
        () => false,
      ))
    if (!mayRetry) {
      call.reply.reject(error)
      return
    }
    call.avoidsHere = false
    this.#run(call)
  }

  /** Takes one retry from the call and from its service's budget. @returns undefined: it is not made again */
  #retryWaitMs(call: RoutedCall, isIdempotent: boolean, error: unknown): number | undefined {
    const { clock, random } = this.#needs
    const { method, request } = call
    const retriesMax = request.retries ?? (isIdempotent ? RETRIES_IDEMPOTENT : 0)
    if (call.retries >= retriesMax || !isTransient(error)) return undefined
    const waitMs = backoffMs(call.retries + 1, random)
    const nowMs = clock.nowMs()
    if (nowMs + waitMs >= request.deadlineMs || !this.#routes.budgetOf(serviceOf(method)).withdraw(nowMs))
      return undefined
    call.retries++
    return waitMs
  }

  /**
   * What a call through this node tells the other one about its caller.
   * @param ownSpanId of the call as it leaves this node; undefined where nobody will hear of it
   */
  #outgoing({ method, params, request }: RoutedCall, ownSpanId: string | undefined): LinkCall {
    const { caller, traceId, parentSpanId, hops, deadlineMs, signal, cancellation } = request
    const spanId = ownSpanId ?? parentSpanId
    const send = (service: string | undefined, person: LinkContext['person']): LinkCall => {
      const context = { traceId, spanId, hops, service, person }
      return { method, params, deadlineMs, context, signal, cancellation }
    }
    switch (caller.kind) {
      case 'anonymous':
        throw new RpcError('P2P_RPC_AUTHENTICATION_REQUIRED', `${method} needs a signed-in caller: run "p2p login"`, {
          method,
        })
      case 'person':
        return send(undefined, { name: caller.name, role: caller.role })
      case 'node':
        if (caller.nodeId === this.#self.nodeId) return send(caller.service, undefined)
        // On the other side it would count as this node's own call, with this node's rights.
        throw new RpcError(
          'P2P_RPC_ACCESS_DENIED',
          `Node ${this.#self.nodeId} passes on no calls of other nodes: ${caller.nodeId} can call ${method} itself`,
          { method },
        )
    }
  }

  async #dial(nodeId: NodeId, { method, deadlineMs, signal, cancellation }: LinkCall): Promise<PeerChannel> {
    const givenUp = (): RpcError => new RpcError('P2P_RPC_CANCELLED', `The call of ${method} was given up`, { method })
    if (signal?.aborted || cancellation?.reason) throw givenUp()
    const giveUp = new AbortController()
    const waitMs = Math.max(0, deadlineMs - this.#needs.clock.nowMs())
    const timer = this.#needs.clock.after(waitMs, () => {
      const message = `Node ${nodeId} was not reached in time to call ${method}`
      giveUp.abort(new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method, node: nodeId }))
    })
    const onAbort = (): void => giveUp.abort(givenUp())
    signal?.addEventListener('abort', onAbort, { once: true })
    cancellation?.listen(onAbort)
    try {
      return await this.#needs.peers.open(
        this.#needs.membership.targetOf(nodeId) ?? { nodeId, addresses: [] },
        giveUp.signal,
      )
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      cancellation?.unlisten(onAbort)
    }
  }
}

function routed(
  method: string,
  params: unknown,
  request: CallRequest,
  target: CallTarget,
  isUnread: boolean,
  reply: Reply,
): RoutedCall {
  return {
    method,
    params,
    request,
    target,
    isUnread,
    reply,
    elsewhere: 0,
    retries: 0,
    avoidsHere: false,
    tried: undefined,
  }
}

/** Tells of a result, read where it is wanted so. */
function settle(reply: Reply, method: string, value: unknown, isUnread: boolean): void {
  let result = value
  try {
    if (!isUnread) result = readResult(method, value)
  } catch (error) {
    reply.reject(error)
    return
  }
  reply.resolve(result)
}

function serviceOf(method: string): string {
  return method.slice(0, Math.max(0, method.indexOf('/')))
}
