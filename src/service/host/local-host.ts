import type { EventHub } from '../events/event-hub.ts'
import type { OwnCaller } from '../calls/router.ts'
import { basename } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { Caller, MethodDescriptor } from '../definition/descriptor.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import type { LocalDispatch } from '../calls/local-dispatch.ts'
import type { MethodCallers, ServiceHost, ServiceKind, ServiceSpec, ServiceState } from '../definition/service-spec.ts'
import { checkSpec } from './check-spec.ts'
import { describeMethods } from './describe-methods.ts'
import type { HostProgram } from './driver-needs.ts'
import { Drivers } from './drivers.ts'
import { healthProbe } from './health-probe.ts'
import { findServiceFolders, specOfFolder } from './service-folders.ts'
import { ServicePool } from './service-pool.ts'
import { type InstanceOwner, SupervisedInstance } from './supervised-instance.ts'

/** Names of the services that a person stopped, over the end of the node. */
export interface StoppedServices {
  load(): Promise<readonly string[]>
  save(names: readonly string[]): Promise<void>
}

export interface LocalHostNeeds {
  clock: Clock
  random: Random
  log: Logger
  files: Files
  identity: NodeIdentity
  dispatch: LocalDispatch
  caller: Caller & OwnCaller
  events: EventHub
  /** Undefined: what was stopped runs again after the next start of the node. */
  stopped: StoppedServices | undefined
  isBuiltin(name: string): boolean
  onChange(): void
}

export interface LocalHostOptions {
  /** Holds a folder per service; undefined: none but deployed ones. */
  servicesDirectory: string | undefined
  /** Of a folder whose manifest does not say. */
  kindDefault: ServiceKind
  sdkUrl: string
  callTimeoutMs: number
  processStartMs: number
  startTimeoutMs: number
  stopTimeoutMs: number
  outside: { program: HostProgram; stateDirectory: string } | undefined
}

/** Runs the services of this node's folders, and those that are deployed to it. */
export class LocalHost implements ServiceHost {
  readonly #needs: LocalHostNeeds
  readonly #options: LocalHostOptions
  readonly #drivers: Drivers
  readonly #pools = new Map<string, ServicePool>()
  /** By name: what is ended and then forgotten. */
  readonly #leaving = new Map<string, Promise<void>>()
  readonly #listeners = new Set<() => void>()
  /** Numbers given to instances, by service. */
  readonly #numbers = new Map<string, number>()
  #stoppedNames = new Set<string>()
  #isStopping = false

  constructor(needs: LocalHostNeeds, options: LocalHostOptions) {
    this.#needs = needs
    this.#options = options
    const { callTimeoutMs, sdkUrl, outside } = options
    this.#drivers = new Drivers(needs, { callTimeoutMs, sdkUrl, outside })
  }

