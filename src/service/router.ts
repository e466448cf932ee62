import { assert } from '../base/assert.ts'
import { codeOf, NetworkError, type P2PError, RpcError } from '../base/errors.ts'
import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { Member, Membership, NodeRecord, ServiceRecord } from '../base/member.ts'
import type { PeerChannel, Peers } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import type { Gossip } from '../network/index.ts'
import type { CallContext, CallTarget, Caller, ServiceDescription, ServiceDirectory } from './descriptor.ts'
import type { CallOrigin, Invocation } from './invocation.ts'
import { parseMethodName } from './jsonrpc/index.ts'
import type { LocalDispatch } from './local-dispatch.ts'
import { malformedMethod, nearest, unknownMethod } from './missing-method.ts'
import type { OutgoingCall, PeerRpc } from './peer-rpc.ts'

/** Instances tried when one cannot even be reached; none of them has seen the call by then. */
const DIAL_ATTEMPTS_MAX = 3
const NODES_SHOWN_MAX = 20

export interface RouterNeeds {
  clock: Clock
  membership: DiallableMembership
  peers: Peers
  local: LocalDispatch
  remote: PeerRpc
  directory: ServiceDirectory
}

/** The members, and how each is dialled: as whom, best address first. */
export type DiallableMembership = Membership & Pick<Gossip, 'targetOf'>

/** Finds where a call runs, and runs it there. */
export class Router implements Caller {
  readonly #needs: RouterNeeds
  readonly #self: NodeIdentity
  /** Where a method can run, by target and method; forgotten when the membership changes. */
  readonly #choices = new Map<string, readonly Member[]>()
  #rotation = 0

  constructor(needs: RouterNeeds, self: NodeIdentity) {
    this.#needs = needs
    this.#self = self
  }

  /** @returns a function that stops following the membership */
  follow(): () => void {
    return this.#needs.membership.onChange(() => this.#choices.clear())
  }

  call(
    method: string,
    params: unknown,
    context: Omit<CallContext, 'signal'> & { signal?: AbortSignal },
    target?: CallTarget,
  ): Promise<unknown> {
    const here = this.#mayRunHere(target) ? this.#needs.local.find(method) : undefined
    if (here) return this.#follow(this.#needs.local.start(here, params, context), context)
    return this.#callElsewhere({ method, params, origin: context, signal: context.signal }, target)
  }

  /** The call of a peer: it runs here or nowhere. @throws {RpcError} P2P_RPC_METHOD_NOT_FOUND, P2P_RPC_NO_INSTANCE */
  startLocal(method: string, params: unknown, origin: CallOrigin): Invocation {
    const found = this.#needs.local.find(method)
    if (!found) throw this.#notHere(method)
    return this.#needs.local.start(found, params, origin)
  }

