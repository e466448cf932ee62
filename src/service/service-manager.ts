import { assert } from '../base/assert.ts'
import type { AuditTrail } from '../base/audit.ts'
import type { SpanListener } from './calls/call-span.ts'
import type { Component } from '../base/component.ts'
import type { Files } from '../base/files.ts'
import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { ServiceRecord } from '../base/member.ts'
import type { Peers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { createServiceProxy } from './calls/create-proxy.ts'
import type {
  Caller,
  MethodMetrics,
  RpcAnswer,
  RpcEndpoint,
  RpcRequest,
  ServiceDescription,
  ServiceDirectory,
  ServiceMetricsSnapshot,
  ServiceMetricsSource,
} from './definition/descriptor.ts'
import { type EventCounts, EventHub } from './events/event-hub.ts'
import { OwnEvents } from './events/own-events.ts'
import type { HostProgram } from './host/driver-needs.ts'
import { LocalHost, type StoppedServices } from './host/local-host.ts'
import type { ServicePool } from './host/service-pool.ts'
import type { CallOrigin } from './calls/invocation.ts'
import type { Reply, ServedCall } from './link/call-link.ts'
import { LocalDispatch } from './calls/local-dispatch.ts'
import { PeerRpc } from './calls/peer-rpc.ts'
import type { ResultCache } from './calls/result-cache.ts'
import { type DiallableMembership, Router } from './calls/router.ts'
import { answerRpc } from './calls/rpc-endpoint.ts'
import type { ServiceDefinition } from './sdk/define-service.ts'
import { type ServiceSource, sourceOfDefinition } from './definition/service-body.ts'
import { ServiceInstance } from './service-instance.ts'
import type { ServiceHost, ServiceKind } from './definition/service-spec.ts'

const CALL_TIMEOUT_MS = 45_000
const PROCESS_START_MS = 10_000
const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 5_000
/** Nodes whose calls are counted: as many as the membership knows. */
const CALLING_NODES_MAX = 4_096

export interface ServiceManagerNeeds {
  clock: Clock
  random: Random
  log: Logger
  files: Files
  membership: DiallableMembership
  peers: Peers
  /** For methods with `cacheTtlMs`; without it they compute every time. */
  cache?: ResultCache
  /** Absent: what people do is not recorded. */
  audit?: AuditTrail
  /** Told of the calls of methods here, and of those that leave this node, as they end. */
  spans?: SpanListener
  /** Which services a person stopped; without it they run again after the next start. */
  stopped?: StoppedServices
}

export interface ServiceManagerOptions {
  identity: NodeIdentity
  /** Holds a folder per service; undefined: built-in services only. A directory that is not there holds none. */
  servicesDirectory?: string
  /** URL of the module that `p2p-core/service` stands for inside services: this program's own. */
  sdkUrl: string
  /** How long a service waits for a call to another when it does not say; default 45,000. */
  callTimeoutMs?: number
  /** For the module to load, and again for `initialize`, where the manifest does not say; default 30,000. */
  startTimeoutMs?: number
  /** For running calls to end, and again for `cleanup`, where the manifest does not say; default 5,000. */
  stopTimeoutMs?: number
  /** For a process to begin at all, on a machine that is busy; default 10,000. */
  processStartMs?: number
  /** How folders are run whose manifest does not say; default `process`. */
  kindDefault?: ServiceKind
  /** What services outside the node's own thread need; without it all run in it, or not at all. */
  outside?: { program: HostProgram; stateDirectory: string }
}

/** The services of this node, and calls to them and to those of other nodes. */
export interface ServiceManager extends ServiceDirectory, Caller, RpcEndpoint, ServiceMetricsSource {
  /** Starts and stops services other than the built-in ones. */
  readonly host: ServiceHost
  /** Adds a built-in service; only before `start`. @throws {RpcError} P2P_SERVICE_LOAD_FAILED for wrong names */
  register(definition: ServiceDefinition): void
  /** What this node says of its services to the others, ordered by name. */
  records(): ServiceRecord[]
  /** Called when what `list` and `records` tell has changed. @returns a function that unregisters */
  onChange(listener: () => void): () => void
  /** How many calls are under way in each table, and channels with tables of their own: all bounded, all 0 at rest but the channels. */
  tableSizes(): { channels: number; calling: number; serving: number; running: number; unfinished: number }
  /** Resolves when every service found at the start runs or has failed. */
  settled(): Promise<void>
  /** Calls of services here since the start, by the node they came from; those of built-in ones are not counted. */
  callsByNode(): ReadonlyMap<NodeId, number>
  /** Events of services since the start. */
  eventCounts(): EventCounts
  /** Takes up folders that have come since the start, and lets go of those that are gone. */
  rescan(): Promise<void>
}

/**
 * Runs the services of a node: the built-in ones in its own thread, the others as their manifests say. `start` resolves when
 * the built-in ones run and the others were found; those start then, all at once, and a service that fails is listed with its
 * failure and disturbs nobody.
 */
export function createServiceManager(
  needs: ServiceManagerNeeds,
  options: ServiceManagerOptions,
): ServiceManager & Component {
  return new NodeServiceManager(needs, options)
}

class NodeServiceManager implements ServiceManager, Component {
  readonly name = 'service'
  readonly #needs: ServiceManagerNeeds
  readonly #options: ServiceManagerOptions
  readonly #dispatch: LocalDispatch
  readonly #remote: PeerRpc
  readonly #router: Router
  readonly #events: EventHub
  readonly #host: LocalHost
  readonly #sources: ServiceSource[] = []
  readonly #builtins = new Map<string, ServiceInstance>()
  readonly #listeners = new Set<() => void>()
  readonly #callsByNode = new Map<NodeId, number>()
  #hasStarted = false
  #unfollow: (() => void) | undefined
  #settled: () => Promise<void> = async () => {}
  #stopping: Promise<void> | undefined

  constructor(needs: ServiceManagerNeeds, options: ServiceManagerOptions) {
    const { clock, random, log, files, cache, peers, membership, stopped } = needs
    this.#needs = needs
    this.#options = options
    const { audit, spans } = needs
    this.#dispatch = new LocalDispatch({ clock, random, log, cache, audit, spans }, options.identity.nodeId)
    this.#remote = new PeerRpc({
      clock,
      log,
      peers,
      serve: (method, params, origin, reply) =>
        this.#events.serve(method, params, origin, reply) ?? this.#startLocal(method, params, origin, reply),
    })
    const hears = { clock, random, log, membership, peers, remote: this.#remote, onChange: () => this.#changed() }
    this.#events = new EventHub(hears, options.identity.nodeId)
    const reaches = { membership, peers, local: this.#dispatch, remote: this.#remote }
    this.#router = new Router({ clock, random, spans, directory: this, ...reaches }, options.identity)
    this.#host = new LocalHost(
      {
        clock,
        random,
        log,
        files,
        identity: options.identity,
        dispatch: this.#dispatch,
        caller: this.#router,
        events: this.#events,
        stopped,
        isBuiltin: (name) => this.#builtins.has(name),
        onChange: () => this.#changed(),
      },
      {
        servicesDirectory: options.servicesDirectory,
        kindDefault: options.kindDefault ?? 'process',
        sdkUrl: options.sdkUrl,
        callTimeoutMs: options.callTimeoutMs ?? CALL_TIMEOUT_MS,
        processStartMs: options.processStartMs ?? PROCESS_START_MS,
        startTimeoutMs: options.startTimeoutMs ?? START_TIMEOUT_MS,
        stopTimeoutMs: options.stopTimeoutMs ?? STOP_TIMEOUT_MS,
        outside: options.outside,
      },
    )
  }

  get host(): ServiceHost {
    return this.#host
  }

  register(definition: ServiceDefinition): void {
    assert(!this.#hasStarted, 'built-in services are registered before the start')
    this.#sources.push(sourceOfDefinition(definition))
  }

  async start(): Promise<void> {
    this.#hasStarted = true
    this.#unfollow = this.#router.follow()
    this.#remote.start()
    await Promise.all(this.#sources.map((source) => this.#addBuiltin(source.name).start(source)))
    this.#settled = await this.#host.begin()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  tableSizes(): ReturnType<ServiceManager['tableSizes']> {
    return { ...this.#remote.tableSizes(), ...this.#dispatch.tableSizes() }
  }

  callsByNode(): ReadonlyMap<NodeId, number> {
    return this.#callsByNode
  }

  eventCounts(): EventCounts {
    return this.#events.counts()
  }

  settled(): Promise<void> {
    return this.#settled()
  }

  rescan(): Promise<void> {
    return this.#host.rescan()
  }

  list(): ServiceDescription[] {
    return this.#ordered().map((service) => service.describe())
  }

  get(name: string): ServiceDescription | undefined {
    return (this.#builtins.get(name) ?? this.#host.get(name))?.describe()
  }

  records(): ServiceRecord[] {
    return this.#ordered().map((service) => this.#recordOf(service))
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  call(...call: Parameters<Caller['call']>): Promise<unknown> {
    return this.#router.call(...call)
  }

  handleRpc(body: Uint8Array, request: RpcRequest): Promise<RpcAnswer> {
    return answerRpc({ caller: this.#router, log: this.#needs.log }, body, request)
  }

  methodMetrics(): MethodMetrics[] {
    return this.#ordered().flatMap((service) => service.methodMetrics())
  }

  serviceMetrics(): ReadonlyMap<string, ServiceMetricsSnapshot> {
    const measured = this.#ordered().map((service) => [service.name, service.metrics()] as const)
    return new Map(measured.filter((entry): entry is [string, ServiceMetricsSnapshot] => entry[1] !== undefined))
  }

  /** A call from another node. */
  #startLocal(method: string, params: unknown, origin: CallOrigin, reply: Reply): ServedCall {
    const { caller, relayedBy = caller.kind === 'node' ? caller.nodeId : undefined } = origin
    const isOwnBusiness = this.#dispatch.find(method)?.isBuiltin ?? false
    if (relayedBy !== undefined && !isOwnBusiness) {
      const calls = this.#callsByNode.get(relayedBy) ?? 0
      if (calls > 0 || this.#callsByNode.size < CALLING_NODES_MAX) this.#callsByNode.set(relayedBy, calls + 1)
    }
    return this.#router.startLocal(method, params, origin, reply)
  }

  async #stop(): Promise<void> {
    await Promise.all([this.#host.end(), ...[...this.#builtins.values()].map((service) => service.stop())])
    this.#dispatch.stop()
    this.#remote.stop()
    this.#unfollow?.()
  }

  /** With what calls and events need to know of it on other nodes. */
  #recordOf(service: ServiceInstance | ServicePool): ServiceRecord {
    const idempotent = service.describe().methods.filter(({ isPublic, isIdempotent }) => isPublic && isIdempotent)
    const events = this.#events.patternsOf(service.name)
    return {
      ...service.record(),
      ...(idempotent.length > 0 && { idempotent: idempotent.map(({ name }) => name) }),
      ...(events.length > 0 && { events }),
    }
  }

  #ordered(): (ServiceInstance | ServicePool)[] {
    return [...this.#builtins.values(), ...this.#host.pools()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #addBuiltin(name: string): ServiceInstance {
    const { clock, random, log } = this.#needs
    const {
      callTimeoutMs = CALL_TIMEOUT_MS,
      startTimeoutMs = START_TIMEOUT_MS,
      stopTimeoutMs = STOP_TIMEOUT_MS,
      identity,
    } = this.#options
    const { nodeId, role } = identity
    const instance = new ServiceInstance(
      {
        clock,
        log,
        dispatch: this.#dispatch,
        createProxy: (service, runtime) =>
          createServiceProxy(
            { clock, random, caller: this.#router, callTimeoutMs },
            { kind: 'node', nodeId, role, service },
            runtime,
          ),
        createEvents: (service) => new OwnEvents(this.#events, random, service),
        onChange: () => this.#changed(),
      },
      name,
      { isBuiltin: true, folder: undefined, startTimeoutMs, stopTimeoutMs },
    )
    this.#builtins.set(name, instance)
    return instance
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
