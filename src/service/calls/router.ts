import { NetworkError, type P2PError, RpcError } from '../../base/errors.ts'
import type { NodeId, NodeIdentity, Principal } from '../../base/identity.ts'
import type { Member, Membership, NodeRecord } from '../../base/member.ts'
import type { PeerChannel, Peers } from '../../base/peer.ts'
import { type Random, randomInt } from '../../base/random.ts'
import { type Clock, delay } from '../../base/time.ts'
import type { Gossip } from '../../network/index.ts'
import { Cancellation } from './cancellation.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { CallRequest, CallTarget, Caller, ServiceDescription, ServiceDirectory } from '../definition/descriptor.ts'
import type { CallOrigin, Invocation } from './invocation.ts'
import { isUp, quality } from './instance-quality.ts'
import { parseMethodName } from '../jsonrpc/index.ts'
import type { LocalDispatch } from './local-dispatch.ts'
import type { LocalMethod } from './local-method.ts'
import { malformedMethod, nearest, unknownMethod } from './missing-method.ts'
import type { LinkCall, LinkContext, Reply, ServedCall, ServedContext } from '../link/call-link.ts'
import type { PeerRpc } from './peer-rpc.ts'
import { readResult } from './raw-json.ts'
import { backoffMs, ELSEWHERE_MAX, isTransient, neverRan, RETRIES_IDEMPOTENT } from './resilience.ts'
import { RetryBudget } from './retry-budget.ts'
import type { UnreadCaller } from './rpc-endpoint.ts'

const NODES_SHOWN_MAX = 20
/** Services whose retries are counted. */
const BUDGETS_MAX = 1_024

export interface RouterNeeds {
  clock: Clock
  random: Random
  membership: DiallableMembership
  peers: Peers
  local: LocalDispatch
  remote: PeerRpc
  directory: ServiceDirectory
}

/** The members, and how each is dialled: as whom, best address first. */
export type DiallableMembership = Membership & Pick<Gossip, 'targetOf'>

/** An instance of a service on another node. */
interface Candidate {
  readonly nodeId: NodeId
  readonly breaker: CircuitBreaker
}

