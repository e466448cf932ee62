import type { NodeId, NodeIdentity, Principal } from '../../../../src/base/identity.ts'
import { RpcError } from '../../../../src/base/errors.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import {
  createDeployCoordinator,
  type DeployCoordinator,
  type OrchestratorArtifacts,
} from '../../../../src/deploy/coordinator/index.ts'
import { createDeployAgent, type DeployAgent } from '../../../../src/deploy/index.ts'
import type { Orchestrator } from '../../../../src/base/orchestrator.ts'
import type { Caller, Manifest } from '../../../../src/service/index.ts'
import type { Vault } from '../../../../src/storage/index.ts'
import { SimulatedClock } from '../../../../src/testing/simulated-clock.ts'
import { simulatedSigner, simulatedVerifier } from '../../../../src/testing/simulated-signature.ts'
import { callMethod } from '../agent/node.ts'
import { StubArtifacts } from '../agent/stub-artifacts.ts'
import { StubHost } from '../agent/stub-host.ts'
import { serviceRecord, StubMembers } from '../members.ts'
import { openVault, type World, world } from '../../storage/support.ts'

type OpenVault = Vault & { stop(): Promise<void> }

interface Worker {
  identity: NodeIdentity
  world: World
  artifacts: StubArtifacts
  host: StubHost
  agent: DeployAgent | undefined
  vault: OpenVault
  startedAtMs: number
}

/** What `uploaded` knows of a bundle, by its digest. */
export interface Uploaded {
  service: string
  version: string
  manifest: Manifest
  /** Why its code does not tell its methods. */
  unreadable?: string
  methods?: { name: string; isPublic: boolean; params?: object; result?: object }[]
}

/** A coordinator and workers on one simulated clock, each with a vault of its own; calls between them are function calls. */
export class Cluster {
  readonly clock = new SimulatedClock()
  readonly members: StubMembers
  readonly world = world()
  readonly workers = new Map<NodeId, Worker>()
  readonly uploaded = new Map<string, Uploaded>()
  /** Digests the coordinator was asked to keep last. */
  kept: ReadonlySet<string> | undefined
  /** Nodes that cannot be reached by calls. */
  readonly cut = new Set<NodeId>()
  /** Prepares a host as soon as there is one. */
  onHost: (nodeId: NodeId, host: StubHost) => void = () => {}
  coordinator: DeployCoordinator | undefined
  vault!: OpenVault
  #coordinatorStarts = 0

  constructor() {
    this.members = new StubMembers('c1', () => this.clock.wallMs())
  }

  get orchestrator(): Orchestrator {
    if (!this.coordinator) throw new Error('the coordinator does not run')
    return this.coordinator.orchestrator
  }

