import type { NodeId } from '../../base/identity.ts'
import type { AssignmentReport, NodeReport } from '../model.ts'
import type { Deployment } from '../../base/deployment.ts'
import { type Presence, unmetDependency } from './dependencies.ts'
import { handOver } from './hand-over.ts'
import { healthyCount } from './instance-health.ts'
import { isJobOver, jobRunOn, stepJob } from './job.ts'
import { place, type ServicePlacement } from './place.ts'
import { isGone, isPresent, type PlanNode, suits } from './plan-node.ts'
import { isKeptStopped } from './rollout.ts'
import { deploymentOf, deploymentsInUse, type PlannedNode, type ServicePlan, withRollout } from './service-plan.ts'
import { stepRollout } from './step-rollout.ts'

export interface ReconcileInput {
  /**
   * Monotonic time since the pass before this one; 0 for the first one after the coordinator's start: the time in which none ran
   * counts for no deadline.
   */
  elapsedMs: number
  /** Unix ms: for cron and for the history. */
  wallMs: number
  plans: readonly ServicePlan[]
  nodes: readonly PlanNode[]
  /** The last report of each node. Those of nodes that are away are not looked at. */
  reports: ReadonlyMap<NodeId, NodeReport>
  /** Every service of the cluster, whoever started it, by name: what dependencies are held against. */
  services: ReadonlyMap<string, Presence>
}

export interface Reconciled {
  /** In the order given. Keep them for the next pass. */
  plans: ServicePlan[]
  /** Services whose plan must be stored before the nodes are told: in the others only measured times changed. */
  changed: ReadonlySet<string>
  /** By service: instances wanted, and why fewer can be placed, for people. */
  placements: ReadonlyMap<string, { wanted: number; problems: string[] }>
  /** Another pass is due after this time although nothing was reported; undefined: none is. */
  nextMs: number | undefined
}

/** One pass over everything: where instances go, how far each rollout may go on, which jobs run. */
export function reconcile(input: ReconcileInput): Reconciled {
  const facts = new Facts(input)
  let round = pass(input.plans, facts, input.elapsedMs)
  // A rollout that turned back, or ended, wants other places than those it was looked at with.
  if (round.hasTurned) round = pass(round.plans, facts, 0)
  const changed = round.plans.filter((plan, i) => isChanged(input.plans[i] as ServicePlan, plan))
  return {
    plans: round.plans,
    changed: new Set(changed.map(({ service }) => service)),
    placements: new Map(round.placements.map(({ service, wanted, problems }) => [service, { wanted, problems }])),
    nextMs: round.nextMs,
  }
}

interface Round {
  plans: ServicePlan[]
  placements: ServicePlacement[]
  hasTurned: boolean
  nextMs: number | undefined
}

function pass(plans: readonly ServicePlan[], facts: Facts, elapsedMs: number): Round {
  const { nodes } = facts.input
  const placement = place({
    deployments: plans.map(placeable),
    nodes,
    placed: plans.flatMap(({ service, nodes: planned }) =>
      planned.map(({ nodeId, instances }) => ({ service, nodeId, instances })),
    ),
  })
  const dueMs = placement.nextMs === undefined ? [] : [placement.nextMs]
  let hasTurned = false
  const next = plans.map((plan, i) => {
    const at = placement.services[i] as ServicePlacement
    const step = plan.job ? jobPass(plan, at, facts, elapsedMs) : rolloutPass(plan, at, facts, elapsedMs)
    if (step.nextMs !== undefined) dueMs.push(step.nextMs)
    hasTurned ||= step.plan.generation !== plan.generation || step.plan.rollout.state !== plan.rollout.state
    return step.plan
  })
  const nextMs = dueMs.length > 0 ? Math.min(...dueMs) : undefined
  return { plans: next, placements: placement.services, hasTurned, nextMs }
}

/** What is to be placed of a service: nothing of one that is kept stopped or has run. */
function placeable(plan: ServicePlan): Deployment {
  const deployment = deploymentOf(plan)
  const isOver = plan.job ? isJobOver(plan.job, deployment) : isKeptStopped(plan.rollout)
  return isOver ? { ...deployment, isStopped: true } : deployment
}

interface PlanStep {
  plan: ServicePlan
  nextMs: number | undefined
}

function rolloutPass(before: ServicePlan, at: ServicePlacement, facts: Facts, elapsedMs: number): PlanStep {
  const { service } = before
  const heldBy = unmetDependency(deploymentOf(before), facts.input.services)
  const step = stepRollout(before.rollout, {
    elapsedMs,
    wallMs: facts.input.wallMs,
    target: at.nodes,
    wanted: at.wanted,
    problems: at.problems,
    isUp: (nodeId) => facts.isUp(nodeId),
    report: (nodeId) => facts.report(nodeId, service),
    planFailure: (nodeId) => facts.present(nodeId)?.planFailure,
    heldBy,
  })
  const plan = step.rollout === before.rollout ? before : withRollout(before, step.rollout)
  const nodes = plannedNodes(plan, at, facts, heldBy)
  return { plan: withNodes(plan, nodes), nextMs: step.nextMs }
}

