import { isDeepStrictEqual } from 'node:util'
import { assert } from '../base/assert.ts'
import { messageOf, RpcError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { ServiceRecord } from '../base/member.ts'
import type { Clock } from '../base/time.ts'
import type { MethodDescriptor, MethodMetrics, ServiceDescription, ServiceStatus } from './definition/descriptor.ts'
import type { Settings } from './host/host-message.ts'
import { formatMethodName } from './jsonrpc/index.ts'
import type { LocalDispatch } from './calls/local-dispatch.ts'
import type { LocalMethod } from './calls/local-method.ts'
import { describeMethod } from './definition/method-descriptor.ts'
import { MethodStats } from './calls/method-stats.ts'
import { messageWithPlace } from './definition/module-loader.ts'
import { parameterNames } from './definition/schema-check.ts'
import type { MethodOptions } from './sdk/method.ts'
import type { ServiceEvents } from './sdk/service-events.ts'
import { createServiceMetrics, type ServiceMetrics } from './sdk/service-metrics.ts'
import type { ServiceProxy } from './sdk/service-proxy.ts'
import type { ServiceRuntime, SettingsChange } from './sdk/service-runtime.ts'
import type { BodyMethod, ServiceBody, ServiceSource } from './definition/service-body.ts'
import { withinLimit } from './within-limit.ts'

// What follows travels in the node's record to every other node.
const METHODS_MAX = 128
const RECORD_DESCRIPTION_LENGTH_MAX = 200
const VERSION_LENGTH_MAX = 64
const DESCRIPTION_LENGTH_MAX = 1_000

export interface InstanceNeeds {
  clock: Clock
  log: Logger
  dispatch: Pick<LocalDispatch, 'add' | 'remove' | 'drain'>
  createProxy(serviceName: string, runtime: () => ServiceRuntime): ServiceProxy
  /** Closed when the service gets no more calls. */
  createEvents(serviceName: string): ServiceEvents & { close(): void }
  onChange(): void
}

export interface InstanceOptions {
  isBuiltin: boolean
  /** Where the service's files are; undefined for a built-in one. */
  folder: string | undefined
  /** For `initialize`. */
  startTimeoutMs: number
  /** For running calls to end, and again for `cleanup`. */
  stopTimeoutMs: number
  /** What the service gets; a built-in one has none of them. */
  config?: Readonly<Record<string, unknown>>
  secrets?: Readonly<Record<string, string>>
  dataDirectory?: string
}

/** One service of this node from `initialize` to `cleanup`. It never throws: what goes wrong becomes its status. */
export class ServiceInstance {
  readonly name: string
  readonly #needs: InstanceNeeds
  readonly #options: InstanceOptions
  readonly #metrics: ServiceMetrics
  readonly #stopping = new AbortController()
  readonly #events: ServiceEvents & { close(): void }
  readonly #runtime: ServiceRuntime
  #settings: Settings
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #body: ServiceBody | undefined
  #methods: readonly LocalMethod[] = []
  #status: ServiceStatus = 'initializing'
  #failure: { error: unknown; text: string } | undefined
  #health: 'healthy' | 'failing' = 'healthy'
  #healthReason: string | undefined
  #startedAtMs: number | undefined
  #startedMs = 0

  constructor(needs: InstanceNeeds, name: string, options: InstanceOptions) {
    this.name = name
    this.#needs = needs
    this.#options = options
    this.#metrics = createServiceMetrics(() => needs.clock.nowMs())
    this.#events = needs.createEvents(name)
    this.#settings = { config: options.config ?? {}, secrets: options.secrets ?? {} }
    const settings = (): Settings => this.#settings
    this.#runtime = {
      name,
      logger: needs.log.child(`Service.${name}`),
      proxy: needs.createProxy(name, () => this.#runtime),
      events: this.#events,
      metrics: this.#metrics,
      get config() {
        return settings().config
      },
      get secrets() {
        return settings().secrets
      },
      dataDirectory: options.dataDirectory ?? '',
      signal: this.#stopping.signal,
      reportHealth: (health, reason) => this.#reportHealth(health, reason),
    }
  }

  get status(): ServiceStatus {
    return this.#status
  }

  /** What kept it from starting; undefined while nothing did. */
  get failure(): unknown {
    return this.#failure?.error
  }

  /** Brings the service to life; resolves when it runs, has failed or was stopped meanwhile. */
  start(source: ServiceSource): Promise<void> {
    assert(!this.#started, `service ${this.name} is started once`)
    this.#started = this.#start(source)
    return this.#started
  }

  /** Makes the failure the service's state: with its own file and line where there is one. */
  fail(error: unknown): void {
    const text = messageWithPlace(error, this.#options.folder)
    this.#failure = { error, text }
    this.#needs.log.error('A service could not be started', { service: this.name, reason: text, error })
    this.#become('error')
  }

  /**
   * Which methods its code writes: nothing of it runs but its constructor.
   * @throws what the constructor throws, or {RpcError} P2P_SERVICE_LOAD_FAILED
   */
  methodsOf(source: ServiceSource): MethodDescriptor[] {
    const { methods } = source.create(this.#runtime, this.#runtime.proxy)
    checkMethodCount(methods.length)
    return methods.map(({ name, options }) => describeMethod(this.name, name, options))
  }

  /** Other values from now on, and the service is told. @throws what it throws: it has the old ones again */
  async reconfigure(settings: Settings): Promise<void> {
    const before = this.#settings
    const change = changeOf(before, settings)
    if (change.config.length + change.secrets.length === 0) return
    this.#settings = settings
    try {
      const limit = {
        limitMs: this.#options.startTimeoutMs,
        what: 'reconfigure',
        setting: 'startTimeoutMs',
        signal: this.#stopping.signal,
      }
      await withinLimit(this.#needs.clock, this.#body?.reconfigure(change), limit)
    } catch (error) {
      this.#settings = before
      throw error
    }
  }

  /** Takes no new calls, lets running ones end, then cleans up. Idempotent. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop())
  }

  async #stop(): Promise<void> {
    if (this.#status === 'running') {
      this.#become('stopping')
      this.#needs.dispatch.remove(this.#methods)
      await this.#needs.dispatch.drain(this.#methods, this.#options.stopTimeoutMs)
      await this.#cleanUp()
      this.#become('stopped')
    } else {
      this.#stopping.abort(stoppingReason(this.name))
      await this.#started
    }
  }

  describe(): ServiceDescription {
    const info = this.#body?.info()
    return {
      name: this.name,
      version: (info?.version ?? '').slice(0, VERSION_LENGTH_MAX),
      description: (info?.description ?? '').slice(0, DESCRIPTION_LENGTH_MAX),
      status: this.#status,
      ...(this.#failure && { failure: this.#failure.text }),
      ...(this.#status === 'running' && { health: this.#health }),
      ...(this.#healthReason !== undefined && { healthReason: this.#healthReason }),
      isBuiltin: this.#options.isBuiltin,
      methods: this.#methods.map(({ descriptor }) => descriptor),
      startedAtMs: this.#startedAtMs,
    }
  }

  /** What the other nodes are told: public methods only, for no other node could call the rest. */
  record(): ServiceRecord {
    const { name, version, description, methods } = this.describe()
    const names = methods.filter(({ isPublic }) => isPublic).map((method) => method.name)
    return {
      name,
      version,
      description: description.slice(0, RECORD_DESCRIPTION_LENGTH_MAX),
      health: this.#recordHealth(),
      methods: names,
    }
  }

  methodMetrics(): MethodMetrics[] {
    return this.#methods.map(({ stats, descriptor }) => stats.metrics(descriptor.service, descriptor.name))
  }

  snapshot(): ReturnType<ServiceMetrics['snapshot']> {
    return this.#metrics.snapshot()
  }

  /** What a running service measured itself. */
  metrics(): ReturnType<ServiceMetrics['snapshot']> | undefined {
    return this.#status === 'running' ? this.snapshot() : undefined
  }

  #recordHealth(): ServiceRecord['health'] {
    switch (this.#status) {
      case 'initializing':
        return 'starting'
      case 'running':
        return this.#health
      case 'error':
        return 'failing'
      case 'stopping':
      case 'stopped':
        return 'stopping'
    }
  }

  async #start(source: ServiceSource): Promise<void> {
    const { signal } = this.#stopping
    try {
      signal.throwIfAborted()
      this.#body = source.create(this.#runtime, this.#runtime.proxy)
      checkMethodCount(this.#body.methods.length)
      const limit = { limitMs: this.#options.startTimeoutMs, what: 'initialize', setting: 'startTimeoutMs', signal }
      await withinLimit(this.#needs.clock, this.#body.initialize(), limit)
      signal.throwIfAborted()
    } catch (error) {
      if (signal.aborted) this.#become('stopped')
      else this.fail(error)
      await this.#cleanUp()
      return
    }
    this.#methods = this.#localMethods(this.#body)
    this.#startedAtMs = this.#needs.clock.wallMs()
    this.#startedMs = this.#needs.clock.nowMs()
    this.#needs.dispatch.add(this.#methods)
    this.#become('running')
  }

  #become(status: ServiceStatus): void {
    this.#status = status
    this.#needs.onChange()
  }

  #reportHealth(health: 'healthy' | 'failing', reason?: string): void {
    if (health === this.#health && reason === this.#healthReason) return
    this.#health = health
    this.#healthReason = health === 'failing' ? reason : undefined
    this.#needs.onChange()
  }

  async #cleanUp(): Promise<void> {
    this.#events.close()
    this.#stopping.abort(stoppingReason(this.name))
    if (!this.#body) return
    try {
      const limit = { limitMs: this.#options.stopTimeoutMs, what: 'cleanup', setting: 'stopTimeoutMs' }
      await withinLimit(this.#needs.clock, this.#body.cleanup(), limit)
    } catch (error) {
      this.#needs.log.warning('A service did not clean up', { service: this.name, reason: messageOf(error), error })
    }
  }

  #localMethods(body: ServiceBody): LocalMethod[] {
    return [...body.methods, ...this.#givenMethods()].map((method) => this.#localMethod(body, method))
  }

  #localMethod(body: ServiceBody, { name, options, invoke }: BodyMethod): LocalMethod {
    const descriptor = describeMethod(this.name, name, options)
    return {
      name: formatMethodName(this.name, name),
      descriptor,
      serviceVersion: body.info().version,
      runtime: this.#runtime,
      isBuiltin: this.#options.isBuiltin,
      params: options.params,
      result: options.result,
      item: options.item,
      parameterNames: parameterNames(descriptor.params),
      stats: new MethodStats(),
      invoke,
    }
  }

  #givenMethods(): BodyMethod[] {
    const given = (description: string): MethodOptions => ({ description, public: true, requiredRole: 'viewer' })
    return [
      { name: 'ping', options: given('Answers when the service is alive'), invoke: () => this.#ping() },
      {
        name: 'get_service_info',
        options: given('Tells what the service is and how it does'),
        invoke: () => this.#info(),
      },
    ]
  }

  #uptimeSeconds(): number {
    return (this.#needs.clock.nowMs() - this.#startedMs) / 1_000
  }

  #timestamp(): string {
    return new Date(this.#needs.clock.wallMs()).toISOString()
  }

  #ping(): object {
    return {
      status: 'alive',
      service: this.name,
      uptime: this.#uptimeSeconds(),
      timestamp: this.#timestamp(),
      heartbeat: true,
    }
  }

  #info(): object {
    const { name, status, version, description, methods } = this.describe()
    const calls = this.methodMetrics()
    const sum = (pick: (metrics: MethodMetrics) => number): number => calls.reduce((total, m) => total + pick(m), 0)
    const snapshot = this.snapshot()
    return {
      name,
      status,
      version,
      description,
      exposed_methods: methods.filter(({ isPublic }) => isPublic).map((method) => method.name),
      metadata: this.#body?.info().metadata ?? {},
      uptime: this.#uptimeSeconds(),
      health_report: {
        service_name: name,
        status: this.#health,
        reason: this.#healthReason ?? null,
        uptime_seconds: this.#uptimeSeconds(),
        error_count: sum(({ errors }) => errors),
        timestamp: this.#timestamp(),
      },
      metrics_summary: {
        calls: sum((m) => m.calls),
        errors: sum(({ errors }) => errors),
        in_flight: sum(({ inFlight }) => inFlight),
      },
      ...snapshot,
    }
  }
}

function changeOf(before: Settings, after: Settings): SettingsChange {
  return { config: differences(before.config, after.config), secrets: differences(before.secrets, after.secrets) }
}

/** Names whose values differ. */
function differences(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].filter((name) => !isDeepStrictEqual(before[name], after[name])).sort()
}

function checkMethodCount(count: number): void {
  if (count <= METHODS_MAX) return
  throw new RpcError(
    'P2P_SERVICE_LOAD_FAILED',
    `it has ${count} methods, ${METHODS_MAX} are allowed: make it several services`,
  )
}

function stoppingReason(service: string): RpcError {
  return new RpcError('P2P_RPC_CANCELLED', `Service ${service} is stopping`, { service })
}
