import { messageOf, RpcError } from '../base/errors.ts'
import type { NodeIdentity, Principal } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Peers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { createServiceProxy } from './calls/create-proxy.ts'
import type {
  Caller,
  CallRequest,
  CallTarget,
  ServiceDescription,
  ServiceMetricsSnapshot,
} from './definition/descriptor.ts'
import { EventHub } from './events/event-hub.ts'
import { OwnEvents } from './events/own-events.ts'
import { LocalDispatch } from './calls/local-dispatch.ts'
import { unknownMethod } from './calls/missing-method.ts'
import { PeerRpc } from './calls/peer-rpc.ts'
import { isStream, RawJson, readResult, textOf } from './calls/raw-json.ts'
import type { ServiceDefinition } from './sdk/define-service.ts'
import type { ServiceEvents } from './sdk/service-events.ts'
import type { ServiceProxy } from './sdk/service-proxy.ts'
import { type RunClass, sourceOf, type ServiceSource } from './definition/service-body.ts'
import { ServiceInstance } from './service-instance.ts'

const CALL_TIMEOUT_MS = 45_000
const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 5_000

/** A call that the service makes of another one. Parameters and results are JSON, as between nodes. */
export interface LoneCall {
  readonly service: string
  readonly method: string
  readonly params: unknown
  readonly target: CallTarget
  readonly request: CallRequest
}

export interface LoneServiceNeeds {
  clock: Clock
  random: Random
  log: Logger
  /** Answers for all other services. @returns the result, or an async iterable */
  answer(call: LoneCall): unknown
  /** Told of every event that the service published. */
  onPublished?(topic: string, data: unknown): void
}

export interface LoneServiceOptions {
  identity: NodeIdentity
  /** Of a class that does not give its own. */
  nameOfClass: string
  config: Readonly<Record<string, unknown>>
  secrets: Readonly<Record<string, string>>
  dataDirectory: string
}

/**
 * One service as a node runs it, without the node: access, schemas, deadlines, limits, streams, events and errors are those of
 * the real path; other services are whatever `answer` says, and there is no other node.
 */
export class LoneService {
  readonly name: string
  readonly #needs: LoneServiceNeeds
  readonly #options: LoneServiceOptions
  readonly #source: ServiceSource
  readonly #dispatch: LocalDispatch
  readonly #hub: EventHub
  readonly #instance: ServiceInstance

