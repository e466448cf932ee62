import { isDeepStrictEqual } from 'node:util'
import { messageOf, RpcError } from '../../base/errors.ts'
import { silentLogger } from '../../base/log.ts'
import type { ServiceRecord } from '../../base/member.ts'
import type { Clock } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type {
  MethodMetrics,
  ServiceDescription,
  ServiceMetricsSnapshot,
  ServiceStatus,
} from '../definition/descriptor.ts'
import { CallerNotes } from '../calls/caller-notes.ts'
import { formatMethodName } from '../jsonrpc/index.ts'
import type { LocalDispatch } from '../calls/local-dispatch.ts'
import type { LocalMethod } from '../calls/local-method.ts'
import { MethodStats } from '../calls/method-stats.ts'
import { parameterNames } from '../definition/schema-check.ts'
import { createServiceMetrics } from '../sdk/service-metrics.ts'
import type { ServiceRuntime } from '../sdk/service-runtime.ts'
import type { MethodCallers, ServiceSpec, ServiceState } from '../definition/service-spec.ts'
import { mergedMetrics } from './merged-metrics.ts'
import type { RunFacts, ServiceRun } from './run.ts'
import type { InstanceOwner, SupervisedInstance } from './supervised-instance.ts'

// What follows travels in the node's record to every other node.
const RECORD_DESCRIPTION_LENGTH_MAX = 200
const VERSION_LENGTH_MAX = 64
const DESCRIPTION_LENGTH_MAX = 1_000

export interface PoolNeeds {
  clock: Clock
  dispatch: LocalDispatch
  /** @throws {RpcError} P2P_SERVICE_LOAD_FAILED: this node cannot run that kind */
  createInstance(spec: ServiceSpec, owner: InstanceOwner): SupervisedInstance
  /** The code of a folder says its name. @throws {RpcError} P2P_SERVICE_LOAD_FAILED: it cannot have it */
  claim(pool: ServicePool, name: string): void
  onChange(): void
}

export interface DeployOptions {
  signal?: AbortSignal | undefined
  readyTimeoutMs?: number | undefined
  /** Also when nothing has changed. */
  isForced?: boolean
}

/**
 * The instances behind one name: as many as are wanted of one version, but for the moments in which another takes its place.
 * Its methods are in the dispatch while one instance takes calls; a call goes to the one with the fewest under way.
 */
export class ServicePool implements InstanceOwner {
  #name: string
  #origin: 'folder' | 'deployed'
  /** Of the node, with a service of this name; it comes back when the deployed one is removed. */
  #folder: string | undefined
  readonly #needs: PoolNeeds
  #spec: ServiceSpec
  #isNameKnown: boolean
  #isStopped = false
  #instances: SupervisedInstance[] = []
  /** On their way in, or on their way out. */
  readonly #others = new Set<SupervisedInstance>()
  /** Those that take calls. */
  #ready: SupervisedInstance[] = []
  #facts: RunFacts | undefined
  #methods: readonly LocalMethod[] = []
  readonly #stats = new Map<string, MethodStats>()
  readonly #callers = new CallerNotes()
  #startedAtMs: number | undefined
  #rotation = 0
  /** What is asked of the pool is done one after the other. */
  readonly #turns = new Turns()
  /** Another service has the name. */
  #refusal: string | undefined

  /** @param options of a folder the name stands in until the code says its own */
  constructor(needs: PoolNeeds, spec: ServiceSpec, options: { name: string; origin: 'folder' | 'deployed' }) {
    this.#needs = needs
    this.#spec = spec
    this.#name = options.name
    this.#origin = options.origin
    this.#folder = options.origin === 'folder' ? spec.folder : undefined
    this.#isNameKnown = options.origin === 'deployed'
  }

  get name(): string {
    return this.#name
  }

