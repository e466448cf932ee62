import { messageOf } from '../../base/errors.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Member, Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type { Caller } from '../../service/index.ts'
import type { AssignmentReport, NodeReport } from '../model.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { contextOfNode } from '../node-call.ts'
import { assignmentsOf, type PlanNode, reconcile } from '../plan/index.ts'
import type { SignedPlan } from '../signed-plan.ts'
import type { NodeSigner } from '../node-signature.ts'
import type { DesiredState } from './desired-state.ts'
import { PlanGiver } from './plan-giver.ts'

const CALL_TIMEOUT_MS = 10_000
/** A pass whose outcome could not be stored (disk full) is made again after this. */
const PASS_RETRY_MS = 1_000

export interface ReconcilerNeeds {
  clock: Clock
  random: Random
  log: Logger
  membership: Membership
  calls: Caller
  signer: NodeSigner
  state: DesiredState
}

interface KeptReport {
  report: NodeReport
  /** When the process began that told it, by its own wall clock. */
  startedAtMs: number
}

/** For people: how many instances a service should have, and why fewer can be placed. */
export interface Placement {
  wanted: number
  problems: readonly string[]
}

/**
 * The shell round the planner: tells it of members, reports and time, stores what it decides, and brings the nodes their plans.
 * Passes, and commands that change what is desired, are carried out one after the other.
 */
export class Reconciler {
  readonly #needs: ReconcilerNeeds
  readonly #identity: NodeIdentity
  readonly #giver: PlanGiver
  readonly #reports = new Map<NodeId, KeptReport>()
  readonly #listeners = new Set<() => void>()
  #placements: ReadonlyMap<string, Placement> = new Map()
  readonly #turns = new Turns()
  #isPassDue = false
  #isRunning = false
  #startedMs = 0
  #lastPassMs: number | undefined
  #nextPass: Timer | undefined
  #unlisten: (() => void) | undefined