  /** Ordered by name. */
  pools(): ServicePool[] {
    return [...this.#pools.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  get(name: string): ServicePool | undefined {
    return this.#pools.get(name)
  }

  /** Finds the folders; resolves when each of them runs or has failed to. */
  async begin(): Promise<() => Promise<void>> {
    this.#stoppedNames = new Set(await this.#needs.stopped?.load())
    const pools = await this.#addFolders()
    const settled = Promise.all(pools.map((pool) => this.#startQuietly(pool)))
    return async () => void (await settled)
  }

  /** Takes up folders that have come since, and lets go of those that are gone. What runs is left as it is. */
  async rescan(): Promise<void> {
    const present = new Set(await this.#folders())
    const gone = [...this.#pools.values()].filter(
      (pool) => pool.origin === 'folder' && pool.folder !== undefined && !present.has(pool.folder),
    )
    await Promise.all(gone.map((pool) => this.#forget(pool)))
    const added = await this.#addFolders()
    await Promise.all(added.map((pool) => this.#startQuietly(pool)))
  }

  states(): ServiceState[] {
    return this.pools().map((pool) => pool.state())
  }

  takeCallers(): ReadonlyMap<string, MethodCallers> {
    const told = this.pools().map((pool) => [pool.name, pool.takeCallers()] as const)
    return new Map(told.filter(([, methods]) => Object.keys(methods).length > 0))
  }

  async methodsOf(spec: ServiceSpec): Promise<readonly MethodDescriptor[]> {
    if (spec.kind === 'exec') return []
    const driver = this.#drivers.of({ ...spec, kind: 'process' })
    return describeMethods({ driver, clock: this.#needs.clock }, spec)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async deploy(spec: ServiceSpec, options: { signal?: AbortSignal; readyTimeoutMs?: number } = {}): Promise<void> {
    checkSpec(spec)
    const { name } = spec
    if (this.#needs.isBuiltin(name)) throw nameTaken(name, 'a service that every node has')
    await this.#leaving.get(name)
    const known = this.#pools.get(name)
    if (known) {
      const before = known.origin
      known.belongTo('deployed')
      try {
        await known.deploy(spec, options)
      } catch (error) {
        if (before === 'folder' && known.spec !== spec) known.belongTo('folder')
        throw error
      }
      return
    }
    const pool = this.#add(spec, 'deployed')
    if (this.#stoppedNames.has(name)) pool.holdBack()
    await pool.deploy(spec, { ...options, isForced: true })
  }

  async remove(name: string): Promise<void> {
    const pool = this.#pools.get(name)
    if (!pool || pool.origin !== 'deployed') return
    await this.#keepStopped(name, false)
    const { folder } = pool
    if (folder !== undefined && (await this.#folders()).includes(folder)) {
      pool.belongTo('folder')
      await pool.restart(await this.#specOf(folder))
      return
    }
    await this.#forget(pool)
    // A folder that could not have the name can have it now.
    const refused = this.pools().filter(
      (other) => other.origin === 'folder' && other.name === `${name}@${basename(other.folder ?? '')}`,
    )
    await Promise.all(refused.map((other) => this.#forget(other)))
    await this.rescan()
  }

  async stop(name: string): Promise<void> {
    const pool = this.#found(name)
    await this.#keepStopped(name, true)
    await pool.stop()
  }

  async start(name: string): Promise<void> {
    const pool = await this.#foundAgain(name)
    await this.#keepStopped(name, false)
    await pool.start()
  }

  async restart(name: string): Promise<void> {
    const pool = await this.#foundAgain(name)
    await this.#keepStopped(name, false)
    const { folder, origin } = pool
    await pool.restart(origin === 'folder' && folder !== undefined ? await this.#specOf(folder) : pool.spec)
  }

  /** Ends everything at the same time. */
  async end(): Promise<void> {
    this.#isStopping = true
    await Promise.all([...this.#pools.values()].map((pool) => pool.end()))
    await this.#drivers.stop()
  }

  /** Folders that no pool has yet, in name order, as pools that were not started. */
  async #addFolders(): Promise<ServicePool[]> {
    const known = new Set([...this.#pools.values()].map(({ folder }) => folder))
    const fresh = (await this.#folders()).filter((folder) => !known.has(folder))
    return Promise.all(fresh.map((folder) => this.#addFolder(folder)))
  }

  async #addFolder(folder: string): Promise<ServicePool> {
    try {
      const pool = this.#add(await this.#specOf(folder), 'folder')
      if (this.#stoppedNames.has(pool.spec.manifest.name ?? pool.name)) pool.holdBack()
      return pool
    } catch (error) {
      const { files } = this.#needs
      // What its manifest says cannot be used: the folder is listed all the same, with the reason.
      const pool = this.#add(
        await specOfFolder(files, folder, this.#options.kindDefault).catch(() => bareSpec(folder)),
        'folder',
      )
      pool.refuse(error instanceof Error ? error.message : String(error))
      return pool
    }
  }

  async #folders(): Promise<string[]> {
    const { servicesDirectory } = this.#options
    return servicesDirectory === undefined ? [] : findServiceFolders(this.#needs, servicesDirectory)
  }

  async #specOf(folder: string): Promise<ServiceSpec> {
    const spec = await specOfFolder(this.#needs.files, folder, this.#options.kindDefault)
    checkSpec(spec)
    return spec
  }

  #add(spec: ServiceSpec, origin: 'folder' | 'deployed'): ServicePool {
    const isTaken = this.#pools.has(spec.name) || this.#needs.isBuiltin(spec.name)
    const name = isTaken ? `${spec.name}@${basename(spec.folder)}` : spec.name
    const { clock, dispatch } = this.#needs
    const pool = new ServicePool(
      {
        clock,
        dispatch,
        createInstance: (wanted, owner) => this.#createInstance(wanted, owner),
        claim: (claiming, wanted) => this.#claim(claiming, wanted),
        onChange: () => this.#changed(),
      },
      spec,
      { name, origin },
    )
    this.#pools.set(name, pool)
    this.#changed()
    return pool
  }

  /** What cannot be started is listed with its reason, and disturbs nobody. */
  async #startQuietly(pool: ServicePool): Promise<void> {
    if (pool.isStopped || pool.describe().status === 'error') return
    await pool.start().catch(() => {})
  }

  #forget(pool: ServicePool): Promise<void> {
    const { name } = pool
    const left = pool.end().finally(() => {
      if (this.#leaving.get(name) === left) this.#leaving.delete(name)
      if (this.#pools.get(pool.name) === pool) this.#pools.delete(pool.name)
      this.#changed()
    })
    this.#leaving.set(name, left)
    return left
  }

  /**
   * Of two folders with one name the first in name order has it, whichever was loaded first; what was deployed has it before
   * any folder.
   */
  #claim(pool: ServicePool, name: string): void {
    if (!isServiceName(name)) {
      const message = `"${name}" is no service name: 1 to 63 letters, digits, "_" or "-", beginning with a letter`
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', message)
    }
    const holder = this.#pools.get(name)
    if (this.#needs.isBuiltin(name)) throw nameTaken(name, 'a service that every node has')
    if (holder && holder !== pool) {
      if (holder.origin === 'deployed') throw this.#movedAside(pool, name, 'a service that was deployed')
      const [mine, other] = [basename(pool.folder ?? ''), basename(holder.folder ?? '')]
      if (other < mine) throw this.#movedAside(pool, name, `the service in folder ${other}`)
      holder.refuse(nameTaken(name, `the service in folder ${mine}`).message)
      this.#rename(holder, `${name}@${other}`)
    }
    this.#rename(pool, name)
    if (!this.#stoppedNames.has(name)) return
    pool.holdBack()
    throw new RpcError('P2P_SERVICE_START_FAILED', 'it was stopped by hand')
  }

  #movedAside(pool: ServicePool, name: string, holder: string): RpcError {
    this.#rename(pool, `${name}@${basename(pool.folder ?? '')}`)
    return nameTaken(name, holder)
  }

  #rename(pool: ServicePool, name: string): void {
    if (this.#pools.get(pool.name) === pool) this.#pools.delete(pool.name)
    pool.rename(name)
    this.#pools.set(name, pool)
  }

  #createInstance(spec: ServiceSpec, owner: InstanceOwner): SupervisedInstance {
    const { clock, random, log, identity } = this.#needs
    const number = (this.#numbers.get(spec.name) ?? 0) + 1
    this.#numbers.set(spec.name, number)
    const { startTimeoutMs = this.#options.startTimeoutMs, stopTimeoutMs = this.#options.stopTimeoutMs } = spec.manifest
    return new SupervisedInstance(
      {
        clock,
        random,
        log: log.child('Services'),
        driver: this.#drivers.of(spec),
        probe: (check, run, order) =>
          healthProbe(
            {
              clock,
              random,
              identity,
              runScript: (command, args, signal) => this.#drivers.runScript(order, command, args, signal),
            },
            check,
            spec.name,
            run,
          ),
      },
      {
        id: `${spec.name}#${number}`,
        spec,
        processStartMs: this.#options.processStartMs,
        startTimeoutMs,
        stopTimeoutMs,
      },
      owner,
    )
  }

  /** @throws {RpcError} P2P_SERVICE_NOT_FOUND */
  #found(name: string): ServicePool {
    const pool = this.#pools.get(name)
    if (pool) return pool
    if (this.#needs.isBuiltin(name)) {
      const message = `Service ${name} is part of every node and runs as long as it: it cannot be stopped or started`
      throw new RpcError('P2P_SERVICE_NOT_FOUND', message, { service: name })
    }
    const { nodeId } = this.#needs.identity
    throw new RpcError('P2P_SERVICE_NOT_FOUND', `No service ${name} on node ${nodeId}`, { service: name })
  }

  /** Looks at the folders again before it gives up. */
  async #foundAgain(name: string): Promise<ServicePool> {
    if (!this.#pools.has(name) && !this.#needs.isBuiltin(name)) await this.rescan()
    return this.#found(name)
  }

  async #keepStopped(name: string, isStopped: boolean): Promise<void> {
    if (this.#stoppedNames.has(name) === isStopped) return
    if (isStopped) this.#stoppedNames.add(name)
    else this.#stoppedNames.delete(name)
    await this.#needs.stopped?.save([...this.#stoppedNames].sort())
  }

  #changed(): void {
    if (this.#isStopping) return
    this.#needs.onChange()
    for (const listener of this.#listeners) listener()
  }
}

/** Of a folder whose manifest says nothing that can be used. */
function bareSpec(folder: string): ServiceSpec {
  return {
    name: basename(folder),
    version: '',
    folder,
    kind: 'process',
    instances: 1,
    manifest: {},
    permissions: { net: false, childProcess: false, read: [], write: [] },
    config: {},
    secrets: {},
  }
}

function nameTaken(name: string, holder: string): RpcError {
  const message = `the name ${name} is taken by ${holder}: rename one of them`
  return new RpcError('P2P_SERVICE_LOAD_FAILED', message, { service: name })
}