  get spec(): ServiceSpec {
    return this.#spec
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  get origin(): 'folder' | 'deployed' {
    return this.#origin
  }

  get folder(): string | undefined {
    return this.#folder
  }

  /** It is not started until somebody says so. */
  holdBack(): void {
    this.#isStopped = true
  }

  /** Whose service it is from now on. */
  belongTo(origin: 'folder' | 'deployed'): void {
    this.#origin = origin
    this.#isNameKnown = true
  }

  /**
   * Runs `spec` in place of what runs: the new instances answer before the old ones get no more calls.
   * @throws {RpcError} P2P_SERVICE_START_FAILED, P2P_SERVICE_LOAD_FAILED: what ran runs on; where nothing ran, the new
   *   instances are tried again
   */
  deploy(spec: ServiceSpec, options: DeployOptions = {}): Promise<void> {
    return this.#turns.run(async () => {
      // What kept a folder of this name from running is no matter of what takes its place.
      this.#refusal = undefined
      if (this.#isStopped) this.#spec = spec
      else if (options.isForced || this.#instances.length === 0) await this.#replace(spec, options)
      else if (hasSameContent(spec, this.#spec) && spec.generation === this.#spec.generation) {
        await this.#rescale(spec, options)
      } else if (takesSettings(spec, this.#spec)) {
        await this.#reconfigure(spec)
        await this.#rescale(spec, options)
      } else await this.#replace(spec, options)
    })
  }

  /** @throws {RpcError} P2P_SERVICE_START_FAILED: it is tried again all the same */
  start(): Promise<void> {
    return this.#turns.run(async () => {
      this.#isStopped = false
      this.#refusal = undefined
      // What was stopped may have another version by now.
      if (this.#instances.every((instance) => instance.facts().state === 'stopped')) {
        this.#instances = this.#create(this.#spec, this.#spec.instances)
      }
      for (const instance of this.#instances) instance.start()
      this.changed()
      await this.#allReady(this.#instances, {})
    })
  }

  stop(): Promise<void> {
    return this.#turns.run(async () => {
      this.#isStopped = true
      await this.#retire(this.#instances)
    })
  }

