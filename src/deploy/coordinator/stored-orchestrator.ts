import { DeployError, messageOf, NetworkError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Clock } from '../../base/time.ts'
import type { ArtifactDigest, Deployment } from '../../base/deployment.ts'
import type { DeployPlan, DeployRequest, HistoryEntry, RolloutStatus, ServiceStatus } from '../../base/deployment.ts'
import type { DrainState, Orchestrator } from '../../base/orchestrator.ts'
import { cancelChange, changeTo, deploymentOf, type ServicePlan } from '../plan/index.ts'
import type { SecretStore } from '../secrets/secret-store.ts'
import type { CallerLedger } from './caller-ledger.ts'
import type { DesiredState } from './desired-state.ts'
import { KnownMethods, type MethodsOfBundle } from './known-methods.ts'
import type { OrchestratorArtifacts } from './orchestrator-artifacts.ts'
import { type Prepared, prepareDeployment } from './prepare-deployment.ts'
import type { Reconciler } from './reconciler.ts'
import { rolloutStatus, serviceStatus } from './service-status.ts'

export interface StoredOrchestratorNeeds {
  clock: Clock
  log: Logger
  membership: Membership
  state: DesiredState
  reconciler: Reconciler
  secrets: SecretStore
  artifacts: OrchestratorArtifacts
  callers: CallerLedger
  /** Names that no deployment may have: of the parts of a node. */
  isReserved: (service: string) => boolean
}

/** A service has 5 s to end its calls, and 5 s to clean up. */
const REMOVE_WAIT_MS_MAX = 15_000

/** People's commands: each makes a new generation, durable before it is answered, and a pass that begins its rollout. */
export class StoredOrchestrator implements Orchestrator {
  readonly #needs: StoredOrchestratorNeeds
  readonly #methods: KnownMethods

  constructor(needs: StoredOrchestratorNeeds) {
    this.#needs = needs
    this.#methods = new KnownMethods(needs.artifacts)
  }

  list(): ServiceStatus[] {
    return this.#needs.state.plans().map((plan) => this.#statusOf(plan))
  }

  get(service: string): ServiceStatus {
    return this.#statusOf(this.#known(service))
  }

  async plan(request: DeployRequest): Promise<DeployPlan> {
    const methods = await this.#methodsFor(request)
    return this.#inTurn(async () => this.#prepare(request, 'a plan', methods).preview)
  }