  constructor(needs: ReconcilerNeeds, identity: NodeIdentity) {
    const { clock, random, log, state, signer, membership } = needs
    this.#needs = needs
    this.#identity = identity
    this.#giver = new PlanGiver({
      clock,
      random,
      log,
      state,
      signer,
      isPresent: (nodeId) => isPresent(membership.get(nodeId)),
      give: (nodeId, signed, signal) => this.#give(nodeId, signed, signal),
      onFailure: () => this.requestPass(),
    })
  }

  start(): void {
    this.#isRunning = true
    this.#startedMs = this.#needs.clock.nowMs()
    this.#unlisten = this.#needs.membership.onChange(({ member }) => this.#memberChanged(member))
    this.requestPass()
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    this.#unlisten?.()
    this.#nextPass?.cancel()
    await this.#giver.stop()
    await this.#turns.settled
    // Who waits for something that would have come of a pass waits in vain.
    for (const listener of this.#listeners) listener()
  }

  /** Called when anything that people are shown has changed. @returns a function that unregisters */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  placement(service: string): Placement {
    return this.#placements.get(service) ?? { wanted: 0, problems: [] }
  }

  /** The last reports of the nodes that are there. */
  reports(): ReadonlyMap<NodeId, NodeReport> {
    return new Map([...this.#reports].map(([nodeId, { report }]) => [nodeId, report]))
  }

  /** Whether a node that is there follows another plan than its newest, or still has something of the service. */
  mayHave(nodeId: NodeId, service: string): boolean {
    return this.#mayTell(nodeId, (told) => told.service === service)
  }

  /** The same for what runs there of any service. */
  mayRun(nodeId: NodeId): boolean {
    return this.#mayTell(nodeId, ({ instances }) => instances.length > 0)
  }

  #mayTell(nodeId: NodeId, isMeant: (told: AssignmentReport) => boolean): boolean {
    const { membership, state } = this.#needs
    if (!this.#isRunning || !isPresent(membership.get(nodeId))) return false
    const { report } = this.#reports.get(nodeId) ?? {}
    if (!report || report.revision < (state.given(nodeId)?.revision ?? 0)) return true
    return report.assignments.some(isMeant)
  }

  /** Nodes that said they have what this artifact is made of. */
  holdersOf(digest: ArtifactDigest): NodeId[] {
    const services = this.#needs.state
      .plans()
      .flatMap(({ service, deployments }) =>
        deployments.filter(({ artifact }) => artifact === digest).map(({ generation }) => ({ service, generation })),
      )
    const has = ({ assignments }: NodeReport): boolean =>
      assignments.some(
        (told) =>
          told.hasArtifact &&
          services.some(({ service, generation }) => service === told.service && generation === told.generation),
      )
    return [...this.#reports].filter(([, { report }]) => has(report)).map(([nodeId]) => nodeId)
  }

  /** What a node says of itself; `startedAtMs` is when its process began. */
  async takeReport(report: NodeReport, startedAtMs: number): Promise<void> {
    const { nodeId, revision } = report
    this.#reports.set(nodeId, { report, startedAtMs })
    await this.inTurn(() => this.#giver.follows(nodeId, revision))
    this.requestPass()
  }

  /** Runs `work` when nothing else changes what is desired. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work)
  }

  /** A pass is made soon; one for all that is asked until then. */
  requestPass(): void {
    if (this.#isPassDue || !this.#isRunning) return
    this.#isPassDue = true
    void this.inTurn(() => this.passOrRetry())
  }

  /** Only in turn. Never rejects: what could not be stored or planned is tried again. */
  async passOrRetry(): Promise<void> {
    this.#isPassDue = false
    try {
      await this.#pass()
    } catch (error) {
      this.#needs.log.error('What should run could not be reconciled; it is tried again', {
        reason: messageOf(error),
        error,
      })
      this.#wakeAfter(PASS_RETRY_MS)
    }
  }

  async #pass(): Promise<void> {
    if (!this.#isRunning) return
    const { clock, state } = this.#needs
    const nowMs = clock.nowMs()
    const { plans, changed, placements, nextMs } = reconcile({
      elapsedMs: this.#lastPassMs === undefined ? 0 : nowMs - this.#lastPassMs,
      wallMs: clock.wallMs(),
      plans: state.plans(),
      nodes: this.planNodes(),
      reports: this.reports(),
      services: this.servicesUp(),
    })
    this.#lastPassMs = nowMs
    for (const plan of plans) if (!changed.has(plan.service)) state.remember(plan)
    await allDone(plans.filter(({ service }) => changed.has(service)).map((plan) => state.setPlan(plan)))
    this.#placements = placements
    await this.#giveAll()
    this.#nextPass?.cancel()
    if (nextMs !== undefined) this.#wakeAfter(nextMs)
    for (const listener of this.#listeners) listener()
  }

  /** The nodes as the planner sees them; those that hold something and were never heard of are dead since the start. */
  planNodes(): PlanNode[] {
    const { clock, membership, state } = this.#needs
    const drained = state.drained()
    const nodes = membership.members().map(({ record, status, sinceMs }): PlanNode => {
      const { nodeId, role, labels, capacity } = record
      const statusForMs = Math.max(0, clock.wallMs() - sinceMs)
      const planFailure = this.#giver.failure(nodeId)
      const node = { nodeId, role, labels, capacity, status, statusForMs, isDraining: drained.has(nodeId) }
      return { ...node, ...(planFailure !== undefined && { planFailure }) }
    })
    const known = new Set(nodes.map(({ nodeId }) => nodeId))
    const holders = new Set(state.plans().flatMap((plan) => plan.nodes.map(({ nodeId }) => nodeId)))
    const missing = [...holders].filter((nodeId) => !known.has(nodeId))
    const statusForMs = clock.nowMs() - this.#startedMs
    return [
      ...nodes,
      ...missing.map((nodeId): PlanNode => {
        const isDraining = drained.has(nodeId)
        const capacity = { cpus: 0, memoryBytes: 0 }
        return { nodeId, role: 'worker', labels: {}, capacity, status: 'dead', statusForMs, isDraining }
      }),
    ]
  }

  /** On how many nodes each service of the cluster runs, whoever started it. */
  servicesUp(): ReadonlyMap<string, { running: number; healthy: number }> {
    const up = new Map<string, { running: number; healthy: number }>()
    for (const member of this.#needs.membership.members().filter(isPresent)) {
      for (const { name, health } of member.record.services) {
        if (health !== 'healthy' && health !== 'failing') continue
        const { running, healthy } = up.get(name) ?? { running: 0, healthy: 0 }
        up.set(name, { running: running + 1, healthy: healthy + (health === 'healthy' ? 1 : 0) })
      }
    }
    return up
  }

  async #giveAll(): Promise<void> {
    const { membership, state } = this.#needs
    const { cluster } = this.#identity
    const plans = state.plans()
    const nodeIds = new Set([...membership.members().map(({ record }) => record.nodeId), ...state.givenNodes()])
    await allDone(
      [...nodeIds].map((nodeId) => {
        const isDraining = state.drained().has(nodeId)
        return this.#giver.set({ cluster, nodeId, assignments: assignmentsOf(plans, nodeId), isDraining })
      }),
    )
  }

  async #give(nodeId: NodeId, { plan, signature, chain }: SignedPlan, signal: AbortSignal): Promise<void> {
    const context = contextOfNode(this.#needs, this.#identity, 'orchestrator', CALL_TIMEOUT_MS, signal)
    const params = { plan, signature, chain }
    await this.#needs.calls.call('deploy_agent/take_plan', params, context, nodeId)
  }

  /** What a process said that is gone is not true any more. */
  #memberChanged(member: Member): void {
    const { nodeId, startedAtMs } = member.record
    const kept = this.#reports.get(nodeId)
    if (kept && (!isPresent(member) || startedAtMs > kept.startedAtMs)) this.#reports.delete(nodeId)
    this.requestPass()
  }

  #wakeAfter(delayMs: number): void {
    if (!this.#isRunning) return
    this.#nextPass?.cancel()
    // The planner adds up what has passed: a remainder of its rounding, far below a millisecond, would be asked for again and again.
    this.#nextPass = this.#needs.clock.after(Math.ceil(delayMs), () => this.requestPass())
  }
}

/** Waits for all of them, also when one fails: what follows must not meet a change that is still under way. */
async function allDone(work: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((outcome) => outcome.status === 'rejected')
  if (failed) throw failed.reason
}

function isPresent(member: Member | undefined): boolean {
  return member?.status === 'alive' || member?.status === 'suspect'
}
