import type { Permissions } from '../service-spec.ts'

/*
 * What the routes need of the orchestrator and its stores. They live in a layer above this one, which fits these interfaces by its
 * structure alone; units and meanings are told there (src/deploy/).
 */

export type UpdateStrategy =
  | { kind: 'rolling'; batch: number }
  | { kind: 'canary'; nodes: number; watchMs: number; batch: number }
  | { kind: 'all-at-once' }

export interface PlacementRule {
  labels: Readonly<Record<string, string>>
  spreadBy?: string
  perNodeMax?: number
}

export type JobRule =
  | { kind: 'once'; retries: number }
  | { kind: 'cron'; schedule: string; timeZone: string; retries: number }

export interface Deployment {
  service: string
  generation: number
  artifact: string
  version: string
  count: number | 'every'
  placement: PlacementRule
  update: UpdateStrategy
  healthyMs: number
  deadlineMs: number
  config: Readonly<Record<string, unknown>>
  secrets: Readonly<Record<string, string>>
  granted: Permissions
  dependsOn: readonly { service: string; healthy: boolean }[]
  reserve: { memoryMb: number; cpus: number }
  job?: JobRule
  isStopped: boolean
  by: string
  atMs: number
  reason: string
}

export interface DeployRequest {
  service: string
  artifact?: string
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
  job?: JobRule | null
  force?: boolean
  reason?: string
}

export interface DeployPlan {
  service: string
  fromVersion: string | undefined
  toVersion: string
  changes: { path: string; from: string | undefined; to: string | undefined }[]
  nodes: { nodeId: string; from: number; to: number; replaces: boolean }[]
  incompatible: { method: string; what: string; callers: string[] }[]
  refusals: { code: string; message: string }[]
  warnings: string[]
}

export const ROLLOUT_STATES = ['running', 'succeeded', 'rolled-back', 'failed', 'superseded'] as const
export type RolloutState = (typeof ROLLOUT_STATES)[number]

export const ROLLOUT_NODE_STATES = [
  'waiting',
  'fetching',
  'starting',
  'watching',
  'done',
  'failed',
  'returned',
] as const

export interface RolloutStatus {
  service: string
  generation: number
  fromVersion: string | undefined
  toVersion: string
  state: RolloutState
  reason: string | undefined
  done: number
  wanted: number
  nodes: { nodeId: string; state: (typeof ROLLOUT_NODE_STATES)[number]; reason?: string }[]
  startedAtMs: number
  endedAtMs: number | undefined
}

export interface DeploymentStatus {
  deployment: Deployment
  healthy: number
  running: number
  wanted: number
  instances: {
    nodeId: string
    id: string
    version: string
    generation: number
    state: string
    health: string
    restarts: number
    reason?: string
  }[]
  rollout: RolloutStatus | undefined
  problems: string[]
  job?: {
    nextRunMs: number | undefined
    runs: { atMs: number; nodeId: string; state: 'running' | 'succeeded' | 'failed'; exit?: string }[]
  }
}

export interface DeploymentHistoryEntry {
  deployment: Deployment
  state: RolloutState
  reason: string | undefined
  endedAtMs: number | undefined
}

/** The desired state of the cluster. All methods throw DeployError with the code that names the refusal. */
export interface DeploymentApi {
  list(): DeploymentStatus[]
  get(service: string): DeploymentStatus
  plan(request: DeployRequest): Promise<DeployPlan>
  deploy(request: DeployRequest, by: string): Promise<RolloutStatus>
  scale(service: string, count: number | 'every', by: string): Promise<RolloutStatus>
  rollback(service: string, by: string, generation?: number): Promise<RolloutStatus>
  start(service: string, by: string): Promise<RolloutStatus>
  stop(service: string, by: string): Promise<void>
  restart(service: string, by: string): Promise<RolloutStatus>
  remove(service: string, by: string): Promise<void>
  drain(nodeId: string, by: string): Promise<void>
  undrain(nodeId: string, by: string): Promise<void>
  history(service: string): Promise<DeploymentHistoryEntry[]>
  follow(service: string, signal: AbortSignal): AsyncIterable<RolloutStatus>
  onChange(listener: () => void): () => void
}

export interface SecretFacts {
  name: string
  version: number
  updatedAtMs: number
  by: string
  usedBy: string[]
}

/** Values go in and never come out. */
export interface SecretsApi {
  list(): SecretFacts[]
  set(name: string, value: string, by: string): Promise<SecretFacts>
  delete(name: string, by: string): Promise<void>
}
