import type { NodeId } from './identity.ts'
import type { DeployPlan, DeployRequest, HistoryEntry, RolloutStatus, ServiceStatus } from './deployment.ts'

/** How far a node is with its drain: `drained` is one on which nothing that was deployed runs any more, or that is not there. */
export type DrainState = 'draining' | 'drained'

/**
 * The desired state of the cluster and how it is reached; on coordinators. Who asks is noted in the history. All changes are
 * durable before they are answered.
 */
export interface Orchestrator {
  list(): ServiceStatus[]
  /** @throws {DeployError} P2P_DEPLOY_UNKNOWN_SERVICE, as do the others below */
  get(service: string): ServiceStatus
  /** What `deploy` would do. Changes nothing. */
  plan(request: DeployRequest): Promise<DeployPlan>
  /**
   * @returns the rollout it began
   * @throws {DeployError} P2P_DEPLOY_REFUSED with the plan's refusals; P2P_DEPLOY_BUSY while another change of the service is on
   *   its way (`force` takes its place); P2P_DEPLOY_ARTIFACT_UNKNOWN
   */
  deploy(request: DeployRequest, by: string): Promise<RolloutStatus>
  scale(service: string, count: number | 'every', by: string): Promise<RolloutStatus>
  /** To the generation given, or the last one that succeeded before the present one. @throws P2P_DEPLOY_NO_EARLIER */
  rollback(service: string, by: string, generation?: number): Promise<RolloutStatus>
  start(service: string, by: string): Promise<RolloutStatus>
  stop(service: string, by: string): Promise<void>
  /** One instance after the other. */
  restart(service: string, by: string): Promise<RolloutStatus>
  /** The deployment and its history; the artifact when nobody else uses it. Resolves when the nodes that are there have ended it, after 15 s at the latest. */
  remove(service: string, by: string): Promise<void>
  /** Moves everything away from the node, and places nothing there until `undrain`. */
  drain(nodeId: NodeId, by: string): Promise<void>
  undrain(nodeId: NodeId, by: string): Promise<void>
  /** The nodes on which nothing is placed until `undrain`. */
  drains(): ReadonlyMap<NodeId, DrainState>
  history(service: string): Promise<HistoryEntry[]>
  /** Ends when the rollout has ended; each value is the status after a change. */
  follow(service: string, signal: AbortSignal): AsyncIterable<RolloutStatus>
  /** Called at every change that `list` or `drains` shows. */
  onChange(listener: () => void): () => void
}
