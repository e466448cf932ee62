/*
 * What the commands read and send of the HTTP surface about deployments; the node's OpenAPI document has the whole of it.
 */

export interface DeploymentView {
  service: string
  generation: number
  artifact: string
  version: string
  count: number | 'every'
  job?: { kind: 'once' } | { kind: 'cron'; schedule: string; time_zone: string }
  is_stopped: boolean
  by: string
  /** Unix milliseconds, as all fields that end so. */
  at_ms: number
  reason: string
}

export type RolloutState = 'running' | 'succeeded' | 'rolled-back' | 'failed' | 'superseded'
export type RolloutNodeState = 'waiting' | 'fetching' | 'starting' | 'watching' | 'done' | 'failed' | 'returned'

export interface RolloutView {
  service: string
  generation: number
  from_version?: string
  to_version: string
  state: RolloutState
  reason?: string
  done: number
  wanted: number
  nodes: { node_id: string; state: RolloutNodeState; reason?: string }[]
  started_at_ms: number
  ended_at_ms?: number
}

export interface DeploymentInstance {
  node_id: string
  id: string
  version: string
  generation: number
  state: string
  health: string
  restarts: number
  reason?: string
  ports?: Record<string, number>
}

export interface DeploymentStatusView {
  deployment: DeploymentView
  healthy: number
  running: number
  wanted: number
  instances: DeploymentInstance[]
  rollout?: RolloutView
  problems: string[]
  job?: {
    next_run_ms?: number
    runs: { at_ms: number; node_id: string; state: 'running' | 'succeeded' | 'failed'; exit?: string }[]
  }
}

export interface PlanView {
  service: string
  from_version?: string
  to_version: string
  changes: { path: string; from?: string; to?: string }[]
  nodes: { node_id: string; from: number; to: number; replaces: boolean }[]
  incompatible: { method: string; what: string; callers: string[] }[]
  refusals: { code: string; message: string }[]
  warnings: string[]
}

export interface HistoryView {
  deployment: DeploymentView
  state: RolloutState
  reason?: string
  ended_at_ms?: number
}

export interface UploadView {
  digest: string
  size_bytes: number
  offset: number
  artifact?: { service: string; version: string }
}

export interface SecretView {
  name: string
  version: number
  updated_at_ms: number
  by: string
  used_by: string[]
}

/** Body of a deploy and of a plan. */
export interface DeployBody {
  artifact?: string
  count?: number | 'every'
  placement?: { labels: Record<string, string>; spread_by?: string; per_node_max?: number }
  update?:
    | { kind: 'rolling'; batch: number }
    | { kind: 'canary'; nodes: number; watch_ms: number; batch: number }
    | { kind: 'all-at-once' }
  config?: Record<string, unknown>
  secrets?: Record<string, string>
  granted?: { net: boolean; child_process: boolean; read: string[]; write: string[] }
  job?:
    | { kind: 'once'; retries: number }
    | { kind: 'cron'; schedule: string; time_zone: string; retries: number }
    | null
  healthy_ms?: number
  deadline_ms?: number
  depends_on?: { service: string; healthy: boolean }[]
  reserve?: { memory_mb: number; cpus: number }
  force?: boolean
  reason?: string
}

/** Path of a service's deployment, with what follows it. */
export function deploymentPath(service: string, rest = ''): string {
  return `/api/deployments/${encodeURIComponent(service)}${rest}`
}