  /** @throws {RpcError} P2P_SERVICE_LOAD_FAILED: it is no service */
  constructor(service: ServiceDefinition | RunClass, needs: LoneServiceNeeds, options: LoneServiceOptions) {
    const { clock, random, log } = needs
    const { nodeId, role } = options.identity
    this.#needs = needs
    this.#options = options
    this.#source = sourceOf(service, {}, options.nameOfClass)
    this.name = this.#source.name
    this.#dispatch = new LocalDispatch({ clock, random, log }, nodeId)
    const remote = new PeerRpc({ clock, log, peers: NO_PEERS, serve: () => this.#nowhere() })
    const membership = { members: () => [], targetOf: () => undefined }
    this.#hub = new EventHub({ clock, random, log, membership, peers: NO_PEERS, remote, onChange: () => {} }, nodeId)
    this.#instance = new ServiceInstance(
      {
        clock,
        log,
        dispatch: this.#dispatch,
        createProxy: (name, runtime) =>
          createServiceProxy(this.#proxyNeeds(), { kind: 'node', nodeId, role, service: name }, runtime),
        createEvents: (name) => this.#ownEvents(name),
        onChange: () => {},
      },
      this.name,
      {
        isBuiltin: false,
        folder: undefined,
        startTimeoutMs: START_TIMEOUT_MS,
        stopTimeoutMs: STOP_TIMEOUT_MS,
        config: options.config,
        secrets: options.secrets,
        dataDirectory: options.dataDirectory,
      },
    )
  }

  /** @throws {RpcError} P2P_SERVICE_START_FAILED; its `cause` is what the service threw */
  async start(): Promise<void> {
    await this.#instance.start(this.#source)
    const { failure } = this.#instance
    if (failure === undefined) return
    const message = `Service ${this.name} could not be started: ${messageOf(failure)}`
    throw new RpcError('P2P_SERVICE_START_FAILED', message, { service: this.name }, { cause: failure })
  }

  /** Lets running calls end, then cleans up. */
  async stop(): Promise<void> {
    await this.#instance.stop()
    this.#dispatch.stop()
  }

  /** Calls it as `caller` would from another process: parameters and results go through JSON. */
  clientOf(caller: Principal): ServiceProxy {
    const runtime = (): never => {
      throw new TypeError('A client is no service')
    }
    return createServiceProxy(this.#proxyNeeds(), caller, runtime)[this.name]
  }

  /** An event of another service. @throws {RpcError} P2P_RPC_INVALID_PARAMS */
  hear(service: string, topic: string, data: unknown, traceId: string): void {
    this.#hub.publish(service, topic, data, { traceId, hops: 0 })
  }

  /** Other settings as it runs. @throws what the service throws: it has those it had */
  async reconfigure(settings: Pick<LoneServiceOptions, 'config' | 'secrets'>): Promise<void> {
    await this.#instance.reconfigure(settings)
  }

  describe(): ServiceDescription {
    return this.#instance.describe()
  }

  metrics(): ServiceMetricsSnapshot {
    return this.#instance.snapshot()
  }

  #proxyNeeds() {
    const { clock, random } = this.#needs
    const caller: Caller = {
      call: (method, params, request, target) => this.#call(method, params, request, target),
    }
    return { clock, random, caller, callTimeoutMs: CALL_TIMEOUT_MS }
  }

  async #call(method: string, params: unknown, request: CallRequest, target: CallTarget): Promise<unknown> {
    const sent = new RawJson(textOf(method, params ?? {}))
    const slash = method.indexOf('/')
    const service = method.slice(0, slash)
    if (service !== this.name) {
      const call = { service, method: method.slice(slash + 1), params: readResult(method, sent), target, request }
      return this.#received(method, await this.#answered(method, call))
    }
    const found = this.#dispatch.find(method)
    if (!found) {
      const known = this.describe().methods.map((descriptor) => `${this.name}/${descriptor.name}`)
      throw unknownMethod(method, known, `node ${this.#options.identity.nodeId}`)
    }
    const invocation = this.#dispatch.start(found, sent, request)
    const giveUp = (): void => this.#dispatch.cancel(invocation, cancelled(method))
    if (request.signal?.aborted) giveUp()
    request.signal?.addEventListener('abort', giveUp, { once: true })
    invocation.whenEnded(() => request.signal?.removeEventListener('abort', giveUp))
    return this.#received(method, await invocation.result)
  }

  /** What another service answers, within the deadline of the call. */
  async #answered(method: string, call: LoneCall): Promise<unknown> {
    const { clock } = this.#needs
    const { deadlineMs, signal } = call.request
    const over = Promise.withResolvers<never>()
    const timer = clock.after(deadlineMs - clock.nowMs(), () => {
      over.reject(new RpcError('P2P_RPC_DEADLINE_EXCEEDED', `${method} did not answer in time`, { method }))
    })
    const onAbort = (): void => over.reject(cancelled(method))
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([over.promise, Promise.try(() => this.#needs.answer(call))])
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** As it would come from another process. */
  #received(method: string, value: unknown): unknown {
    if (isStream(value)) return receivedItems(method, value)
    return value === undefined ? undefined : readResult(method, new RawJson(textOf(method, value)))
  }

  #ownEvents(name: string): ServiceEvents & { close(): void } {
    const own = new OwnEvents(this.#hub, this.#needs.random, name)
    return {
      publish: (topic, data) => {
        own.publish(topic, data)
        this.#needs.onPublished?.(topic, data === undefined ? null : JSON.parse(JSON.stringify(data)))
      },
      subscribe: (...subscription) => own.subscribe(...subscription),
      close: () => own.close(),
    }
  }

  #nowhere(): never {
    throw new RpcError('P2P_RPC_NO_INSTANCE', `There is no node besides that of service ${this.name}`)
  }
}

async function* receivedItems(method: string, items: AsyncIterable<unknown>): AsyncGenerator {
  for await (const item of items) {
    yield item instanceof Uint8Array ? item : readResult(method, new RawJson(textOf(method, item)))
  }
}

function cancelled(method: string): RpcError {
  return new RpcError('P2P_RPC_CANCELLED', `The caller of ${method} gave up`, { method })
}

const NO_PEERS: Peers = {
  get: () => undefined,
  list: () => [],
  open: ({ nodeId }) =>
    Promise.reject(new RpcError('P2P_RPC_NO_INSTANCE', `There is no node ${nodeId}: the service runs alone`)),
  handle: () => {},
  onOpen: () => () => {},
  onClose: () => () => {},
}
