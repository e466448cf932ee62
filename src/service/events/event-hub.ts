import { messageOf, RpcError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Peers } from '../../base/peer.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { isUp, quality } from '../calls/instance-quality.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import type { CallOrigin } from '../calls/invocation.ts'
import type { Reply, ServedCall } from '../link/call-link.ts'
import { HOPS_MAX } from '../calls/local-dispatch.ts'
import type { PeerRpc } from '../calls/peer-rpc.ts'
import { RawJson, readParams, textOf } from '../calls/raw-json.ts'
import type { DiallableMembership } from '../calls/router.ts'
import type { ServiceEvent, SubscribeOptions } from '../sdk/service-events.ts'
import { EVENT_METHOD } from './event-methods.ts'
import { EventQueue } from './event-queue.ts'
import type { EventCause } from './event-scope.ts'
import { checkPattern, checkTopic, matchesTopic } from './event-topic.ts'

/** A service's subscriptions travel in the record of its node. */
const PATTERNS_MAX = 32
/** Of all services of the node. */
const SUBSCRIPTIONS_MAX = 4_096
/** Sent to one node and not yet taken by it; further events are dropped. */
const EVENTS_ON_THE_WAY_MAX = 1_024
const EVENT_BYTES_MAX = 1024 * 1024
const TIMEOUT_MS = 10_000

export type Delivery = NonNullable<SubscribeOptions['delivery']>

/** An event on its way. Its data are JSON text; only a subscriber reads them. */
export interface PublishedEvent extends ServiceEvent {
  readonly data: RawJson
  /** Calls and events that caused one another before it. */
  readonly hops: number
}

export interface Subscription {
  /** Several instances of one service on this node each have their own. */
  readonly service: string
  readonly pattern: string
  readonly delivery: Delivery
  /** How many events it takes at once; they come in their order. */
  readonly atOnce: number
  /** @throws what is logged and concerns nobody else */
  take(event: PublishedEvent): Promise<void>
}

export interface EventHubNeeds {
  clock: Clock
  random: Random
  log: Logger
  membership: Pick<DiallableMembership, 'members' | 'targetOf'>
  peers: Peers
  remote: PeerRpc
  /** The subscriptions have changed: the record of this node has to be told anew. */
  onChange(): void
}

/** Numbers since the start. */
export interface EventCounts {
  published: number
  /** Handed to a subscriber of this node. */
  delivered: number
  /** Lost: subscribers or nodes with too much waiting, nodes that could not be reached. */
  dropped: number
}

interface Active {
  readonly subscription: Subscription
  readonly queue: EventQueue<PublishedEvent>
}

/** Brings the events of this node's services to those who subscribe to them, on this node and on others. */
export class EventHub {
  readonly #needs: EventHubNeeds
  readonly #nodeId: NodeId
  readonly #active = new Set<Active>()
  readonly #onTheWay = new Map<NodeId, number>()
  readonly #counts: EventCounts = { published: 0, delivered: 0, dropped: 0 }
  #rotation = 0

  constructor(needs: EventHubNeeds, nodeId: NodeId) {
    this.#needs = needs
    this.#nodeId = nodeId
  }