  async deploy(request: DeployRequest, by: string): Promise<RolloutStatus> {
    // Code is asked before it is its turn: other commands do not wait for it.
    const methods = await this.#methodsFor(request)
    return this.#inTurn(async () => {
      const { preview, deployment } = this.#prepare(request, by, methods)
      refuse(preview)
      const status = await this.#change(deployment)
      await this.#collect()
      return status
    })
  }

  scale(service: string, count: number | 'every', by: string): Promise<RolloutStatus> {
    return this.#vary(service, by, () => ({
      count,
      reason: count === 'every' ? 'on every node' : `scaled to ${count}`,
    }))
  }

  start(service: string, by: string): Promise<RolloutStatus> {
    return this.#vary(service, by, () => ({ isStopped: false, reason: 'started' }))
  }

  async stop(service: string, by: string): Promise<void> {
    await this.#vary(service, by, () => ({ isStopped: true, reason: 'stopped' }))
  }

  restart(service: string, by: string): Promise<RolloutStatus> {
    return this.#vary(service, by, (generation) => ({ processGeneration: generation, reason: 'restarted' }))
  }

  rollback(service: string, by: string, generation?: number): Promise<RolloutStatus> {
    return this.#inTurn(async () => {
      const plan = this.#known(service)
      if (generation === undefined && plan.rollout.state === 'running') {
        return this.#keep(cancelChange(plan, `taken back by ${by}`, this.#needs.clock.wallMs()))
      }
      const earlier = await this.#earlier(plan, generation)
      const { count, placement, isStopped } = deploymentOf(plan)
      const next = this.#nextGeneration(service)
      return this.#change({
        ...earlier,
        // What runs goes back; how much of it, and where, is another matter.
        count,
        placement,
        isStopped,
        secretVersions: this.#secretVersions(earlier),
        generation: next,
        processGeneration: next,
        by,
        atMs: this.#needs.clock.wallMs(),
        reason: `back to generation ${earlier.generation} (${earlier.version})`,
      })
    })
  }

  async remove(service: string, by: string): Promise<void> {
    const holders = await this.#inTurn(async () => {
      const { state, callers, log } = this.#needs
      const { nodes } = this.#known(service)
      const users = state
        .plans()
        .filter((plan) => deploymentOf(plan).dependsOn.some((needed) => needed.service === service))
      if (users.length > 0) {
        const names = users.map((plan) => plan.service)
        const message = `Service ${service} is needed by ${names.join(', ')}: remove ${names.length > 1 ? 'them' : 'it'} first`
        throw new DeployError('P2P_DEPLOY_REFUSED', message, { service, needed_by: names })
      }
      await state.removePlan(service)
      await callers.forget(service)
      log.info('A deployment was removed', { service, by })
      await this.#passNow()
      await this.#collect()
      return nodes.map(({ nodeId }) => nodeId)
    })
    await this.#untilEnded(service, holders)
  }

  drain(nodeId: NodeId, by: string): Promise<void> {
    return this.#setDrained(nodeId, true, by)
  }

  undrain(nodeId: NodeId, by: string): Promise<void> {
    return this.#setDrained(nodeId, false, by)
  }

  drains(): ReadonlyMap<NodeId, DrainState> {
    const { state, reconciler } = this.#needs
    return new Map([...state.drained()].map((nodeId) => [nodeId, reconciler.mayRun(nodeId) ? 'draining' : 'drained']))
  }

  async history(service: string): Promise<HistoryEntry[]> {
    this.#known(service)
    return this.#needs.state.history(service)
  }

  async *follow(service: string, signal: AbortSignal): AsyncGenerator<RolloutStatus, void, undefined> {
    this.#known(service)
    let wake = Promise.withResolvers<void>()
    const unlisten = this.onChange(() => wake.resolve())
    const onAbort = (): void => wake.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      let shown = ''
      while (!signal.aborted) {
        wake = Promise.withResolvers<void>()
        const plan = this.#needs.state.plan(service)
        if (!plan) return
        const status = rolloutStatus(plan)
        const text = JSON.stringify(status)
        if (text !== shown) yield status
        shown = text
        if (status.state !== 'running') return
        await wake.promise
      }
    } finally {
      unlisten()
      signal.removeEventListener('abort', onAbort)
    }
  }

  onChange(listener: () => void): () => void {
    return this.#needs.reconciler.onChange(listener)
  }

  /** Services whose deployment names the secret. */
  usersOf(secret: string): string[] {
    return this.#needs.state
      .plans()
      .filter((plan) => Object.values(deploymentOf(plan).secrets).includes(secret))
      .map(({ service }) => service)
  }

  /**
   * Gives the secret's newest value to the services that use it, by a rollout each. Only in turn. A one-shot job is left alone:
   * it would run once more.
   */
  async renewSecret(secret: string, by: string): Promise<void> {
    for (const service of this.usersOf(secret)) {
      const present = deploymentOf(this.#known(service))
      if (present.job?.kind === 'once') continue
      const generation = this.#nextGeneration(service)
      await this.#change({
        ...present,
        generation,
        processGeneration: generation,
        secretVersions: this.#secretVersions(present, secret),
        by,
        atMs: this.#needs.clock.wallMs(),
        reason: `secret ${secret} got a new value`,
      })
    }
  }

  /** Changes a part of what is deployed; the rest stays as it is. */
  #vary(service: string, by: string, vary: (generation: number) => Partial<Deployment>): Promise<RolloutStatus> {
    return this.#inTurn(async () => {
      const plan = this.#known(service)
      const generation = this.#nextGeneration(service)
      return this.#change({
        ...deploymentOf(plan),
        generation,
        by,
        atMs: this.#needs.clock.wallMs(),
        ...vary(generation),
      })
    })
  }

  async #change(deployment: Deployment): Promise<RolloutStatus> {
    const { clock, state, log } = this.#needs
    const { service, generation, version, by, reason } = deployment
    log.info('A deployment was changed', { service, generation, version, by, reason })
    return this.#keep(changeTo(state.plan(service), deployment, clock.wallMs()))
  }

  async #keep(plan: ServicePlan): Promise<RolloutStatus> {
    await this.#needs.state.setPlan(plan)
    await this.#passNow()
    return rolloutStatus(this.#known(plan.service))
  }

  /** What was asked for is durable by now: a pass that fails is made again and is no failure of the command. */
  async #passNow(): Promise<void> {
    await this.#needs.reconciler.passOrRetry()
  }

  /** The artifacts that no generation and no history names are of no use any more. */
  async #collect(): Promise<void> {
    const { state, artifacts, log } = this.#needs
    const named = new Set<string>()
    for (const { service, deployments } of state.plans()) {
      for (const { artifact } of deployments) named.add(artifact)
      for (const { deployment } of await state.history(service)) named.add(deployment.artifact)
    }
    await artifacts.keepOnly(named).catch((error: unknown) => {
      log.warning('Artifacts that nothing uses were not removed', { reason: messageOf(error) })
    })
  }

  /** By digest: of the bundle that runs and of the one that is to take its place. */
  async #methodsFor({ service, artifact }: DeployRequest): Promise<ReadonlyMap<ArtifactDigest, MethodsOfBundle>> {
    const plan = this.#needs.state.plan(service)
    const present = plan && deploymentOf(plan).artifact
    if (present === undefined || artifact === undefined || artifact === present) return new Map()
    const asked = [present, artifact].map(async (digest) => [digest, await this.#methods.of(digest)] as const)
    return new Map(await Promise.all(asked))
  }

  #prepare(request: DeployRequest, by: string, methods: ReadonlyMap<ArtifactDigest, MethodsOfBundle>): Prepared {
    const { clock, state, reconciler, secrets, artifacts, callers, isReserved } = this.#needs
    const plan = state.plan(request.service)
    const present = plan && deploymentOf(plan).artifact
    const wanted = request.artifact ?? present
    const [before, after] = [methods.get(present ?? ''), methods.get(wanted ?? '')]
    return prepareDeployment({
      request,
      plans: state.plans(),
      generation: this.#nextGeneration(request.service),
      nodes: reconciler.planNodes(),
      services: new Set(reconciler.servicesUp().keys()),
      artifact: wanted === undefined ? undefined : artifacts.get(wanted),
      methods: before && after && { before, after },
      callersOf: (method) => callers.callersOf(request.service, method),
      secretVersion: (name) => secrets.version(name),
      isReserved,
      by,
      atMs: clock.wallMs(),
    })
  }

  /** The generation to go back to. */
  async #earlier(plan: ServicePlan, wanted: number | undefined): Promise<Deployment> {
    const { service } = plan
    const history = await this.#needs.state.history(service)
    const present = deploymentOf(plan)
    const found = history.find(({ deployment, state }) =>
      wanted === undefined
        ? state === 'succeeded' &&
          deployment.generation < present.generation &&
          deployment.processGeneration !== present.processGeneration
        : deployment.generation === wanted,
    )
    if (found) return found.deployment
    const message =
      wanted === undefined
        ? `Service ${service} has no earlier version that ran well: deploy the wanted one`
        : `Service ${service} has no generation ${wanted} any more: "p2p history ${service}" lists what there is`
    throw new DeployError('P2P_DEPLOY_NO_EARLIER', message, { service })
  }

  /** Of each secret the value it had with this deployment, while that is kept. @param renewed gets its newest value */
  #secretVersions({ secrets, secretVersions = {} }: Deployment, renewed?: string): Record<string, number> {
    const names = [...new Set(Object.values(secrets))]
    return Object.fromEntries(
      names.map((name) => {
        const wanted = name === renewed ? undefined : secretVersions[name]
        return [name, this.#needs.secrets.version(name, wanted) ?? 0]
      }),
    )
  }

  async #setDrained(nodeId: NodeId, isDrained: boolean, by: string): Promise<void> {
    const { membership, state, log } = this.#needs
    const isKnown = membership.get(nodeId) !== undefined || state.given(nodeId) !== undefined
    if (!isKnown) {
      const known = membership.members().map(({ record }) => record.nodeId)
      const message = `No node ${nodeId} is known here; known: ${known.join(', ')}`
      throw new NetworkError('P2P_NETWORK_NODE_UNKNOWN', message, { node: nodeId })
    }
    await this.#inTurn(async () => {
      await state.setDrained(nodeId, isDrained)
      log.info(isDrained ? 'A node is drained' : 'A node takes services again', { node: nodeId, by })
      await this.#passNow()
    })
  }

  /** Waits, for a while, until each of the nodes that are there has told that it has nothing of the service any more. */
  async #untilEnded(service: string, holders: readonly NodeId[]): Promise<void> {
    const { clock, reconciler, log } = this.#needs
    const { promise, resolve } = Promise.withResolvers<void>()
    const left = (): NodeId[] => holders.filter((nodeId) => reconciler.mayHave(nodeId, service))
    const look = (): void => {
      if (left().length === 0) resolve()
    }
    const unlisten = reconciler.onChange(look)
    const timer = clock.after(REMOVE_WAIT_MS_MAX, () => {
      log.warning('Nodes have not said yet that they ended a service that was removed', { service, nodes: left() })
      resolve()
    })
    look()
    await promise
    unlisten()
    timer.cancel()
  }

  #nextGeneration(service: string): number {
    return this.#needs.state.lastGeneration(service) + 1
  }

  #statusOf(plan: ServicePlan): ServiceStatus {
    const { reconciler } = this.#needs
    const { wanted, problems } = reconciler.placement(plan.service)
    return serviceStatus({ plan, reports: reconciler.reports(), wanted, problems })
  }

  #known(service: string): ServicePlan {
    const plan = this.#needs.state.plan(service)
    if (plan) return plan
    const known = this.#needs.state.plans().map((other) => other.service)
    const message = `No service ${service} was deployed; deployed: ${known.join(', ') || 'none'}`
    throw new DeployError('P2P_DEPLOY_UNKNOWN_SERVICE', message, { service })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#needs.reconciler.inTurn(work)
  }
}

/** @throws {DeployError} what keeps it from being deployed: a single reason by its own code */
function refuse({ service, refusals }: DeployPlan): void {
  const [first] = refusals
  if (!first) return
  const message = `Service ${service} was not deployed: ${refusals.map((refusal) => refusal.message).join('; ')}`
  const code = OWN_CODES.find((candidate) => candidate === first.code)
  throw new DeployError(refusals.length === 1 && code ? code : 'P2P_DEPLOY_REFUSED', message, { service, refusals })
}

const OWN_CODES = [
  'P2P_DEPLOY_BUSY',
  'P2P_DEPLOY_ARTIFACT_UNKNOWN',
  'P2P_DEPLOY_INVALID',
  'P2P_DEPLOY_SECRET_UNKNOWN',
] as const
