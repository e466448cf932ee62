import type { Permissions } from '../../base/deployment.ts'
import type { MethodDescriptor } from './descriptor.ts'
import type { Manifest } from './manifest.ts'

/**
 * Where a service's code runs. `process`: a Node process of its own (default). `thread`: a worker thread of the node. `inline`: in
 * the node's own thread; a fault there is the node's. `exec`: any program, which has no methods.
 */
export const SERVICE_KINDS = ['process', 'thread', 'inline', 'exec'] as const
export type ServiceKind = (typeof SERVICE_KINDS)[number]

/** Everything needed to run a service on a node. */
export interface ServiceSpec {
  /** The service's name: one name is run in one version at a time, but for the moments of an update. */
  name: string
  version: string
  /** Where its files are; absolute. Never written to. */
  folder: string
  kind: ServiceKind
  /** Copies on this node; calls go to the one with the fewest under way. */
  instances: number
  /** Checked. */
  manifest: Manifest
  /** At most what the manifest asks for and whoever deployed it granted. */
  permissions: Permissions
  /** JSON; what `service.config` gives. Where the manifest says `"reload": "signal"`, another one does not start it anew; nor do secrets. */
  config: Readonly<Record<string, unknown>>
  /** Values of the secrets that the service asked for, by its own names for them; what `service.secrets` gives. Memory only. */
  secrets: Readonly<Record<string, string>>
  /** Set by whoever deployed it: tells equal versions with another configuration apart; undefined for a folder of the node. */
  generation?: number
}

/**
 * `stopped` by a person or the deployment; `starting` its process begins or `initialize` runs; `running`; `stopping` drains;
 * `backoff` has ended and waits to be started again; `failed` was given up after too many ends, or cannot be loaded.
 */
export type InstanceState = 'starting' | 'running' | 'stopping' | 'backoff' | 'failed' | 'stopped'

export interface InstanceFacts {
  /** `<service>#<number>`, unique on the node since its start. */
  id: string
  state: InstanceState
  version: string
  generation: number | undefined
  kind: ServiceKind
  /** Process id; undefined for `inline`, `thread` and what does not run. */
  pid: number | undefined
  /** Times it was started again after it ended by itself. */
  restarts: number
  health: 'healthy' | 'failing'
  /** Why it is failing, backing off or failed, for people: with file and line where there is one. */
  reason: string | undefined
  startedAtMs: number | undefined
  /** Resident memory in bytes and processor time in per cent of a core; undefined where it has no process of its own. */
  memoryBytes: number | undefined
  cpuPercent: number | undefined
  /** Where an `exec` program listens, by the names of `ports` in its manifest. */
  ports?: Readonly<Record<string, number>>
}

/** One service as this node runs it. */
export interface ServiceState {
  name: string
  /** Of the newest spec. */
  version: string
  generation: number | undefined
  kind: ServiceKind
  origin: 'builtin' | 'folder' | 'deployed'
  /** Stopped by a person: stays so, also after a restart of the node. */
  isStopped: boolean
  wanted: number
  instances: InstanceFacts[]
}

/** By method. */
export type MethodCallers = Readonly<Record<string, readonly string[]>>

/** Runs services on this node. Every call is idempotent; calls for one name are carried out one after the other. */
export interface ServiceHost {
  states(): ServiceState[]
  /**
   * Who has called the methods of the services here since this was asked last; by service and method: names of services, and
   * `person:<name>`. At most 32 a method.
   */
  takeCallers(): ReadonlyMap<string, MethodCallers>
  /**
   * Which methods the code of a service has: it is loaded in a process of its own, confined more than it would run, and not initialized.
   * @throws {RpcError} P2P_SERVICE_LOAD_FAILED, P2P_SERVICE_START_FAILED: why nobody can tell before it runs
   */
  methodsOf(spec: ServiceSpec): Promise<readonly MethodDescriptor[]>
  /** Called when what `states` tells has changed (not for memory and processor time). @returns a function that unregisters */
  onChange(listener: () => void): () => void
  /**
   * Runs what `spec` says, in place of what runs under that name. The new instances answer before the old ones get no more
   * calls; those then finish what they have, and end. Also used to change only `instances`, `config` or `secrets`.
   * @throws {RpcError} P2P_SERVICE_START_FAILED: the new ones did not become ready; the old ones run on untouched.
   *   P2P_SERVICE_LOAD_FAILED; P2P_SERVICE_PERMISSION_DENIED
   */
  deploy(spec: ServiceSpec, options?: { signal?: AbortSignal; readyTimeoutMs?: number }): Promise<void>
  /** Ends what was deployed under that name and forgets it; a folder of the node under that name comes back. */
  remove(name: string): Promise<void>
  /** @throws {RpcError} P2P_SERVICE_NOT_FOUND */
  stop(name: string): Promise<void>
  /** @throws {RpcError} P2P_SERVICE_NOT_FOUND, P2P_SERVICE_START_FAILED */
  start(name: string): Promise<void>
  /** One instance after the other where there are several, the new one first. @throws as `start` */
  restart(name: string): Promise<void>
}
