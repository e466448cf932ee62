import { RpcError } from '../../../../src/base/errors.ts'
import type {
  InstanceFacts,
  InstanceState,
  MethodCallers,
  MethodDescriptor,
  ServiceHost,
  ServiceSpec,
  ServiceState,
} from '../../../../src/service/index.ts'

/** A node's services, as far as an agent sees them: everything starts at once, unless a test says otherwise. */
export class StubHost implements ServiceHost {
  readonly specs = new Map<string, ServiceSpec>()
  /** What was called, in order: `deploy web 1.0.0`, `stop web`. */
  readonly calls: string[] = []
  /** By service: what its next starts are answered with. */
  readonly failures = new Map<string, Error>()
  /** By service: its next deploy waits for this. */
  readonly gates = new Map<string, Promise<void>>()
  readonly folders = new Set<string>()
  /** Who has called, since that was taken last. */
  readonly callers = new Map<string, MethodCallers>()
  /** Over the end of the host, as a node keeps them. */
  readonly #stopped: Set<string>
  readonly #states = new Map<string, { state: InstanceState; isStopped: boolean; reason?: string }>()
  readonly #listeners = new Set<() => void>()

  constructor(stopped = new Set<string>()) {
    this.#stopped = stopped
  }

  states(): ServiceState[] {
    const deployed = [...this.specs].map(([name, spec]): ServiceState => {
      const { state, isStopped, reason } = this.#states.get(name) ?? { state: 'running', isStopped: false }
      const instances = Array.from({ length: spec.instances }, (_, i) => instance(spec, i + 1, state, reason))
      const { version, generation, kind } = spec
      return { name, version, generation, kind, origin: 'deployed', isStopped, wanted: spec.instances, instances }
    })
    const folders = [...this.folders].map((name): ServiceState => {
      const { isStopped } = this.#states.get(name) ?? { isStopped: false }
      return {
        name,
        version: '1.0.0',
        generation: undefined,
        kind: 'process',
        origin: 'folder',
        isStopped,
        wanted: 1,
        instances: [],
      }
    })
    const system: ServiceState = {
      name: 'system',
      version: '3.0.0',
      generation: undefined,
      kind: 'inline',
      origin: 'builtin',
      isStopped: false,
      wanted: 1,
      instances: [],
    }
    return [...deployed, ...folders, system]
  }

  takeCallers(): ReadonlyMap<string, MethodCallers> {
    const taken = new Map(this.callers)
    this.callers.clear()
    return taken
  }

  async methodsOf(): Promise<readonly MethodDescriptor[]> {
    return []
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async deploy(spec: ServiceSpec, options: { signal?: AbortSignal } = {}): Promise<void> {
    this.calls.push(`deploy ${spec.name} ${spec.version}`)
    await this.gates.get(spec.name)
    options.signal?.throwIfAborted()
    const failure = this.failures.get(spec.name)
    if (failure) throw failure
    this.specs.set(spec.name, spec)
    const isStopped = this.#stopped.has(spec.name)
    this.#become(spec.name, isStopped ? 'stopped' : 'running', isStopped)
  }

  async remove(name: string): Promise<void> {
    this.calls.push(`remove ${name}`)
    this.specs.delete(name)
    this.#stopped.delete(name)
    this.#states.delete(name)
    this.#changed()
  }

  async stop(name: string): Promise<void> {
    this.#found('stop', name)
    this.#stopped.add(name)
    this.#become(name, 'stopped', true)
  }

  async start(name: string): Promise<void> {
    this.#found('start', name)
    this.#stopped.delete(name)
    this.#become(name, 'running', false)
  }

  async restart(name: string): Promise<void> {
    this.#found('restart', name)
    this.#stopped.delete(name)
    this.#become(name, 'running', false)
  }

  /** What happens to all instances of a service by itself. */
  happens(name: string, state: InstanceState, reason?: string): void {
    this.#states.set(name, { state, isStopped: false, ...(reason !== undefined && { reason }) })
    this.#changed()
  }

  #found(what: string, name: string): void {
    if (!this.specs.has(name) && !this.folders.has(name)) {
      throw new RpcError('P2P_SERVICE_NOT_FOUND', `No service ${name}`)
    }
    this.calls.push(`${what} ${name}`)
  }

  #become(name: string, state: InstanceState, isStopped: boolean): void {
    this.#states.set(name, { state, isStopped })
    this.#changed()
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

function instance(spec: ServiceSpec, number: number, state: InstanceState, reason: string | undefined): InstanceFacts {
  return {
    id: `${spec.name}#${number}`,
    state,
    version: spec.version,
    generation: spec.generation,
    kind: spec.kind,
    pid: undefined,
    restarts: 0,
    health: 'healthy',
    reason,
    startedAtMs: 0,
    memoryBytes: undefined,
    cpuPercent: undefined,
  }
}
