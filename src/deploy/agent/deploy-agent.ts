import type { Component } from '../../base/component.ts'
import type { ControlStore } from '../../base/control-store.ts'
import { DeployError, messageOf, RpcError } from '../../base/errors.ts'
import type { NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type { Caller, ServiceDefinition, ServiceHost } from '../../service/index.ts'
import { Delivery } from '../delivery.ts'
import type { NodePlan, NodeReport } from '../model.ts'
import type { ArtifactDigest, Deployment } from '../../base/deployment.ts'
import { contextOfNode } from '../node-call.ts'
import { PLAN_BYTES_MAX, planOf, type SignedPlan, verifiedPlan } from '../signed-plan.ts'
import type { NodeVerifier } from '../node-signature.ts'
import type { AgentArtifacts } from './agent-artifacts.ts'
import { createAgentService } from './agent-service.ts'
import { AgentState, type SecretVersion } from './agent-state.ts'
import { missingDependency } from './dependencies.ts'
import { RecentCallers } from './recent-callers.ts'
import { ServiceKeeper } from './service-keeper.ts'

const AGENT_SERVICE = 'deploy_agent'

const CALL_TIMEOUT_MS = 10_000
/** Who calls is looked at this often; a caller is told once an hour. */
const CALLERS_MS = 10_000

export interface DeployAgentNeeds {
  clock: Clock
  random: Random
  log: Logger
  /** This node's own vault. */
  store: ControlStore
  host: ServiceHost
  artifacts: AgentArtifacts
  verifier: NodeVerifier
  membership: Membership
  calls: Caller
}

export interface DeployAgentOptions {
  identity: NodeIdentity
  softwareVersion: string
}

export type ControlAction = 'start' | 'stop' | 'restart'

/** Plans that were not taken, by why. */
export interface RejectedPlans {
  forged: number
  foreign: number
  older: number
}

/** The node's side of deployments. */
export interface DeployAgent extends Component {
  /** The built-in service by which coordinators and people reach it; to be registered before the services start. */
  readonly service: ServiceDefinition
  /** The plan that is followed; undefined before the first. */
  plan(): NodePlan | undefined
  report(): NodeReport
  rejected(): RejectedPlans
}

/**
 * Brings this node to what its plan says and keeps it there, with or without a coordinator: the plan and the secrets it needs
 * are in the node's vault, the artifacts on its disk. Coordinators are told of every change.
 */
export function createDeployAgent(needs: DeployAgentNeeds, options: DeployAgentOptions): DeployAgent {
  return new VaultDeployAgent(needs, options)
}

class VaultDeployAgent implements DeployAgent {
  readonly name = 'deploy-agent'
  readonly service: ServiceDefinition
  readonly #needs: DeployAgentNeeds
  readonly #identity: NodeIdentity
  readonly #log: Logger
  readonly #state: AgentState
  readonly #keepers = new Map<string, ServiceKeeper>()
  readonly #reports: Delivery
  readonly #rejected: RejectedPlans = { forged: 0, foreign: 0, older: 0 }
  readonly #unlisten: (() => void)[] = []
  readonly #callers = new RecentCallers()
  #looking: Timer | undefined
  /** When the coordinators that got the last report were started. */
  #knownCoordinators = ''
  #plan: NodePlan | undefined
  #isRunning = false
  /** Plans are taken one after the other. */
  readonly #turns = new Turns()
  #collecting: Promise<void> = Promise.resolve()

  constructor(needs: DeployAgentNeeds, { identity, softwareVersion }: DeployAgentOptions) {
    this.#needs = needs
    this.#identity = identity
    this.#log = needs.log.child('DeployAgent')
    this.#state = new AgentState(needs.store)
    this.#reports = new Delivery({
      clock: needs.clock,
      random: needs.random,
      deliver: (signal) => this.#sendReport(signal),
      onFailure: (reason) => this.#log.warning('The coordinator did not take the report of this node', { reason }),
    })
    this.service = createAgentService(
      {
        load: () => this.#load(),
        take: (signed) => this.#turns.run(() => this.#take(signed)),
        control: (service, action, by) => this.#control(service, action, by),
        report: () => this.report(),
        rejected: () => this.rejected(),
        isCoordinator: (nodeId) => needs.membership.get(nodeId)?.record.role === 'coordinator',
      },
      { softwareVersion },
    )
  }

  async start(): Promise<void> {
    const { clock, host, membership } = this.#needs
    this.#isRunning = true
    this.#unlisten.push(
      host.onChange(() => this.#hostChanged()),
      membership.onChange(() => this.#membersChanged()),
    )
    this.#looking = clock.every(CALLERS_MS, () => this.#lookAtCallers())
    this.#membersChanged()
    this.#follow()
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    for (const unlisten of this.#unlisten.splice(0)) unlisten()
    this.#looking?.cancel()
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop()))
    await this.#reports.stop()
    await this.#turns.settled
    await this.#collecting
  }

  plan(): NodePlan | undefined {
    return this.#plan
  }

  report(): NodeReport {
    return {
      nodeId: this.#identity.nodeId,
      revision: this.#plan?.revision ?? 0,
      assignments: [...this.#keepers.values()].map((keeper) => keeper.report()),
    }
  }

  rejected(): RejectedPlans {
    return { ...this.#rejected }
  }

  /** What was verified before is not verified again: the certificate that signed may have expired while this node slept. */
  async #load(): Promise<void> {
    await this.#state.load()
    this.#plan = this.#state.plan && planOf(this.#state.plan)
  }

  async #take(signed: SignedPlan): Promise<{ revision: number }> {
    const plan = this.#checked(signed)
    if (signed.plan !== this.#state.plan?.plan) {
      const secrets = plan.assignments.flatMap(({ deployment }) => secretsOf(deployment))
      await this.#state.keepPlan(signed, secrets)
      this.#plan = plan
      this.#follow()
    }
    return { revision: plan.revision }
  }

  #checked(signed: SignedPlan): NodePlan {
    const { cluster, nodeId } = this.#identity
    if (signed.plan.length > PLAN_BYTES_MAX) throw this.#reject('forged', `it has more than ${PLAN_BYTES_MAX} bytes`)
    const plan = verifiedPlan(this.#needs.verifier, signed, cluster)
    if (!plan) throw this.#reject('forged', `no coordinator of cluster ${cluster} has signed it`)
    if (plan.cluster !== cluster || plan.nodeId !== nodeId) {
      throw this.#reject('foreign', `it is for node ${plan.nodeId} of cluster ${plan.cluster}`)
    }
    const { revision = 0 } = this.#plan ?? {}
    const isOlder = plan.revision < revision || (plan.revision === revision && signed.plan !== this.#state.plan?.plan)
    if (isOlder) throw this.#reject('older', `its revision is ${plan.revision}, the node has ${revision}`, { revision })
    return plan
  }

  #reject(why: keyof RejectedPlans, reason: string, details: { revision?: number } = {}): DeployError {
    this.#rejected[why]++
    this.#log.warning('A plan was refused', { reason, ...this.#rejected })
    const { nodeId } = this.#identity
    return new DeployError('P2P_DEPLOY_PLAN_REJECTED', `Node ${nodeId} refused a plan: ${reason}`, {
      node: nodeId,
      ...details,
    })
  }

  /** Lets every service follow the present plan. */
  #follow(): void {
    if (!this.#isRunning) return
    const wanted = new Map(this.#plan?.assignments.map((assignment) => [assignment.service, assignment]))
    for (const service of new Set([...wanted.keys(), ...this.#keepers.keys()])) {
      this.#keeper(service).want(wanted.get(service))
    }
    this.#reports.request()
  }

  #keeper(service: string): ServiceKeeper {
    const present = this.#keepers.get(service)
    if (present) return present
    const { clock, random, host, artifacts, membership } = this.#needs
    const keeper = new ServiceKeeper(service, {
      clock,
      random,
      host,
      artifacts,
      secretsOf: (deployment, signal) => this.#secretsOf(deployment, signal),
      missingDependency: (deployment) => missingDependency(deployment, membership.members()),
      onInUse: (name, digest) => this.#inUse(name, digest),
      run: (name) => this.#state.run(name),
      keepRun: (name, run) => this.#state.keepRun(name, run),
      callers: (name) => this.#callers.of(name),
      onChange: () => this.#keeperChanged(keeper),
    })
    this.#keepers.set(service, keeper)
    return keeper
  }

  #hostChanged(): void {
    for (const keeper of this.#keepers.values()) keeper.hostChanged()
    this.#reports.request()
  }

  #lookAtCallers(): void {
    const { clock, host } = this.#needs
    if (this.#callers.note(clock.nowMs(), host.takeCallers())) this.#reports.request()
  }

  #keeperChanged(keeper: ServiceKeeper): void {
    if (keeper.isDone && this.#keepers.get(keeper.service) === keeper) {
      this.#keepers.delete(keeper.service)
      this.#collect(() => this.#forget(keeper))
    }
    this.#reports.request()
  }

  /** Unless a newer plan has come that wants it again. */
  async #forget({ service }: ServiceKeeper): Promise<void> {
    if (!this.#keepers.has(service)) await this.#state.forget(service)
  }

  async #inUse(service: string, digest: ArtifactDigest): Promise<void> {
    if (await this.#state.setArtifact(service, digest)) this.#collect(async () => {})
  }

  /** Removes what no service uses or may go back to. */
  #collect(before: () => Promise<void>): void {
    this.#collecting = this.#collecting
      .then(before)
      .then(() => this.#needs.artifacts.keepOnly(() => this.#artifactsWanted()))
      .catch((error: unknown) => this.#log.warning('Old artifacts were not removed', { reason: messageOf(error) }))
  }

  #artifactsWanted(): Set<ArtifactDigest> {
    const planned = this.#plan?.assignments.map(({ deployment }) => deployment.artifact) ?? []
    return new Set([...planned, ...[...this.#state.artifacts().values()].flat()])
  }

  /** From the vault where it has them, else from a coordinator. */
  async #secretsOf(deployment: Deployment, signal: AbortSignal): Promise<Record<string, string>> {
    const missing = secretsOf(deployment).filter((secret) => this.#state.secret(secret) === undefined)
    if (missing.length > 0) {
      const answer = await this.#ask('orchestrator/read_secrets', { secrets: missing }, signal)
      const { secrets: given } = answer as { secrets: { name: string; version: number; value: string }[] }
      for (const { value, ...secret } of given) await this.#state.keepSecret(secret, value)
    }
    return Object.fromEntries(
      Object.entries(deployment.secrets).map(([ownName, name]) => [ownName, this.#valueOf(name, deployment)]),
    )
  }

  #valueOf(name: string, { service, secretVersions }: Deployment): string {
    const version = secretVersions?.[name] ?? 0
    const value = this.#state.secret({ name, version })
    if (value !== undefined) return value
    const message = `The coordinator did not give version ${version} of secret ${name}, which service ${service} needs`
    throw new DeployError('P2P_DEPLOY_SECRET_UNKNOWN', message, { name, service })
  }

  async #control(service: string, action: ControlAction, by: string): Promise<void> {
    const { host } = this.#needs
    const { nodeId } = this.#identity
    const isHere = host.states().some(({ name }) => name === service)
    const keeper = this.#keepers.get(service)
    this.#log.info('A service is controlled by a person', { service, action, by })
    if (isHere || !keeper) {
      await host[action](service)
      return
    }
    // The plan has it and the host has not: it could not be started, or waits.
    keeper.poke()
    await keeper.settled()
    const why =
      keeper.failure ?? (keeper.waitsFor === undefined ? undefined : `it waits for service ${keeper.waitsFor}`)
    if (why === undefined) return
    const message = `Service ${service} on node ${nodeId} does not run: ${why}`
    throw new RpcError('P2P_SERVICE_START_FAILED', message, { service, node: nodeId })
  }

  async #sendReport(signal: AbortSignal): Promise<void> {
    // Without a coordinator there is nobody to tell; its coming is an event of the membership.
    if (this.#coordinators().length === 0) return
    const { startedAtMs } = this.#needs.membership.self().record
    await this.#ask('orchestrator/report', { report: this.report(), started_at_ms: startedAtMs }, signal)
  }

  #ask(method: string, params: object, signal: AbortSignal): Promise<unknown> {
    const context = contextOfNode(this.#needs, this.#identity, AGENT_SERVICE, CALL_TIMEOUT_MS, signal)
    return this.#needs.calls.call(method, params, context, 'coordinator')
  }

  #coordinators(): string[] {
    return this.#needs.membership
      .members()
      .filter(({ record, status }) => record.role === 'coordinator' && status === 'alive')
      .map(({ record }) => `${record.nodeId}@${record.startedAtMs}`)
  }

  /** Somebody came, went, or has other services than before: what waited for that goes on. */
  #membersChanged(): void {
    for (const keeper of this.#keepers.values()) if (keeper.waitsFor !== undefined) keeper.poke()
    const coordinators = this.#coordinators().join()
    if (coordinators === this.#knownCoordinators) return
    this.#knownCoordinators = coordinators
    for (const keeper of this.#keepers.values()) if (keeper.failure !== undefined) keeper.poke()
    this.#reports.request()
  }
}

function secretsOf({ secrets, secretVersions = {} }: Deployment): SecretVersion[] {
  return [...new Set(Object.values(secrets))].map((name) => ({ name, version: secretVersions[name] ?? 0 }))
}
