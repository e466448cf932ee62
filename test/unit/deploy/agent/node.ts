import { silentLogger } from '../../../../src/base/log.ts'
import type { Logger } from '../../../../src/base/log.ts'
import type { NodeIdentity, Principal } from '../../../../src/base/identity.ts'
import { createDeployAgent, type DeployAgent, type NodePlan, type NodeReport } from '../../../../src/deploy/index.ts'
import type { Deployment } from '../../../../src/base/deployment.ts'
import { type SignedPlan, signPlan } from '../../../../src/deploy/signed-plan.ts'
import type { Caller, ServiceDefinition } from '../../../../src/service/index.ts'
import { SimulatedClock } from '../../../../src/testing/simulated-clock.ts'
import { simulatedSigner, simulatedVerifier } from '../../../../src/testing/simulated-signature.ts'
import type { Vault } from '../../../../src/storage/index.ts'
import { openVault, type World, world } from '../../storage/support.ts'
import { StubMembers } from '../members.ts'
import { deployment as planned } from '../plan/fixture.ts'
import { StubArtifacts } from './stub-artifacts.ts'
import { StubHost } from './stub-host.ts'

export const COORDINATOR: NodeIdentity = { cluster: 'test', role: 'coordinator', nodeId: 'c1' }
export const WORKER: NodeIdentity = { cluster: 'test', role: 'worker', nodeId: 'w1' }
export const PERSON: Principal = { kind: 'person', name: 'ada', role: 'operator' }
export const FROM_COORDINATOR: Principal = { kind: 'node', nodeId: 'c1', role: 'coordinator', service: 'orchestrator' }

/** A worker's agent on a simulated clock and a vault on a simulated disk. */
export class TestNode {
  readonly clock = new SimulatedClock()
  readonly members: StubMembers
  readonly world: World
  readonly artifacts = new StubArtifacts()
  readonly reports: NodeReport[] = []
  /** What the coordinator gives for secrets: `name@version` → value. */
  readonly secrets = new Map<string, string>()
  log: Logger = silentLogger
  readonly #stopped = new Set<string>()
  host = new StubHost()
  agent!: DeployAgent
  vault!: Vault & { stop(): Promise<void> }
  /** Refuses what the agent asks the coordinator. */
  coordinatorFailure: Error | undefined
  /** The coordinator answers, and gives none. */
  isSilentOnSecrets = false

  constructor() {
    this.world = world()
    this.members = new StubMembers('w1', () => this.clock.wallMs())
    this.members.set('w1', 'worker')
    this.members.set('c1', 'coordinator')
  }

  async start(): Promise<this> {
    this.vault = await openVault({ needs: { ...this.world.needs, clock: this.clock } })
    this.host = new StubHost(this.#stopped)
    this.agent = createDeployAgent(
      {
        clock: this.clock,
        random: this.world.random,
        log: this.log,
        store: this.vault.store,
        host: this.host,
        artifacts: this.artifacts,
        verifier: simulatedVerifier,
        membership: this.members,
        calls: this.#coordinator(),
      },
      { identity: WORKER, softwareVersion: '3.0.0' },
    )
    await this.agent.service.initialize?.({} as never)
    await this.agent.start(new AbortController().signal)
    await this.settled()
    return this
  }

  /** The process is gone, with what it had in memory; the disk keeps what was synced. */
  async kill(): Promise<void> {
    await this.agent.stop()
    await this.vault.stop()
  }

  async stop(): Promise<void> {
    await this.kill()
  }

  take(
    plan: Partial<NodePlan>,
    by: NodeIdentity = COORDINATOR,
    caller: Principal = FROM_COORDINATOR,
  ): Promise<unknown> {
    const full: NodePlan = { cluster: 'test', nodeId: 'w1', revision: 1, assignments: [], isDraining: false, ...plan }
    return this.call('take_plan', signPlan(simulatedSigner(by), full), caller)
  }

  takeSigned(signed: SignedPlan): Promise<unknown> {
    return this.call('take_plan', signed, FROM_COORDINATOR)
  }

  /** As the service manager calls a method, after its schema. */
  async call(name: string, params: object, caller: Principal, relayedBy?: string): Promise<unknown> {
    const result = await callMethod(this.agent.service, name, params, caller, relayedBy)
    await this.settled()
    return result
  }

  /** Everything has run that waits for no timer. */
  async settled(): Promise<void> {
    // A commit to the vault goes through several turns of the loop.
    for (let i = 0; i < 20; i++) await this.clock.run(0)
  }

  get report(): NodeReport {
    return this.reports.at(-1) as NodeReport
  }

  #coordinator(): Caller {
    return {
      call: async (method, params) => {
        if (this.coordinatorFailure) throw this.coordinatorFailure
        if (method === 'orchestrator/report') {
          this.reports.push(structuredClone((params as { report: NodeReport }).report))
          return {}
        }
        if (this.isSilentOnSecrets) return { secrets: [] }
        const { secrets } = params as { secrets: { name: string; version: number }[] }
        return {
          secrets: secrets.map(({ name, version }) => {
            const value = this.secrets.get(`${name}@${version}`)
            if (value === undefined) throw new Error(`no secret ${name}@${version}`)
            return { name, version, value }
          }),
        }
      },
    }
  }
}

export async function callMethod(
  service: ServiceDefinition,
  name: string,
  params: object,
  caller: Principal,
  relayedBy?: string,
): Promise<unknown> {
  const found = service.methods[name] as unknown as { handler(params: object, call: object): unknown }
  return found.handler(params, { caller, ...(relayedBy !== undefined && { relayedBy }) })
}

/** A first version of a service, with nothing special about it. */
export function deployment(service: string, changes: Partial<Deployment> = {}): Deployment {
  return planned({ service, artifact: `${service}-1`, version: '1.0.0', ...changes })
}

export function assignment(of: Deployment, instances = 1, run?: string): NodePlan['assignments'][number] {
  const { service, generation } = of
  return { service, generation, instances, deployment: of, ...(run !== undefined && { run: { id: run } }) }
}
