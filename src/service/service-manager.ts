import { basename, join } from 'node:path'
import { assert } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import { RpcError } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import type { NodeIdentity } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { ServiceRecord } from '../base/member.ts'
import type { Peers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { createServiceProxy } from './create-proxy.ts'
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
} from './descriptor.ts'
import { LocalDispatch } from './local-dispatch.ts'
import { readManifest } from './manifest.ts'
import { createModuleLoader, type ModuleLoader } from './module-loader.ts'
import { PeerRpc } from './peer-rpc.ts'
import type { ResultCache } from './result-cache.ts'
import { type DiallableMembership, Router } from './router.ts'
import { answerRpc } from './rpc-endpoint.ts'
import type { ServiceDefinition } from './sdk/define-service.ts'
import { type ServiceSource, sourceOfDefinition, sourceOfModule } from './service-body.ts'
import { ServiceInstance } from './service-instance.ts'
import { withinLimit } from './within-limit.ts'

/** The source comes first: it is what its author edits; what was built has no source beside it. */
const MAIN_FILES = ['main.ts', 'main.js'] as const
/** Folders looked into; a node with more has its `services_directory` set to something else. */
const SERVICES_MAX = 256
const CALL_TIMEOUT_MS = 45_000
const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 5_000

export interface ServiceManagerNeeds {
  clock: Clock
  random: Random
  log: Logger
  files: Files
  membership: DiallableMembership
  peers: Peers
  /** For methods with `cacheTtlMs`; without it they compute every time. */
  cache?: ResultCache
}

export interface ServiceManagerOptions {
  identity: NodeIdentity
  /** Holds a folder per service; undefined: built-in services only. A directory that is not there holds none. */
  servicesDirectory?: string
  /** URL of the module that `p2p-core/service` stands for inside services: this program's own. */
  sdkUrl: string
  /** How long a service waits for a call to another when it does not say; default 45,000. */
  callTimeoutMs?: number
  /** For the module to load, and again for `initialize`; default 30,000. */
  startTimeoutMs?: number
  /** For running calls to end, and again for `cleanup`; default 5,000. */
  stopTimeoutMs?: number
}

/** The services of this node, and calls to them and to those of other nodes. */
export interface ServiceManager extends ServiceDirectory, Caller, RpcEndpoint, ServiceMetricsSource {
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
}

/**
 * Runs services inside the node. `start` resolves when the built-in ones run and the others were found; those start
 * then, all at once, and a service that fails is listed with its failure and disturbs nobody.
 */
export function createServiceManager(
  needs: ServiceManagerNeeds,
  options: ServiceManagerOptions,
): ServiceManager & Component {
  return new InlineServiceManager(needs, options)
}

class InlineServiceManager implements ServiceManager, Component {
  readonly name = 'service'
  readonly #needs: ServiceManagerNeeds
  readonly #options: ServiceManagerOptions
  readonly #dispatch: LocalDispatch
  readonly #remote: PeerRpc
  readonly #router: Router
  readonly #loader: ModuleLoader
  readonly #builtins: ServiceSource[] = []
  readonly #instances = new Map<string, ServiceInstance>()
  readonly #listeners = new Set<() => void>()
  #hasStarted = false
  #unfollow: (() => void) | undefined
  #starting: Promise<unknown> = Promise.resolve()
  readonly #stopSignal = new AbortController()
  #stopping: Promise<void> | undefined