/** Who is to run which generation: as the rollout says, or, when there is none, the one that is to run. */
function plannedNodes(
  plan: ServicePlan,
  at: ServicePlacement,
  facts: Facts,
  heldBy: string | undefined,
): PlannedNode[] {
  const { rollout, generation } = plan
  if (isKeptStopped(rollout)) return []
  const isOnWay = rollout.state === 'running'
  const present = new Map(plan.nodes.map((node) => [node.nodeId, node]))
  const inRollout = new Map(rollout.nodes.map((node) => [node.nodeId, node.generation]))
  const generations = new Map<NodeId, number>()
  for (const nodeId of at.nodes.keys()) {
    // What runs goes on also when something it depends on has gone.
    const steady = present.has(nodeId) || heldBy === undefined ? generation : undefined
    const due = isOnWay ? inRollout.get(nodeId) : steady
    if (due !== undefined) generations.set(nodeId, due)
  }
  const isForward = isOnWay && !rollout.isReturning
  // An update that has no place at all takes nothing away from what runs.
  const isStuck = isForward && at.nodes.size === 0
  const { placement } = deploymentOf(plan)
  const leaving = plan.nodes.filter(({ nodeId, generation: of }) => {
    const node = facts.present(nodeId)
    return node && (isStuck || !suits(node, placement)) && (isForward || of === generation)
  })
  const kept = handOver({
    target: at.nodes,
    wanted: isStuck ? Number.POSITIVE_INFINITY : at.wanted,
    leaving: new Map(leaving.map(({ nodeId, instances }) => [nodeId, instances])),
    healthy: new Map([...at.nodes.keys()].map((nodeId) => [nodeId, facts.healthy(nodeId, plan.service)])),
    lenders: new Set(
      leaving.map(({ nodeId }) => nodeId).filter((nodeId) => isStuck || facts.present(nodeId)?.isDraining),
    ),
  })
  for (const nodeId of kept.keys()) {
    if (!generations.has(nodeId)) generations.set(nodeId, present.get(nodeId)?.generation as number)
  }
  return [...generations]
    .map(([nodeId, of]) => ({
      nodeId,
      generation: of,
      instances: (at.nodes.get(nodeId) ?? 0) + (kept.get(nodeId) ?? 0),
    }))
    .sort(byNodeId)
}

function jobPass(before: ServicePlan, at: ServicePlacement, facts: Facts, elapsedMs: number): PlanStep {
  const deployment = deploymentOf(before)
  const step = stepJob(before.job as NonNullable<ServicePlan['job']>, {
    deployment,
    elapsedMs,
    wallMs: facts.input.wallMs,
    targets: new Set(at.nodes.keys()),
    isGone: (nodeId) => facts.isGone(nodeId),
    report: (nodeId) => facts.report(nodeId, before.service),
    heldBy: unmetDependency(deployment, facts.input.services),
  })
  const { job } = step
  const running = (job.run?.slots ?? []).filter(({ state }) => state === 'running').map(({ nodeId }) => nodeId)
  // A run is let go on where it is, also on a node that is being drained.
  const nodes = [...new Set([...at.nodes.keys(), ...running])].map((nodeId): PlannedNode => {
    const runId = jobRunOn(job, nodeId)
    return { nodeId, generation: before.generation, instances: 1, ...(runId !== undefined && { runId }) }
  })
  return { plan: withNodes({ ...before, job }, nodes.sort(byNodeId)), nextMs: step.nextMs }
}

/** The same plan when nothing is new: most services, at most passes. */
function withNodes(plan: ServicePlan, nodes: readonly PlannedNode[]): ServicePlan {
  const isSame = nodes.length === plan.nodes.length && nodes.every((node, i) => isSameNode(node, plan.nodes[i]))
  const next = isSame ? plan : { ...plan, nodes }
  const deployments = deploymentsInUse(next)
  return deployments.length === plan.deployments.length ? next : { ...next, deployments }
}

function isSameNode(a: PlannedNode, b: PlannedNode | undefined): boolean {
  return a.nodeId === b?.nodeId && a.generation === b.generation && a.instances === b.instances && a.runId === b.runId
}

function byNodeId(a: PlannedNode, b: PlannedNode): number {
  return a.nodeId < b.nodeId ? -1 : 1
}

/** Names of what is measured, or seen anew at every pass. */
const MEASURED = new Set(['pendingMs', 'fetchingMs', 'healthyForMs', 'heldMs', 'waitMs', 'done', 'wanted'])

function isChanged(before: ServicePlan, after: ServicePlan): boolean {
  return before !== after && lasting(before) !== lasting(after)
}

function lasting({ generation, rollout, nodes, job, deployments }: ServicePlan): string {
  const generations = deployments.map((deployment) => deployment.generation)
  return JSON.stringify({ generation, generations, rollout, nodes, job }, (key, value: unknown) =>
    MEASURED.has(key) ? undefined : value,
  )
}

/** What is known of the nodes, by name. */
class Facts {
  readonly input: ReconcileInput
  readonly #nodes: ReadonlyMap<NodeId, PlanNode>
  readonly #reports = new Map<NodeId, ReadonlyMap<string, AssignmentReport>>()

  constructor(input: ReconcileInput) {
    this.input = input
    this.#nodes = new Map(input.nodes.map((node) => [node.nodeId, node]))
    for (const [nodeId, { assignments }] of input.reports) {
      if (this.present(nodeId))
        this.#reports.set(nodeId, new Map(assignments.map((report) => [report.service, report])))
    }
  }

  isUp(nodeId: NodeId): boolean {
    return this.#nodes.get(nodeId)?.status === 'alive'
  }

  /** The node, when it is there. */
  present(nodeId: NodeId): PlanNode | undefined {
    const node = this.#nodes.get(nodeId)
    return node && isPresent(node) ? node : undefined
  }

  isGone(nodeId: NodeId): boolean {
    const node = this.#nodes.get(nodeId)
    return node === undefined || isGone(node)
  }

  report(nodeId: NodeId, service: string): AssignmentReport | undefined {
    return this.#reports.get(nodeId)?.get(service)
  }

  /** Instances of any generation. */
  healthy(nodeId: NodeId, service: string): number {
    return healthyCount(this.report(nodeId, service), undefined)
  }
}