  counts(): EventCounts {
    return { ...this.#counts }
  }

  /** What the node's record says of a service: its patterns, those for every instance with `all:` before them. */
  patternsOf(service: string): string[] {
    const patterns = new Set<string>()
    for (const { subscription } of this.#active) {
      if (subscription.service === service) patterns.add(recordForm(subscription))
    }
    return [...patterns].sort()
  }

  /**
   * @returns a function that unsubscribes; events that wait are dropped
   * @throws {RpcError} P2P_RPC_INVALID_PARAMS: no pattern; P2P_RPC_OVERLOADED: too many subscriptions
   */
  subscribe(subscription: Subscription): () => void {
    const { service, pattern, atOnce } = subscription
    checkPattern(pattern)
    const patterns = this.patternsOf(service)
    const isTooMuch = patterns.length >= PATTERNS_MAX && !patterns.includes(recordForm(subscription))
    if (isTooMuch || this.#active.size >= SUBSCRIPTIONS_MAX) throw tooMany(service)
    const queue = new EventQueue<PublishedEvent>(
      atOnce,
      (event) => this.#hand(subscription, event),
      ({ from }) => from.nodeId,
    )
    const active: Active = { subscription, queue }
    this.#active.add(active)
    this.#needs.onChange()
    return () => {
      if (!this.#active.delete(active)) return
      queue.close()
      this.#needs.onChange()
    }
  }

  /**
   * @param data JSON, or a {@link RawJson}
   * @throws {RpcError} P2P_RPC_INVALID_PARAMS: no topic, or data that cannot be JSON or are too large; P2P_RPC_TOO_MANY_HOPS
   */
  publish(service: string, topic: string, data: unknown, cause: EventCause): void {
    checkTopic(topic)
    if (cause.hops > HOPS_MAX) {
      const message = `${topic} was not published: ${HOPS_MAX} events and calls have caused one another; look for services that answer each other's events`
      throw new RpcError('P2P_RPC_TOO_MANY_HOPS', message, { topic })
    }
    const text = dataText(topic, data)
    if (Buffer.byteLength(text) > EVENT_BYTES_MAX) {
      const message = `The data of ${topic} are larger than ${EVENT_BYTES_MAX} bytes: publish where they are instead`
      throw new RpcError('P2P_RPC_INVALID_PARAMS', message, { topic })
    }
    this.#counts.published++
    const from = { nodeId: this.#nodeId, service }
    const event: PublishedEvent = { topic, from, ...cause, data: new RawJson(text) }
    const balanced = new Set(this.#balancedHere(topic))
    this.#deliver(event, balanced)
    for (const [nodeId, services] of this.#elsewhere(topic, balanced)) this.#send(nodeId, event, services)
  }

  /**
   * An event of another node.
   * @returns undefined when the method is not that of events
   * @throws {RpcError} P2P_RPC_INVALID_REQUEST
   */
  serve(
    method: string,
    params: RawJson | undefined,
    { caller, traceId, hops = 0 }: CallOrigin,
    reply: Reply,
  ): ServedCall | undefined {
    if (method !== EVENT_METHOD || caller.kind !== 'node') return undefined
    this.#take(caller.nodeId, params ?? {}, { traceId, hops })
    reply.resolve(null)
    return { cancel: () => {} }
  }

  #take(nodeId: NodeId, params: unknown, cause: EventCause): void {
    const { topic, service, balanced, data } = readParams(EVENT_METHOD, params) as Record<string, unknown>
    if (
      typeof topic !== 'string' ||
      typeof service !== 'string' ||
      !isServiceName(service) ||
      !Array.isArray(balanced)
    ) {
      throw new RpcError('P2P_RPC_INVALID_REQUEST', `${EVENT_METHOD}: what came from ${nodeId} is no event`)
    }
    checkTopic(topic)
    const text = JSON.stringify(data) ?? 'null'
    const event: PublishedEvent = { topic, from: { nodeId, service }, ...cause, data: new RawJson(text) }
    this.#deliver(event, new Set(balanced as unknown[]))
  }

  /** @param balanced services of which one instance here gets it */
  #deliver(event: PublishedEvent, balanced: ReadonlySet<unknown>): void {
    const turns = new Map<string, Active[]>()
    for (const active of this.#active) {
      const { service, pattern, delivery } = active.subscription
      if (!matchesTopic(pattern, event.topic)) continue
      if (delivery === 'all') this.#push(active, event)
      else if (balanced.has(service)) turns.set(service, [...(turns.get(service) ?? []), active])
    }
    for (const instances of turns.values()) this.#push(instances[this.#rotation++ % instances.length] as Active, event)
  }

  #push({ queue }: Active, event: PublishedEvent): void {
    const lost = queue.push(event)
    if (lost) this.#counts.dropped++
    else this.#counts.delivered++
  }

  /** Never rejects. */
  async #hand(subscription: Subscription, event: PublishedEvent): Promise<void> {
    try {
      await subscription.take(event)
    } catch (error) {
      const { service } = subscription
      const fields = { service, topic: event.topic, traceId: event.traceId, reason: messageOf(error), error }
      this.#needs.log.warning('A service could not handle an event', fields)
    }
  }

  #balancedHere(topic: string): string[] {
    return [...this.#active]
      .filter(({ subscription }) => subscription.delivery === 'balanced' && matchesTopic(subscription.pattern, topic))
      .map(({ subscription }) => subscription.service)
  }

  /** The other nodes that get the event, each with the services of which one instance there gets it. */
  #elsewhere(topic: string, served: ReadonlySet<string>): Map<NodeId, string[]> {
    const chosen = new Map<NodeId, string[]>()
    const choices = new Map<string, { quality: number; nodes: NodeId[] }>()
    for (const member of this.#needs.membership.members()) {
      const { nodeId, services } = member.record
      if (nodeId === this.#nodeId || (member.status !== 'alive' && member.status !== 'suspect')) continue
      for (const { name, health, events = [] } of services) {
        if (!isUp(health)) continue
        const isForAll = events.some((form) => form.startsWith(ALL) && matchesTopic(form.slice(ALL.length), topic))
        if (isForAll && !chosen.has(nodeId)) chosen.set(nodeId, [])
        if (served.has(name) || !events.some((form) => matchesTopic(form, topic))) continue
        const found = quality(member, name)
        const best = choices.get(name)
        if (best?.quality === found) best.nodes.push(nodeId)
        else if (!best || found < best.quality) choices.set(name, { quality: found, nodes: [nodeId] })
      }
    }
    for (const [service, { nodes }] of choices) {
      const nodeId = nodes[this.#rotation++ % nodes.length] as NodeId
      chosen.set(nodeId, [...(chosen.get(nodeId) ?? []), service])
    }
    return chosen
  }

  #send(nodeId: NodeId, event: PublishedEvent, balanced: string[]): void {
    const onTheWay = this.#onTheWay.get(nodeId) ?? 0
    if (onTheWay >= EVENTS_ON_THE_WAY_MAX) {
      this.#counts.dropped++
      return
    }
    this.#onTheWay.set(nodeId, onTheWay + 1)
    this.#sendNow(nodeId, event, balanced)
      .catch((error: unknown) => {
        this.#counts.dropped++
        const fields = { topic: event.topic, node: nodeId, reason: messageOf(error) }
        this.#needs.log.debug('An event did not reach a node', fields)
      })
      .finally(() => {
        const left = (this.#onTheWay.get(nodeId) ?? 1) - 1
        if (left === 0) this.#onTheWay.delete(nodeId)
        else this.#onTheWay.set(nodeId, left)
      })
  }

  async #sendNow(nodeId: NodeId, event: PublishedEvent, balanced: string[]): Promise<void> {
    const { clock, peers, membership, remote } = this.#needs
    const deadlineMs = clock.nowMs() + TIMEOUT_MS
    const channel = peers.get(nodeId) ?? (await peers.open(membership.targetOf(nodeId) ?? { nodeId, addresses: [] }))
    const { topic, from, data, traceId, hops } = event
    const head = JSON.stringify({ topic, service: from.service, balanced })
    const params = new RawJson(`${head.slice(0, -1)},"data":${data.text}}`)
    await remote.call(channel, { method: EVENT_METHOD, params, deadlineMs, context: { traceId, hops } })
  }
}

function dataText(topic: string, data: unknown): string {
  try {
    return textOf(topic, data)
  } catch (error) {
    const message = `${topic} was not published: its data cannot be JSON`
    throw new RpcError('P2P_RPC_INVALID_PARAMS', message, { topic }, { cause: error })
  }
}

const ALL = 'all:'

function recordForm({ pattern, delivery }: Subscription): string {
  return delivery === 'all' ? `${ALL}${pattern}` : pattern
}

function tooMany(service: string): RpcError {
  const message = `Service ${service} has too many subscriptions: ${PATTERNS_MAX} patterns are allowed; subscribe to prefix.* instead`
  return new RpcError('P2P_RPC_OVERLOADED', message, { service })
}