/** Where calls of a method can go when they cannot run here: instances of the same quality, never none. */
interface Route {
  readonly candidates: readonly Candidate[]
  readonly isIdempotent: boolean
  readonly budget: RetryBudget
}

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
  /** Where a method can run, by target, then by method; forgotten when the membership changes. */
  readonly #routes = new Map<CallTarget, Map<string, Route>>()
  /** By node and service; forgotten with the node. */
  readonly #breakers = new Map<NodeId, Map<string, CircuitBreaker>>()
  readonly #budgets = new Map<string, RetryBudget>()
  #rotation = 0

  constructor(needs: RouterNeeds, self: NodeIdentity) {
    this.#needs = needs
    this.#self = self
  }

  /** @returns a function that stops following the membership */
  follow(): () => void {
    return this.#needs.membership.onChange(({ member }) => {
      this.#routes.clear()
      if (member.status === 'dead' || member.status === 'left') this.#breakers.delete(member.record.nodeId)
    })
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
    if (!found) throw this.#notHere(method)
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
    let outgoing: LinkCall
    let route: Route
    let candidate: Candidate
    try {
      outgoing = this.#outgoing(call)
      route = this.#routeOf(call.method, call.target)
      candidate = this.#choose(route, call)
    } catch (error) {
      call.reply.reject(error)
      return
    }
    if (!call.tried) route.budget.deposit()
    const { peers, remote, clock } = this.#needs
    const { nodeId, breaker } = candidate
    const reply: Reply = {
      resolve: (value) => {
        breaker.succeeded(clock.nowMs())
        settle(call.reply, call.method, value, call.isUnread)
      },
      reject: (error) => {
        breaker.failed(error, clock.nowMs())
        void this.#again(call, nodeId, route.isIdempotent, error)
      },
    }
    const channel = peers.get(nodeId)
    if (channel) remote.begin(channel, outgoing, reply)
    else {
      this.#dial(nodeId, outgoing).then(
        (dialled) => remote.begin(dialled, outgoing, reply),
        (error: unknown) => reply.reject(error),
      )
    }
  }

  /** Makes a call that failed again, where that is safe and there is somewhere to make it; else it has failed. Never rejects. */
  async #again(call: RoutedCall, failedOn: NodeId | undefined, isIdempotent: boolean, error: unknown): Promise<void> {
    if (failedOn === undefined) call.avoidsHere = neverRan(error)
    else call.tried = (call.tried ?? new Set<NodeId>()).add(failedOn)
    const route = this.#routeIfAny(call)
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
    if (nowMs + waitMs >= request.deadlineMs || !this.#budgetOf(serviceOf(method)).withdraw(nowMs)) return undefined
    call.retries++
    return waitMs
  }

  #routeIfAny({ method, target }: RoutedCall): Route | undefined {
    try {
      return this.#routeOf(method, target)
    } catch {
      return undefined
    }
  }

  /** What a call through this node tells the other one about its caller. */
  #outgoing({ method, params, request }: RoutedCall): LinkCall {
    const { caller, traceId, parentSpanId: spanId, hops, deadlineMs, signal, cancellation } = request
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
    const giveUp = new AbortController()
    const waitMs = Math.max(0, deadlineMs - this.#needs.clock.nowMs())
    const timer = this.#needs.clock.after(waitMs, () => {
      const message = `Node ${nodeId} was not reached in time to call ${method}`
      giveUp.abort(new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method, node: nodeId }))
    })
    const onAbort = (): void =>
      giveUp.abort(new RpcError('P2P_RPC_CANCELLED', `The call of ${method} was given up`, { method }))
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

  /** @throws {P2PError} why there is nowhere to go */
  #routeOf(method: string, target: CallTarget): Route {
    const known = this.#routes.get(target)?.get(method)
    if (known) return known
    const parts = parseMethodName(method)
    if (!parts) throw malformedMethod(method)
    if (target === 'local' || target === this.#self.nodeId) throw this.#notHere(method)
    const isChoice = target === undefined || target === 'remote' || target === 'coordinator' || target === 'worker'
    const members = isChoice ? this.#bestInstances(parts.service, parts.method, target) : [this.#named(target, method)]
    if (members.length === 0) throw this.#nowhere(method, parts.service, target)
    const route: Route = {
      candidates: members.map(({ record }) => this.#candidate(record.nodeId, parts.service)),
      isIdempotent: members.every(({ record }) => isIdempotent(record, parts.service, parts.method)),
      budget: this.#budgetOf(parts.service),
    }
    // A node named by somebody outside may be any text: what is remembered are choices, of methods that exist.
    if (isChoice) this.#remember(target, method, route)
    return route
  }

  #remember(target: CallTarget, method: string, route: Route): void {
    const routes = this.#routes.get(target)
    if (routes) routes.set(method, route)
    else this.#routes.set(target, new Map([[method, route]]))
  }

  #candidate(nodeId: NodeId, service: string): Candidate {
    let breakers = this.#breakers.get(nodeId)
    if (!breakers) this.#breakers.set(nodeId, (breakers = new Map<string, CircuitBreaker>()))
    let breaker = breakers.get(service)
    if (!breaker) breakers.set(service, (breaker = new CircuitBreaker()))
    return { nodeId, breaker }
  }

  #budgetOf(service: string): RetryBudget {
    const known = this.#budgets.get(service)
    if (known) return known
    if (this.#budgets.size >= BUDGETS_MAX) this.#budgets.clear()
    const budget = new RetryBudget(this.#needs.clock.nowMs())
    this.#budgets.set(service, budget)
    return budget
  }

  /** Of two, taken in turn and by chance, the one with fewer calls from here; equals take turns. */
  #choose({ candidates }: Route, { method, tried }: RoutedCall): Candidate {
    const first = this.#rotation++ % candidates.length
    const step = candidates.length > 2 ? 1 + randomInt(this.#needs.random, candidates.length - 1) : 1
    const second = (first + step) % candidates.length
    const better = this.#lessBusy(candidates[first] as Candidate, candidates[second] as Candidate)
    const isNew = !tried?.has(better.nodeId)
    if (isNew && better.breaker.isClosed) return better
    const nowMs = this.#needs.clock.nowMs()
    if (isNew && better.breaker.admits(nowMs)) return better
    const left = candidates.filter(({ nodeId }) => !tried?.has(nodeId))
    const found = (left.length > 0 ? left : candidates).find(({ breaker }) => breaker.admits(nowMs))
    if (found) return found
    throw circuitOpen(method, candidates, nowMs)
  }

  #lessBusy(first: Candidate, second: Candidate): Candidate {
    if (first === second) return first
    const { remote } = this.#needs
    return remote.inFlight(second.nodeId) < remote.inFlight(first.nodeId) ? second : first
  }

  #bestInstances(service: string, method: string, target: CallTarget): Member[] {
    const capable = this.#instances(service).filter(
      ({ record }) =>
        isIn(record, target) && record.services.some((s) => s.name === service && s.methods.includes(method)),
    )
    const best = Math.min(...capable.map((member) => quality(member, service)))
    return capable.filter((member) => quality(member, service) === best)
  }

  /** Other members on which the service is up. */
  #instances(service: string): Member[] {
    return this.#needs.membership
      .members()
      .filter(
        ({ record, status }) => record.nodeId !== this.#self.nodeId && (status === 'alive' || status === 'suspect'),
      )
      .filter(({ record }) => record.services.some(({ name, health }) => name === service && isUp(health)))
  }

  #named(nodeId: NodeId, method: string): Member {
    const member = this.#needs.membership.get(nodeId)
    if (!member) {
      const known = this.#needs.membership.members().map(({ record }) => record.nodeId)
      const near = nearest(nodeId, known)
      const suggestion = near === undefined ? '' : `; did you mean ${near}?`
      const message = `No node ${nodeId} is known here${suggestion} Known: ${shown(known)}`
      throw new NetworkError('P2P_NETWORK_NODE_UNKNOWN', message, {
        node: nodeId,
        known: known.slice(0, NODES_SHOWN_MAX),
      })
    }
    // A channel that is open says more than the membership does.
    const isGone = member.status === 'dead' || member.status === 'left'
    if (isGone && !this.#needs.peers.get(nodeId)) {
      throw noInstance(`${method} cannot be called on node ${nodeId}: the node is ${member.status}`, method)
    }
    return member
  }

  #notHere(method: string): P2PError {
    const { nodeId } = this.#self
    const service = this.#needs.directory.get(parseMethodName(method)?.service ?? '')
    if (service && service.status !== 'running') return noInstance(stateOf(service, nodeId), method)
    return unknownMethod(method, this.#localNames(), `node ${nodeId}`)
  }

  #nowhere(method: string, service: string, target: CallTarget): P2PError {
    const members = this.#needs.membership.members()
    const local = this.#needs.directory.get(service)
    const isUpSomewhere = this.#instances(service).length > 0 || local?.status === 'running'
    const isKnown =
      local !== undefined || members.some(({ record }) => record.services.some(({ name }) => name === service))
    if (target === undefined && (isUpSomewhere || !isKnown)) {
      const names = [...this.#localNames(), ...members.flatMap(({ record }) => methodNames(record))]
      return unknownMethod(method, [...new Set(names)], 'any node of the cluster')
    }
    const looked = members.filter(
      ({ record }) => isIn(record, target) && (target !== 'remote' || record.nodeId !== this.#self.nodeId),
    )
    const where = looked.map(({ record, status }) => `${record.nodeId} (${status})`)
    const asked = target === undefined ? '' : ` (target ${target})`
    const why = local ? `. ${stateOf(local, this.#self.nodeId)}` : ''
    return noInstance(
      `No instance of service ${service} that has ${method}${asked}; looked on: ${shown(where)}${why}`,
      method,
    )
  }

  #localNames(): string[] {
    return this.#needs.directory
      .list()
      .filter(({ status }) => status === 'running')
      .flatMap(({ methods }) =>
        methods.filter(({ isPublic }) => isPublic).map(({ service, name }) => `${service}/${name}`),
      )
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

function isIdempotent({ services }: NodeRecord, service: string, method: string): boolean {
  return services.some(({ name, idempotent }) => name === service && idempotent?.includes(method))
}

function circuitOpen(method: string, candidates: readonly Candidate[], nowMs: number): RpcError {
  const retryAfterMs = Math.ceil(
    Math.max(0, Math.min(...candidates.map(({ breaker }) => breaker.retryAtMs ?? nowMs)) - nowMs),
  )
  const nodes = shown(candidates.map(({ nodeId }) => nodeId))
  const message = `${method} was not called: most calls to it on ${nodes} failed; it is tried again in ${retryAfterMs} ms`
  return new RpcError('P2P_RPC_CIRCUIT_OPEN', message, { method, retryAfterMs })
}

function isIn(record: NodeRecord, target: CallTarget): boolean {
  return target === undefined || target === 'remote' || record.role === target
}

function methodNames({ services }: NodeRecord): string[] {
  return services.flatMap(({ name, methods }) => methods.map((method) => `${name}/${method}`))
}

function stateOf({ name, status, failure }: ServiceDescription, nodeId: NodeId): string {
  return `Service ${name} on node ${nodeId} is in state ${status}${failure === undefined ? '' : `: ${failure}`}`
}

function noInstance(message: string, method: string): RpcError {
  return new RpcError('P2P_RPC_NO_INSTANCE', message, { method })
}

function shown(names: readonly string[]): string {
  if (names.length === 0) return 'no node'
  const more = names.length > NODES_SHOWN_MAX ? ` and ${names.length - NODES_SHOWN_MAX} more` : ''
  return `${names.slice(0, NODES_SHOWN_MAX).join(', ')}${more}`
}