  constructor(needs: ServiceManagerNeeds, options: ServiceManagerOptions) {
    const { clock, log, cache, peers, membership } = needs
    this.#needs = needs
    this.#options = options
    this.#dispatch = new LocalDispatch({ clock, log, cache }, options.identity.nodeId)
    this.#remote = new PeerRpc({
      clock,
      log,
      peers,
      serve: (method, params, origin) => this.#router.startLocal(method, params, origin),
      cancel: (invocation, reason) => this.#dispatch.cancel(invocation, reason),
    })
    const routing = { clock, membership, peers, local: this.#dispatch, remote: this.#remote, directory: this }
    this.#router = new Router(routing, options.identity)
    this.#loader = createModuleLoader(options.sdkUrl)
  }

  register(definition: ServiceDefinition): void {
    assert(!this.#hasStarted, 'built-in services are registered before the start')
    this.#builtins.push(sourceOfDefinition(definition))
  }

  async start(): Promise<void> {
    this.#hasStarted = true
    this.#unfollow = this.#router.follow()
    this.#remote.start()
    await Promise.all(this.#builtins.map((source) => this.#add(source.name, undefined).start(source)))
    const folders = await this.#findFolders()
    this.#starting = Promise.all(folders.map((folder) => this.#startFolder(folder)))
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  tableSizes(): ReturnType<ServiceManager['tableSizes']> {
    return { ...this.#remote.tableSizes(), ...this.#dispatch.tableSizes() }
  }

  async settled(): Promise<void> {
    await this.#starting
  }

  list(): ServiceDescription[] {
    return this.#ordered().map((instance) => instance.describe())
  }

  get(name: string): ServiceDescription | undefined {
    return this.#instances.get(name)?.describe()
  }

  records(): ServiceRecord[] {
    return this.#ordered().map((instance) => instance.record())
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
    return this.#ordered().flatMap((instance) => instance.methodMetrics())
  }

  serviceMetrics(): ReadonlyMap<string, ServiceMetricsSnapshot> {
    const running = this.#ordered().filter(({ status }) => status === 'running')
    return new Map(running.map((instance) => [instance.name, instance.snapshot()]))
  }

  async #stop(): Promise<void> {
    this.#stopSignal.abort(new RpcError('P2P_RPC_CANCELLED', 'The node is stopping'))
    await Promise.all([...this.#instances.values()].map((instance) => instance.stop()))
    await this.#starting
    this.#dispatch.stop()
    this.#remote.stop()
    this.#unfollow?.()
    this.#loader.close()
  }

  #ordered(): ServiceInstance[] {
    return [...this.#instances.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Paths of the folders that hold a service, in name order. */
  async #findFolders(): Promise<{ path: string; main: string }[]> {
    const { servicesDirectory } = this.#options
    if (servicesDirectory === undefined || !(await this.#needs.files.facts(servicesDirectory))) return []
    const names = (await this.#needs.files.list(servicesDirectory)).sort()
    if (names.length > SERVICES_MAX) {
      const fields = { directory: servicesDirectory, found: names.length, limit: SERVICES_MAX }
      this.#needs.log.warning('The services directory holds too many entries; the last ones are left out', fields)
    }
    const found = await Promise.all(
      names.slice(0, SERVICES_MAX).map((name) => this.#findMain(join(servicesDirectory, name))),
    )
    return found.filter((folder) => folder !== undefined)
  }

  async #findMain(path: string): Promise<{ path: string; main: string } | undefined> {
    for (const file of MAIN_FILES) {
      const main = join(path, file)
      // The entry may be a file, as the plot is: then what is asked for below it is an error, not an absence.
      const facts = await this.#needs.files.facts(main).catch(() => undefined)
      if (facts) return { path, main }
    }
    return undefined
  }

  async #startFolder({ path, main }: { path: string; main: string }): Promise<void> {
    const folderName = basename(path)
    let source: ServiceSource
    try {
      const manifest = await readManifest(this.#needs.files, join(path, 'manifest.json'))
      const limit = {
        limitMs: this.#options.startTimeoutMs ?? START_TIMEOUT_MS,
        what: 'loading',
        signal: this.#stopSignal.signal,
      }
      const exports = await withinLimit(this.#needs.clock, this.#loader.load(main, path), limit)
      source = sourceOfModule(exports, manifest, folderName)
    } catch (error) {
      if (!this.#stopping) this.#add(folderName, path).fail(error)
      return
    }
    if (this.#instances.has(source.name)) {
      const reason = `the name ${source.name} is taken by another service of this node: rename one of them`
      this.#add(source.name, path).fail(new RpcError('P2P_SERVICE_LOAD_FAILED', reason))
      return
    }
    await this.#add(source.name, path).start(source)
  }

  /** @param folder undefined for a built-in service */
  #add(wantedName: string, folder: string | undefined): ServiceInstance {
    // Only a service that cannot run comes here with a name that is taken; it is listed all the same.
    const name = this.#instances.has(wantedName) ? `${wantedName}@${basename(folder ?? '')}` : wantedName
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
        onChange: () => this.#changed(),
      },
      name,
      { isBuiltin: folder === undefined, folder, startTimeoutMs, stopTimeoutMs },
    )
    this.#instances.set(name, instance)
    this.#changed()
    return instance
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
