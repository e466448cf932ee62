import { NetworkError, type P2PError, RpcError } from '../../base/errors.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Member, Membership, NodeRecord } from '../../base/member.ts'
import type { Peers } from '../../base/peer.ts'
import { type Random, randomInt } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { CallTarget, ServiceDescription, ServiceDirectory } from '../definition/descriptor.ts'
import { parseMethodName } from '../jsonrpc/index.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import { isUp, quality } from './instance-quality.ts'
import { malformedMethod, nearest, unknownMethod } from './missing-method.ts'
import type { PeerRpc } from './peer-rpc.ts'
import { RetryBudget } from './retry-budget.ts'

const NODES_SHOWN_MAX = 20
/** Services whose retries are counted. */
const BUDGETS_MAX = 1_024

export interface RoutesNeeds {
  clock: Clock
  random: Random
  membership: Membership
  peers: Pick<Peers, 'get'>
  remote: Pick<PeerRpc, 'inFlight'>
  directory: ServiceDirectory
}

/** An instance of a service on another node. */
export interface Candidate {
  readonly nodeId: NodeId
  readonly breaker: CircuitBreaker
}

/** Where calls of a method can go when they cannot run here: instances of the same quality, never none. */
export interface Route {
  readonly candidates: readonly Candidate[]
  readonly isIdempotent: boolean
  readonly budget: RetryBudget
}

/** Of a call on its way. */
interface Attempted {
  readonly method: string
  readonly target: CallTarget
  /** Nodes on which it failed. */
  readonly tried: ReadonlySet<NodeId> | undefined
}

/** Where calls can go from here, which instance gets the next one, and why there is none. */
export class Routes {
  readonly #needs: RoutesNeeds
  readonly #self: NodeIdentity
  /** Where a method can run, by target, then by method; forgotten when the membership changes. */
  readonly #known = new Map<CallTarget, Map<string, Route>>()
  /** By node and service; forgotten with the node. */
  readonly #breakers = new Map<NodeId, Map<string, CircuitBreaker>>()
  readonly #budgets = new Map<string, RetryBudget>()
  #rotation = 0

  constructor(needs: RoutesNeeds, self: NodeIdentity) {
    this.#needs = needs
    this.#self = self
  }

  /** @returns a function that stops following the membership */
  follow(): () => void {
    return this.#needs.membership.onChange(({ member }) => {
      this.#known.clear()
      if (member.status === 'dead' || member.status === 'left') this.#breakers.delete(member.record.nodeId)
    })
  }

  /** @throws {P2PError} why there is nowhere to go */
  of(method: string, target: CallTarget): Route {
    const known = this.#known.get(target)?.get(method)
    if (known) return known
    const parts = parseMethodName(method)
    if (!parts) throw malformedMethod(method)
    if (target === 'local' || target === this.#self.nodeId) throw this.notHere(method)
    const isChoice = target === undefined || target === 'remote' || target === 'coordinator' || target === 'worker'
    const members = isChoice ? this.#bestInstances(parts.service, parts.method, target) : [this.#named(target, method)]
    if (members.length === 0) throw this.#nowhere(method, parts.service, target)
    const route: Route = {
      candidates: members.map(({ record }) => this.#candidate(record, parts.service)),
      isIdempotent: members.every(({ record }) => isIdempotent(record, parts.service, parts.method)),
      budget: this.budgetOf(parts.service),
    }
    // A node named by somebody outside may be any text: what is remembered are choices, of methods that exist.
    if (isChoice) this.#remember(target, method, route)
    return route
  }

  /** @returns undefined where there is nowhere to go */
  ifAny({ method, target }: Attempted): Route | undefined {
    try {
      return this.of(method, target)
    } catch {
      return undefined
    }
  }

  #remember(target: CallTarget, method: string, route: Route): void {
    const routes = this.#known.get(target)
    if (routes) routes.set(method, route)
    else this.#known.set(target, new Map([[method, route]]))
  }

  #candidate({ nodeId, services }: NodeRecord, service: string): Candidate {
    // Who names a node may name any service: of those it does not have nothing is kept.
    if (!services.some(({ name }) => name === service)) return { nodeId, breaker: new CircuitBreaker() }
    let breakers = this.#breakers.get(nodeId)
    if (!breakers) this.#breakers.set(nodeId, (breakers = new Map<string, CircuitBreaker>()))
    let breaker = breakers.get(service)
    if (!breaker) breakers.set(service, (breaker = new CircuitBreaker()))
    return { nodeId, breaker }
  }

  /** How often calls of the service may be made again. */
  budgetOf(service: string): RetryBudget {
    const known = this.#budgets.get(service)
    if (known) return known
    if (this.#budgets.size >= BUDGETS_MAX) this.#budgets.clear()
    const budget = new RetryBudget(this.#needs.clock.nowMs())
    this.#budgets.set(service, budget)
    return budget
  }

  /** Of two, taken in turn and by chance, the one with fewer calls from here; equals take turns. */
  choose({ candidates }: Route, { method, tried }: Attempted): Candidate {
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

  /** Why this node does not run the method. */
  notHere(method: string): P2PError {
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
