export {
  createDeployCoordinator,
  type DeployCoordinator,
  type DeployCoordinatorNeeds,
  type DeployCoordinatorOptions,
} from './deploy-coordinator.ts'
export type { OrchestratorArtifacts } from './orchestrator-artifacts.ts'
export {
  createUpgradeCoordinator,
  type UpgradeCoordinator,
  type UpgradeCoordinatorNeeds,
} from '../program/upgrade-coordinator.ts'
