import { assert } from '../../base/assert.ts'
import type { NodeId } from '../../base/identity.ts'
import type { Assignment } from '../model.ts'
import type { Deployment } from '../../base/deployment.ts'
import { beginJob, type JobPlan } from './job.ts'
import { beginRollout, immediateRollout, isKeptStopped, type Rollout } from './rollout.ts'
import { cancelRollout } from './step-rollout.ts'

/**
 * All that the coordinator keeps of one service, as plain JSON: stored before what it says is acted upon, so that a coordinator
 * that is killed at any moment goes on where it was.
 */
export interface ServicePlan {
  service: string
  /** The generation that is to run: the newest, or the one before it after an update went back. */
  generation: number
  /** The one that is to run, the newest, the one to go back to, and what nodes still have in their plans; ascending. */
  deployments: readonly Deployment[]
  /** The last change, on its way or ended. */
  rollout: Rollout
  /** What the nodes' plans say of it; ascending by node id. */
  nodes: readonly PlannedNode[]
  /** Where the deployment is a job. */
  job?: JobPlan
}

export interface PlannedNode {
  nodeId: NodeId
  generation: number
  instances: number
  /** Of a job: what runs there. */
  runId?: string
}

/**
 * The plan after a person's command: `deployment` is to run now. A change that is still on its way is superseded; what it goes back
 * to is the last generation that is known to be good. A stopped deployment and a job take effect at once, without a rollout.
 */
export function changeTo(plan: ServicePlan | undefined, deployment: Deployment, wallMs: number): ServicePlan {
  const from = plan && lastGood(plan)
  const beginning = { to: deployment, from, nodes: plan?.nodes ?? [], wallMs }
  const isImmediate = deployment.isStopped || deployment.job !== undefined
  const changed: ServicePlan = {
    service: deployment.service,
    generation: deployment.generation,
    deployments: [...(plan?.deployments ?? []), deployment],
    rollout: isImmediate ? immediateRollout(beginning) : beginRollout(beginning),
    nodes: plan?.nodes ?? [],
    ...(deployment.job && !deployment.isStopped && { job: beginJob(deployment, wallMs, plan?.job) }),
  }
  return { ...changed, deployments: deploymentsInUse(changed) }
}

/** The change on its way goes back to what ran before (a first deployment is stopped); the same plan when none is on its way. */
export function cancelChange(plan: ServicePlan, reason: string, wallMs: number): ServicePlan {
  const rollout = cancelRollout(plan.rollout, reason, wallMs)
  return rollout === plan.rollout ? plan : withRollout(plan, rollout)
}

/** The plan with its rollout a step on: which generation is to run follows from it. */
export function withRollout(plan: ServicePlan, rollout: Rollout): ServicePlan {
  const generation = rollout.isReturning && rollout.from !== undefined ? rollout.from : rollout.to
  return { ...plan, rollout, generation }
}

/** The node's part of the plans; one entry a service that has something to do there. */
export function assignmentsOf(plans: readonly ServicePlan[], nodeId: NodeId): Assignment[] {
  return plans.flatMap((plan) => {
    const planned = plan.nodes.find((node) => node.nodeId === nodeId)
    if (!planned) return []
    const { generation, instances, runId } = planned
    const { service } = plan
    return {
      service,
      generation,
      instances,
      deployment: deploymentOf(plan, generation),
      ...(runId !== undefined && { run: { id: runId } }),
    }
  })
}

/** The deployment of a generation that is in use; without one, of the generation that is to run. */
export function deploymentOf(plan: ServicePlan, generation: number = plan.generation): Deployment {
  const found = plan.deployments.find((deployment) => deployment.generation === generation)
  assert(found, `${plan.service} has no generation ${generation} in use`)
  return found
}

/** The deployments that may still be asked for. */
export function deploymentsInUse({ deployments, generation, rollout, nodes }: ServicePlan): Deployment[] {
  const inUse = new Set([generation, rollout.to, ...nodes.map((node) => node.generation)])
  if (rollout.state === 'running' && rollout.from !== undefined) inUse.add(rollout.from)
  return deployments.filter((deployment) => inUse.has(deployment.generation))
}

/** What a new change goes back to when it fails. */
function lastGood(plan: ServicePlan): Deployment | undefined {
  const { rollout, generation } = plan
  if (isKeptStopped(rollout)) return undefined
  const good = rollout.state === 'running' ? rollout.from : generation
  const deployment = good === undefined ? undefined : deploymentOf(plan, good)
  return deployment?.isStopped || deployment?.job ? undefined : deployment
}