  #mayRunHere(target: CallTarget): boolean {
    if (target === undefined || target === 'local') return true
    return target === this.#self.nodeId || target === this.#self.role
  }

  #follow(invocation: Invocation, context: { readonly signal?: AbortSignal }): Promise<unknown> {
    // Asked only now: a request makes its signal when it is read, and most calls have ended by here.
    const signal = invocation.hasEnded ? undefined : context.signal
    if (!signal) return invocation.result
    const { name } = invocation.method
    const onAbort = (): void => {
      const message = `The call of ${name} was given up by its caller`
      this.#needs.local.cancel(invocation, new RpcError('P2P_RPC_CANCELLED', message, { method: name }))
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    return invocation.result.finally(() => signal.removeEventListener('abort', onAbort))
  }

  #callElsewhere(call: Elsewhere, target: CallTarget): Promise<unknown> {
    let candidates: readonly Member[]
    let outgoing: OutgoingCall
    try {
      outgoing = this.#outgoing(call)
      candidates = this.#candidates(call.method, target)
    } catch (error) {
      return Promise.reject(error)
    }
    const member = this.#leastBusy(candidates)
    const channel = this.#needs.peers.get(member.record.nodeId)
    if (channel) return this.#needs.remote.call(channel, outgoing)
    return this.#dialAndCall(member, candidates, outgoing)
  }

  /** Goes to the next instance when one cannot even be reached: it has not seen the call. */
  async #dialAndCall(first: Member, candidates: readonly Member[], outgoing: OutgoingCall): Promise<unknown> {
    let member = first
    let left = candidates
    for (let attempt = 1; ; attempt++) {
      try {
        const channel = this.#needs.peers.get(member.record.nodeId) ?? (await this.#dial(member, outgoing))
        return await this.#needs.remote.call(channel, outgoing)
      } catch (error) {
        const unreached = member
        left = left.filter((candidate) => candidate !== unreached)
        if (codeOf(error) !== 'P2P_TRANSPORT_UNREACHABLE' || attempt === DIAL_ATTEMPTS_MAX || left.length === 0)
          throw error
        member = this.#leastBusy(left)
      }
    }
  }

  /** What a call through this node tells the other one about its caller. */
  #outgoing({ method, params, origin, signal }: Elsewhere): OutgoingCall {
    const { caller, traceId, deadlineMs } = origin
    const send = (context: OutgoingCall['context']): OutgoingCall => ({ method, params, deadlineMs, context, signal })
    switch (caller.kind) {
      case 'anonymous':
        throw new RpcError('P2P_RPC_AUTHENTICATION_REQUIRED', `${method} needs a signed-in caller: run "p2p login"`, {
          method,
        })
      case 'person':
        return send({ traceId, person: { name: caller.name, role: caller.role } })
      case 'node':
        if (caller.nodeId === this.#self.nodeId) return send({ traceId, service: caller.service })
        // On the other side it would count as this node's own call, with this node's rights.
        throw new RpcError(
          'P2P_RPC_ACCESS_DENIED',
          `Node ${this.#self.nodeId} passes on no calls of other nodes: ${caller.nodeId} can call ${method} itself`,
          { method },
        )
    }
  }

  async #dial(member: Member, { method, deadlineMs, signal }: OutgoingCall): Promise<PeerChannel> {
    const { nodeId } = member.record
    const giveUp = new AbortController()
    const waitMs = Math.max(0, deadlineMs - this.#needs.clock.nowMs())
    const timer = this.#needs.clock.after(waitMs, () => {
      const message = `Node ${nodeId} was not reached in time to call ${method}`
      giveUp.abort(new RpcError('P2P_RPC_DEADLINE_EXCEEDED', message, { method, node: nodeId }))
    })
    const onAbort = (): void =>
      giveUp.abort(new RpcError('P2P_RPC_CANCELLED', `The call of ${method} was given up`, { method }))
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await this.#needs.peers.open(
        this.#needs.membership.targetOf(nodeId) ?? { nodeId, addresses: [] },
        giveUp.signal,
      )
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Members to choose from, all of the same quality; never empty. @throws {P2PError} why there is none */
  #candidates(method: string, target: CallTarget): readonly Member[] {
    const isChoice = target === undefined || target === 'remote' || target === 'coordinator' || target === 'worker'
    const key = `${target ?? ''} ${method}`
    const known = isChoice ? this.#choices.get(key) : undefined
    if (known) return known
    const parts = parseMethodName(method)
    if (!parts) throw malformedMethod(method)
    if (target === 'local' || target === this.#self.nodeId) throw this.#notHere(method)
    if (!isChoice) return [this.#named(target, method)]
    const found = this.#bestInstances(parts.service, parts.method, target)
    if (found.length === 0) throw this.#nowhere(method, parts.service, target)
    this.#choices.set(key, found)
    return found
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

  /** The candidate with the fewest calls from here; equals take turns. */
  #leastBusy(candidates: readonly Member[]): Member {
    const start = this.#rotation++
    let best: Member | undefined
    let bestLoad = Infinity
    for (let i = 0; i < candidates.length && bestLoad > 0; i++) {
      const candidate = candidates[(start + i) % candidates.length] as Member
      const load = this.#needs.remote.inFlight(candidate.record.nodeId)
      if (load >= bestLoad) continue
      best = candidate
      bestLoad = load
    }
    assert(best, 'a call has at least one candidate')
    return best
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

interface Elsewhere {
  method: string
  params: unknown
  origin: CallOrigin
  signal: AbortSignal | undefined
}

function isIn(record: NodeRecord, target: CallTarget): boolean {
  return target === undefined || target === 'remote' || record.role === target
}

function isUp(health: ServiceRecord['health']): boolean {
  return health === 'healthy' || health === 'failing'
}

function methodNames({ services }: NodeRecord): string[] {
  return services.flatMap(({ name, methods }) => methods.map((method) => `${name}/${method}`))
}

/** 0 is best. A suspect is probably gone; a failing instance at least answers. */
function quality(member: Member, service: string): number {
  const isHealthy = member.record.services.some(({ name, health }) => name === service && health === 'healthy')
  return (member.status === 'alive' ? 0 : 2) + (isHealthy ? 0 : 1)
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