  async startCoordinator(): Promise<void> {
    this.vault = await openVault({ needs: { ...this.world.needs, clock: this.clock } })
    const identity: NodeIdentity = { cluster: 'test', role: 'coordinator', nodeId: 'c1' }
    this.coordinator = createDeployCoordinator(
      {
        clock: this.clock,
        random: this.world.random,
        log: silentLogger,
        store: this.vault.store,
        signer: simulatedSigner(identity),
        membership: this.members,
        calls: this.#callsOf(identity),
        artifacts: this.#artifacts(),
        isReserved: (name) => name === 'system',
      },
      { identity, softwareVersion: '3.0.0' },
    )
    for (const service of this.coordinator.services) await service.initialize?.({} as never)
    await this.coordinator.start(new AbortController().signal)
    this.members.set('c1', 'coordinator', { startedAtMs: ++this.#coordinatorStarts })
    await this.settled()
  }

  async killCoordinator(): Promise<void> {
    const { coordinator } = this
    this.coordinator = undefined
    await coordinator?.stop()
    await this.vault.stop()
    this.members.set('c1', 'coordinator', { status: 'dead' })
    await this.settled()
  }

  /** The coordinator's machine loses its power, in whatever its disk was doing, and is started again. */
  async loseCoordinatorsPower(): Promise<void> {
    const { coordinator } = this
    this.coordinator = undefined
    this.world.disk.cutPowerAfter(0)
    await coordinator?.stop()
    await this.vault.stop().catch(() => {})
    this.world.disk.restart()
    this.members.set('c1', 'coordinator', { status: 'dead' })
    await this.startCoordinator()
  }

  async startWorker(nodeId: NodeId, labels: Record<string, string> = {}): Promise<Worker> {
    const before = this.workers.get(nodeId)
    const identity: NodeIdentity = { cluster: 'test', role: 'worker', nodeId }
    const parts = before ?? { identity, world: world(this.workers.size + 2), artifacts: new StubArtifacts() }
    const vault = await openVault({ needs: { ...parts.world.needs, clock: this.clock } })
    const startedAtMs = (before?.startedAtMs ?? 0) + 1
    const host = new StubHost()
    const worker: Worker = { ...parts, host, vault, agent: undefined, startedAtMs }
    this.workers.set(nodeId, worker)
    this.onHost(nodeId, host)
    this.members.set(nodeId, 'worker', { startedAtMs, labels })
    worker.agent = createDeployAgent(
      {
        clock: this.clock,
        random: parts.world.random,
        log: silentLogger,
        store: vault.store,
        host,
        artifacts: parts.artifacts,
        verifier: simulatedVerifier,
        membership: this.#viewOf(nodeId),
        calls: this.#callsOf(identity),
      },
      { identity, softwareVersion: '3.0.0' },
    )
    await worker.agent.service.initialize?.({} as never)
    await worker.agent.start(new AbortController().signal)
    // As gossip tells what runs where.
    host.onChange(() => {
      const up = host.states().filter(({ instances }) => instances.some(({ state }) => state === 'running'))
      this.members.set(nodeId, 'worker', { startedAtMs, labels, services: up.map(({ name }) => serviceRecord(name)) })
    })
    await this.settled()
    return worker
  }

  async killWorker(nodeId: NodeId): Promise<void> {
    const worker = this.#worker(nodeId)
    const { agent } = worker
    worker.agent = undefined
    await agent?.stop()
    await worker.vault.stop()
    this.members.set(nodeId, 'worker', { status: 'dead', startedAtMs: worker.startedAtMs })
    await this.settled()
  }

  host(nodeId: NodeId): StubHost {
    return this.#worker(nodeId).host
  }

  agent(nodeId: NodeId): DeployAgent {
    const { agent } = this.#worker(nodeId)
    if (!agent) throw new Error(`${nodeId} does not run`)
    return agent
  }

  /** Instances and version of a service by node: `{ w1: '2 × 1.0.0' }`. */
  running(service: string): Record<string, string> {
    const found: Record<string, string> = {}
    for (const [nodeId, { host, agent }] of this.workers) {
      const spec = agent && host.specs.get(service)
      if (spec) found[nodeId] = `${spec.instances} × ${spec.version}`
    }
    return found
  }

  /** A bundle that can be deployed. @returns its digest */
  upload(service: string, version: string, facts: Partial<Uploaded> = {}): string {
    const digest = `${service}-${version}`
    this.uploaded.set(digest, { service, version, manifest: {}, ...facts })
    return digest
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.clock.run(ms)
    await this.settled()
  }

  /** Lets time pass until a rollout has ended. @returns its state */
  async ended(service: string): Promise<string> {
    for (let i = 0; i < 200; i++) {
      const { rollout } = this.orchestrator.get(service)
      if (rollout && rollout.state !== 'running') return rollout.state
      await this.pass(1_000)
    }
    throw new Error(`the rollout of ${service} never ended: ${JSON.stringify(this.orchestrator.get(service))}`)
  }

  async settled(): Promise<void> {
    for (let i = 0; i < 40; i++) await this.clock.run(0)
  }

  async stop(): Promise<void> {
    for (const [nodeId, { agent }] of this.workers) if (agent) await this.killWorker(nodeId)
    if (this.coordinator) await this.killCoordinator()
  }

  /** As a person calls a method of the coordinator. */
  async call(method: string, params: object, caller: Principal): Promise<unknown> {
    const result = await this.#dispatch('c1', method, params, caller)
    await this.settled()
    return result
  }

  #callsOf({ nodeId, role }: NodeIdentity): Caller {
    return {
      call: async (method, params, context, target) => {
        const { caller } = context
        if (caller.kind === 'node' && (caller.nodeId !== nodeId || caller.role !== role)) throw new Error('a lie')
        const to = target === 'coordinator' ? 'c1' : (target as NodeId)
        if (this.cut.has(nodeId) || this.cut.has(to)) throw new RpcError('P2P_RPC_NO_INSTANCE', `${to} is not reached`)
        // What travels is text.
        const sent = JSON.parse(JSON.stringify(params)) as object
        return JSON.parse(JSON.stringify(await this.#dispatch(to, method, sent, caller))) as unknown
      },
    }
  }

  async #dispatch(nodeId: NodeId, name: string, params: object, caller: Principal): Promise<unknown> {
    const [service, method] = name.split('/') as [string, string]
    const worker = this.workers.get(nodeId)
    const services = nodeId === 'c1' ? this.coordinator?.services : worker?.agent && [worker.agent.service]
    const found = services?.find((candidate) => candidate.name === service)
    if (!found) throw new RpcError('P2P_RPC_NO_INSTANCE', `${nodeId} does not run ${name}`)
    const checked = await found.methods[method]?.params?.['~standard'].validate(params)
    if (!checked || checked.issues) throw new RpcError('P2P_RPC_INVALID_PARAMS', JSON.stringify(checked?.issues))
    return callMethod(found, method, checked.value as object, caller)
  }

  #artifacts(): OrchestratorArtifacts {
    return {
      get: (digest) => {
        const uploaded = this.uploaded.get(digest)
        if (!uploaded) return undefined
        const signed = { statement: '', signature: '', chain: '' }
        const sizes = { sizeBytes: 1, fileCount: 1, unpackedBytes: 1, storedAtMs: 0 }
        return { digest, kind: 'process', signed, ...sizes, ...uploaded } as ReturnType<OrchestratorArtifacts['get']>
      },
      methodsOf: async ({ digest }) => {
        throw new Error(this.uploaded.get(digest)?.unreadable ?? 'its code was not asked')
      },
      keepOnly: async (digests) => {
        this.kept = digests
      },
    }
  }

  /** Every node sees the same members; itself as itself. */
  #viewOf(nodeId: NodeId): StubMembers {
    return new Proxy(this.members, {
      get: (members, key) => {
        if (key === 'self') return () => members.get(nodeId)
        const value = Reflect.get(members, key) as unknown
        return typeof value === 'function' ? (value as () => unknown).bind(members) : value
      },
    })
  }

  #worker(nodeId: NodeId): Worker {
    const worker = this.workers.get(nodeId)
    if (!worker) throw new Error(`no worker ${nodeId}`)
    return worker
  }
}
