import type { NodeId } from '../base/identity.ts'
import type { ArtifactDigest, Deployment, JobRule, PlacementRule, UpdateStrategy } from './model.ts'
import type { Permissions } from '../service/index.ts'

/** What a person asks for; what is left out stays as it was, or gets its default for a new service. */
export interface DeployRequest {
  service: string
  artifact?: ArtifactDigest
  count?: number | 'every'
  placement?: PlacementRule
  update?: UpdateStrategy
  healthyMs?: number
  deadlineMs?: number
  config?: Record<string, unknown>
  secrets?: Record<string, string>
  granted?: Permissions
  dependsOn?: { service: string; healthy: boolean }[]
  reserve?: { memoryMb: number; cpus: number }
  /** null: it is a service that stays, and a job no more. */
  job?: JobRule | null
  /** Deploys although running callers use a method that would vanish or change incompatibly, or although the version goes backwards. */
  force?: boolean
  reason?: string
}

/** What a deployment would change, like a diff; made before it, with nothing changed. */
export interface DeployPlan {
  service: string
  fromVersion: string | undefined
  toVersion: string
  /** Field by field; values as short text. */
  changes: { path: string; from: string | undefined; to: string | undefined }[]
  /** By node: instances before and after. */
  nodes: { nodeId: NodeId; from: number; to: number; replaces: boolean }[]
  /** Methods that vanish or change so that a caller could break, and who calls them. */
  incompatible: { method: string; what: string; callers: string[] }[]
  /** Reasons why it would be refused; empty: it would be done. */
  refusals: { code: string; message: string }[]
  /** What a person should know beforehand. */
  warnings: string[]
}

export type RolloutState = 'running' | 'succeeded' | 'rolled-back' | 'failed' | 'superseded'

/** One change of a service on its way through the cluster. */
export interface RolloutStatus {
  service: string
  generation: number
  fromVersion: string | undefined
  toVersion: string
  state: RolloutState
  /** Why, for people: what failed where, and the remedy. */
  reason: string | undefined
  /** Of all instances: how many are of the new generation and healthy. */
  done: number
  wanted: number
  nodes: {
    nodeId: NodeId
    state: 'waiting' | 'fetching' | 'starting' | 'watching' | 'done' | 'failed' | 'returned'
    reason?: string
  }[]
  startedAtMs: number
  endedAtMs: number | undefined
}

export interface HistoryEntry {
  deployment: Deployment
  state: RolloutState
  reason: string | undefined
  endedAtMs: number | undefined
}

export interface ServiceStatus {
  deployment: Deployment
  /** Healthy, running, wanted, over all nodes. */
  healthy: number
  running: number
  wanted: number
  instances: {
    nodeId: NodeId
    id: string
    version: string
    generation: number
    state: string
    health: string
    restarts: number
    reason?: string
  }[]
  rollout: RolloutStatus | undefined
  /** Why fewer run than wanted, for people. */
  problems: string[]
  job?: {
    nextRunMs: number | undefined
    runs: { atMs: number; nodeId: NodeId; state: 'running' | 'succeeded' | 'failed'; exit?: string }[]
  }
}

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
  history(service: string): Promise<HistoryEntry[]>
  /** Ends when the rollout has ended; each value is the status after a change. */
  follow(service: string, signal: AbortSignal): AsyncIterable<RolloutStatus>
  /** Called at every change that `list` shows. */
  onChange(listener: () => void): () => void
}