  /** One instance after the other, the new one first. @throws as `start` */
  restart(spec: ServiceSpec): Promise<void> {
    if (this.#isStopped || this.#instances.length <= 1 || !hasSameContent(spec, this.#spec)) {
      if (!this.#isStopped) return this.deploy(spec, { isForced: true })
      this.#spec = spec
      return this.start()
    }
    return this.#turns.run(async () => {
      for (const old of this.#instances) {
        const [fresh] = this.#create(spec, 1) as [SupervisedInstance]
        await this.#bringUp([fresh], {})
        this.#instances = this.#instances.map((instance) => (instance === old ? fresh : instance))
        this.#others.delete(fresh)
        await this.#retire([old])
      }
    })
  }

  /** Ends everything, without waiting for what is under way in the pool itself. */
  async end(): Promise<void> {
    this.#isStopped = true
    await this.#retire([...this.#instances, ...this.#others])
    await this.#turns.settled
    await this.#retire([...this.#instances, ...this.#others])
  }

  claim(name: string): void {
    if (this.#isNameKnown && name === this.#name) return
    if (this.#origin === 'deployed' || this.#isNameKnown) {
      const message = `its code names the service ${name}, and not ${this.#name}: make them the same`
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', message)
    }
    this.#needs.claim(this, name)
    this.#isNameKnown = true
  }

  rename(name: string): void {
    this.#name = name
  }

  /** Another service has its name: it must not run, and says why. */
  refuse(reason: string): void {
    this.#refusal = reason
    void this.#retire(this.#instances).then(() => this.changed())
  }

  changed(): void {
    this.#ready = this.#instances.filter((instance) => instance.isReady)
    const facts = this.#ready[0]?.runFacts
    if (facts !== this.#facts) {
      this.#facts = facts
      this.#publish(facts)
      this.#startedAtMs = facts && (this.#startedAtMs ?? this.#needs.clock.wallMs())
    }
    this.#needs.onChange()
  }

  describe(): ServiceDescription {
    const status = this.#status()
    const { description = this.#spec.manifest.description ?? '' } = this.#facts ?? {}
    const failure = status === 'error' ? (this.#refusal ?? this.#reason()) : undefined
    const failing = this.#ready.every(({ isHealthy }) => !isHealthy) ? this.#reason() : undefined
    return {
      name: this.#name,
      version: (this.#facts?.version || this.#spec.version).slice(0, VERSION_LENGTH_MAX),
      description: description.slice(0, DESCRIPTION_LENGTH_MAX),
      status,
      ...(failure !== undefined && { failure }),
      ...(status === 'running' && { health: failing === undefined ? ('healthy' as const) : ('failing' as const) }),
      ...(status === 'running' && failing !== undefined && { healthReason: failing }),
      isBuiltin: false,
      methods: this.#methods.map(({ descriptor }) => descriptor),
      startedAtMs: this.#startedAtMs,
    }
  }

  record(): ServiceRecord {
    const { name, version, description, status, health, methods } = this.describe()
    return {
      name,
      version,
      description: description.slice(0, RECORD_DESCRIPTION_LENGTH_MAX),
      health: health ?? RECORD_HEALTH[status],
      methods: methods.filter(({ isPublic }) => isPublic).map((method) => method.name),
    }
  }

  state(): ServiceState {
    const { version, generation, kind } = this.#spec
    return {
      name: this.#name,
      version: this.#facts?.version || version,
      generation,
      kind,
      origin: this.#origin,
      isStopped: this.#isStopped,
      wanted: this.#spec.instances,
      instances: [...this.#instances, ...this.#others].map((instance) => instance.facts()),
    }
  }

  methodMetrics(): MethodMetrics[] {
    return this.#methods.map(({ stats, descriptor }) => stats.metrics(this.#name, descriptor.name))
  }

  takeCallers(): MethodCallers {
    return this.#callers.take()
  }

  metrics(): ServiceMetricsSnapshot | undefined {
    return mergedMetrics(this.#ready.map(({ run }) => run?.metrics()).filter((metrics) => metrics !== undefined))
  }

  async #rescale(spec: ServiceSpec, options: DeployOptions): Promise<void> {
    this.#spec = spec
    for (const instance of this.#instances) {
      instance.relabel(spec)
      instance.start()
    }
    const tooMany = this.#instances.slice(spec.instances)
    const fresh = this.#create(spec, Math.max(0, spec.instances - this.#instances.length))
    this.#instances = [...this.#instances.slice(0, spec.instances), ...fresh]
    for (const instance of fresh) instance.start()
    this.changed()
    await Promise.all([this.#allReady(this.#instances, options), this.#retireApart(tooMany)])
  }

  /**
   * Tells one instance after the other; when one does not take it, all have what they had.
   * @throws {RpcError} P2P_SERVICE_START_FAILED
   */
  async #reconfigure(spec: ServiceSpec): Promise<void> {
    const before = this.#spec
    const told: SupervisedInstance[] = []
    try {
      for (const instance of this.#instances) {
        await instance.reconfigure(spec)
        told.push(instance)
      }
    } catch (error) {
      for (const instance of told) await instance.reconfigure(before).catch(() => instance.relabel(before))
      const message = `Service ${this.#name} did not take its new settings: ${messageOf(error)}`
      throw new RpcError('P2P_SERVICE_START_FAILED', message, { service: this.#name }, { cause: error })
    }
  }

  async #replace(spec: ServiceSpec, options: DeployOptions): Promise<void> {
    const old = this.#instances
    const fresh = this.#create(spec, spec.instances)
    if (old.length === 0) {
      this.#spec = spec
      this.#instances = fresh
      for (const instance of fresh) instance.start()
      this.changed()
      await this.#allReady(fresh, options)
      return
    }
    // Two cannot listen on one port: the old ones have to go first, and come back if need be.
    const sharesPort = Object.values(spec.manifest.ports ?? {}).some((port) => port !== 0)
    if (sharesPort) await Promise.all(old.map((instance) => instance.stop()))
    try {
      await this.#bringUp(fresh, options)
    } catch (error) {
      if (sharesPort) for (const instance of old) instance.start()
      throw error
    }
    this.#spec = spec
    this.#instances = fresh
    for (const instance of fresh) this.#others.delete(instance)
    this.changed()
    await this.#retireApart(old)
  }

  /** Starts them beside the others. @throws {RpcError} P2P_SERVICE_START_FAILED: none of them is left */
  async #bringUp(fresh: readonly SupervisedInstance[], options: DeployOptions): Promise<void> {
    for (const instance of fresh) {
      this.#others.add(instance)
      instance.start()
    }
    try {
      await this.#allReady(fresh, options)
    } catch (error) {
      await this.#retireApart(fresh)
      throw error
    }
  }

  async #allReady(instances: readonly SupervisedInstance[], { signal, readyTimeoutMs }: DeployOptions): Promise<void> {
    // Every instance has a limit of its own; this is one that whoever deploys sets.
    const limit = new AbortController()
    const timer =
      readyTimeoutMs === undefined
        ? undefined
        : this.#needs.clock.after(readyTimeoutMs, () => {
            const reason = instances.map((instance) => instance.facts().reason).find((found) => found !== undefined)
            const because = reason === undefined ? '' : `: ${reason}`
            limit.abort(this.#startFailed(`it was not ready within ${readyTimeoutMs} ms${because}`))
          })
    const signals = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal
    try {
      const failures = await Promise.all(instances.map((instance) => instance.settled(signals)))
      const failure = failures.find((reason) => reason !== undefined)
      if (failure !== undefined) throw this.#startFailed(failure)
    } finally {
      timer?.cancel()
    }
  }

  #create(spec: ServiceSpec, count: number): SupervisedInstance[] {
    return Array.from({ length: count }, () => this.#needs.createInstance(spec, this))
  }

  /** Ends instances that are no longer, or not yet, among the present ones. */
  async #retireApart(instances: readonly SupervisedInstance[]): Promise<void> {
    for (const instance of instances) this.#others.add(instance)
    await this.#retire(instances)
    for (const instance of instances) this.#others.delete(instance)
    this.changed()
  }

  async #retire(instances: readonly SupervisedInstance[]): Promise<void> {
    await Promise.all(instances.map((instance) => instance.stop()))
  }

  /** Puts the methods in the dispatch in one step: at no moment is one missing that both versions have. */
  #publish(facts: RunFacts | undefined): void {
    const { dispatch } = this.#needs
    const before = this.#methods
    this.#methods = facts ? (facts.direct ?? this.#passedOn(facts)) : []
    for (const method of this.#methods) method.callers = this.#callers
    dispatch.add(this.#methods)
    dispatch.remove(before)
  }

  #passedOn({ methods, version }: RunFacts): LocalMethod[] {
    const runtime = toolsOfNobody(this.#name)
    return methods.map((descriptor): LocalMethod => {
      const name = formatMethodName(this.#name, descriptor.name)
      return {
        name,
        descriptor: { ...descriptor, service: this.#name },
        serviceVersion: version,
        runtime,
        isBuiltin: false,
        params: undefined,
        result: undefined,
        parameterNames: parameterNames(descriptor.params),
        stats: this.#statsOf(descriptor.name),
        forward: (params, call, reply) => this.#leastBusy(name).forward(name, params, call, reply),
      }
    })
  }

  /** They count on while instances come and go. */
  #statsOf(method: string): MethodStats {
    const known = this.#stats.get(method)
    if (known) return known
    const stats = new MethodStats()
    this.#stats.set(method, stats)
    return stats
  }

  /** Well ones before ill ones; among equals the one with the fewest calls under way, in turn. */
  #leastBusy(method: string): ServiceRun {
    const ready = this.#ready
    let best: ServiceRun | undefined
    let bestLoad = Infinity
    const start = ready.length > 1 ? this.#rotation++ : 0
    for (let i = 0; i < ready.length; i++) {
      const instance = ready[(start + i) % ready.length] as SupervisedInstance
      const run = instance.run
      if (!run) continue
      const load = run.callsUnderWay + (ready.length > 1 && !instance.isHealthy ? ILL : 0)
      if (load >= bestLoad) continue
      best = run
      bestLoad = load
    }
    if (best) return best
    throw new RpcError('P2P_RPC_NO_INSTANCE', `No instance of service ${this.#name} takes calls at the moment`, {
      method,
    })
  }

  #status(): ServiceStatus {
    if (this.#refusal !== undefined) return 'error'
    const states = new Set(this.#instances.map((instance) => instance.facts().state))
    if (states.has('running')) return 'running'
    if (this.#isStopped) return states.has('stopping') ? 'stopping' : 'stopped'
    if (states.has('failed') || states.has('backoff')) return 'error'
    if (states.has('starting') || states.size === 0) return 'initializing'
    return states.has('stopping') ? 'stopping' : 'stopped'
  }

  #reason(): string | undefined {
    return this.#instances.map((instance) => instance.facts().reason).find((reason) => reason !== undefined)
  }

  #startFailed(reason: string): RpcError {
    return new RpcError('P2P_SERVICE_START_FAILED', `Service ${this.#name} did not become ready: ${reason}`, {
      service: this.#name,
    })
  }
}

/** A method that is only passed on does not use the service's own tools: they are where it runs. */
function toolsOfNobody(name: string): ServiceRuntime {
  return {
    name,
    logger: silentLogger,
    proxy: {},
    events: { publish: () => {}, subscribe: () => () => {} },
    metrics: createServiceMetrics(() => 0),
    config: {},
    secrets: {},
    dataDirectory: '',
    signal: new AbortController().signal,
    reportHealth: () => {},
  }
}

/** More than any instance can have under way. */
const ILL = 1_000_000

const RECORD_HEALTH = {
  initializing: 'starting',
  running: 'healthy',
  stopping: 'stopping',
  stopped: 'stopping',
  error: 'failing',
} as const satisfies Record<ServiceStatus, ServiceRecord['health']>

/** Nothing but the number of instances, or its label, is different. */
function hasSameContent(a: ServiceSpec, b: ServiceSpec): boolean {
  return isDeepStrictEqual(contentOf(a), contentOf(b))
}

/** Nothing but configuration and secrets is different, and whoever wrote the service says that this starts nothing anew. */
function takesSettings(next: ServiceSpec, now: ServiceSpec): boolean {
  const codeOf = (spec: ServiceSpec): object => ({ ...contentOf(spec), config: {}, secrets: {} })
  const isOtherwiseSame = next.manifest.reload === 'signal' && isDeepStrictEqual(codeOf(next), codeOf(now))
  // A generation with the same settings is a restart that somebody asked for.
  return isOtherwiseSame && !hasSameContent(next, now)
}

function contentOf({ instances: _instances, generation: _generation, ...content }: ServiceSpec): object {
  return content
}
