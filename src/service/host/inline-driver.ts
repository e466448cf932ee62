import { basename } from 'node:path'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Principal } from '../../base/identity.ts'
import type { Random } from '../../base/random.ts'
import { createServiceProxy } from '../calls/create-proxy.ts'
import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'
import { OwnEvents } from '../events/own-events.ts'
import type { LocalDispatch } from '../calls/local-dispatch.ts'
import type { Reply } from '../link/call-link.ts'
import type { LocalMethod } from '../calls/local-method.ts'
import { messageWithPlace, type ModuleLoader, placeOf } from '../definition/module-loader.ts'
import type { MethodCall } from '../sdk/method.ts'
import { sourceOfModule } from '../definition/service-body.ts'
import { ServiceInstance } from '../service-instance.ts'
import { syntaxErrorOf } from '../definition/translate.ts'
import { withinLimit } from '../within-limit.ts'
import type { DriverNeeds } from './driver-needs.ts'
import type { Settings } from './host-message.ts'
import { findMain } from './main-file.ts'
import type { Driver, RunEnd, RunEvents, RunOrder, ServiceRun } from './run.ts'
import { dataDirectoryOf } from './service-directories.ts'

export interface InlineDriverNeeds extends DriverNeeds {
  random: Random
  loader: ModuleLoader
  dispatch: LocalDispatch
}

export interface InlineDriverOptions {
  callTimeoutMs: number
  /** Undefined: the node keeps nothing on the disk. */
  stateDirectory: string | undefined
}

/** Runs a service in the node's own thread: a call costs next to nothing, and a fault there is the node's. */
export class InlineDriver implements Driver {
  readonly #needs: InlineDriverNeeds
  readonly #options: InlineDriverOptions

  constructor(needs: InlineDriverNeeds, options: InlineDriverOptions) {
    this.#needs = needs
    this.#options = options
  }

  start(order: RunOrder, events: RunEvents): ServiceRun {
    return new InlineRun(this.#needs, this.#options, order, events)
  }
}

class InlineRun implements ServiceRun {
  readonly #needs: InlineDriverNeeds
  readonly #options: InlineDriverOptions
  readonly #order: RunOrder
  readonly #events: RunEvents
  readonly #stopping = new AbortController()
  readonly #ended = Promise.withResolvers<void>()
  #instance: ServiceInstance | undefined
  #methods: readonly LocalMethod[] = []

  readonly pid = undefined
  readonly ports = {}
  /** Whoever calls knows: the methods are called directly. */
  readonly callsUnderWay = 0

  constructor(needs: InlineDriverNeeds, options: InlineDriverOptions, order: RunOrder, events: RunEvents) {
    this.#needs = needs
    this.#options = options
    this.#order = order
    this.#events = events
    void this.#run()
  }

  forward(method: string, params: unknown, call: MethodCall, reply: Reply): void {
    const found = this.#methods.find(({ name }) => name === method)
    if (!found?.invoke) throw new RpcError('P2P_RPC_METHOD_NOT_FOUND', `${this.#order.id} has no ${method}`, { method })
    Promise.try(found.invoke, params, call).then(
      (value) => reply.resolve(value),
      (error: unknown) => reply.reject(error),
    )
  }

  idle(): Promise<void> {
    return this.#needs.dispatch.drain(this.#methods, this.#order.stopTimeoutMs)
  }

  async ping(): Promise<void> {}

  async reconfigure(settings: Settings): Promise<void> {
    await this.#instance?.reconfigure(settings)
  }

  metrics(): ServiceMetricsSnapshot | undefined {
    return this.#instance?.snapshot()
  }

  async usage(): Promise<undefined> {}

  end(): void {
    this.#stopping.abort(new RpcError('P2P_RPC_CANCELLED', 'the service is stopping'))
    void this.#instance?.stop().then(() => this.#ended.resolve())
  }

  /** What runs in this thread cannot be killed; its limits end it. */
  kill(): void {
    this.end()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    let end: RunEnd
    try {
      end = await this.#live()
    } catch (error) {
      end = await this.#endOf(error)
    }
    this.#events.ended(end)
  }

  async #live(): Promise<RunEnd> {
    const { clock, files, loader, log } = this.#needs
    const { spec, startTimeoutMs, stopTimeoutMs } = this.#order
    const { signal } = this.#stopping
    const main = await findMain(files, spec.folder)
    if (main === undefined) {
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', `There is no main.ts and no main.js in ${spec.folder}`)
    }
    const limit = { limitMs: startTimeoutMs, what: 'loading', setting: 'startTimeoutMs', signal }
    const exports = await withinLimit(clock, loader.load(main, spec.folder), limit)
    const source = sourceOfModule(exports, spec.manifest, basename(spec.folder))
    this.#events.loaded(source.name)
    const instance = new ServiceInstance(
      {
        clock,
        log,
        dispatch: {
          add: (methods) => (this.#methods = [...methods]),
          // Whoever gave the methods out takes them back, and waits until none runs.
          remove: () => {},
          drain: async () => {},
        },
        createProxy: (name, runtime) => this.#createProxy(name, runtime),
        createEvents: (name) => new OwnEvents(this.#needs.events, this.#needs.random, name),
        onChange: () => this.#reportHealth(),
      },
      source.name,
      {
        isBuiltin: false,
        folder: spec.folder,
        startTimeoutMs,
        stopTimeoutMs,
        config: spec.config,
        secrets: spec.secrets,
        dataDirectory: await this.#dataDirectory(),
      },
    )
    this.#instance = instance
    if (signal.aborted) throw signal.reason
    await instance.start(source)
    if (instance.failure !== undefined) throw instance.failure
    if (instance.status !== 'running') return { cause: 'done', reason: 'it was stopped while it started' }
    const { version, description, methods } = instance.describe()
    this.#events.ready({ version, description, methods, direct: this.#methods })
    await this.#ended.promise
    return { cause: 'done', reason: 'it was stopped' }
  }

  async #endOf(error: unknown): Promise<RunEnd> {
    const { folder } = this.#order.spec
    const isUnplaced = error instanceof SyntaxError && placeOf(error, folder) === undefined
    const main = isUnplaced ? await findMain(this.#needs.files, folder) : undefined
    const found = (main !== undefined ? await syntaxErrorOf(main) : undefined) ?? error
    const wasLoaded = this.#instance !== undefined
    const isHopeless =
      error instanceof RpcError
        ? error.code === 'P2P_SERVICE_LOAD_FAILED'
        : !wasLoaded && !this.#stopping.signal.aborted
    return { cause: isHopeless ? 'hopeless' : 'fault', reason: messageWithPlace(found, folder) || messageOf(error) }
  }

  async #dataDirectory(): Promise<string> {
    const { stateDirectory } = this.#options
    if (stateDirectory === undefined) return ''
    const directory = dataDirectoryOf(stateDirectory, this.#order.spec.name)
    await this.#needs.files.makeDirectory(directory)
    return directory
  }

  #createProxy(service: string, runtime: Parameters<typeof createServiceProxy>[2]) {
    const { clock, random, caller, identity } = this.#needs
    const { nodeId, role } = identity
    const principal: Principal = { kind: 'node', nodeId, role, service }
    return createServiceProxy({ clock, random, caller, callTimeoutMs: this.#options.callTimeoutMs }, principal, runtime)
  }

  #reportHealth(): void {
    const { status, health, healthReason } = this.#instance?.describe() ?? {}
    if (status === 'running' && health) this.#events.health(health, healthReason)
  }
}
