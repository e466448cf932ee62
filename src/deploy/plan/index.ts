export { AWAY_GRACE_MS, type PlanNode } from './plan-node.ts'
export { place, type Placement, type PlacementInput, type ServicePlacement } from './place.ts'
export { reconcile, type Reconciled, type ReconcileInput } from './reconcile.ts'
export {
  assignmentsOf,
  cancelChange,
  changeTo,
  deploymentOf,
  type PlannedNode,
  type ServicePlan,
} from './service-plan.ts'
export { isKeptStopped, type Rollout, type RolloutNode } from './rollout.ts'
export type { JobAttempt, JobPlan, JobRun, JobSlot } from './job.ts'
export { nextRunMs, scheduleProblem } from './cron.ts'
export { type Presence, startOrder, unmetDependency } from './dependencies.ts'
export {
  incompatibilities,
  type Incompatibilities,
  type MethodChange,
} from './compatibility/incompatibilities.ts'
export { diffDeployments } from './diff-deployments.ts'
export { planDeployment, type PlanDeploymentInput, type RefusalCode } from './plan-deployment.ts'
export { versionGoesBackwards } from './version.ts'
