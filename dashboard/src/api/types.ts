/** What the node's routes and its WebSocket say; field names as on the wire. */

export type Role = 'viewer' | 'operator' | 'admin'
export type NodeStatus = 'alive' | 'suspected' | 'dead' | 'left'
export type LogLevel = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR' | 'CRITICAL'

/** One row of `GET /cluster/nodes`. */
export interface ClusterNode {
  node_id: string
  address: string
  port: number
  role: 'coordinator' | 'worker'
  status: NodeStatus
  /** Nothing is placed there; `drained` when nothing that was deployed runs there any more. */
  drain?: 'draining' | 'drained'
  services: Record<string, { version: string; status: string; description: string; methods: string[] }>
  addresses: string[]
  /** Not told over the WebSocket of a node that is alive: it would change with every message. */
  last_seen?: string
  metadata: {
    started_at: string
    version: string
    cpus: number
    memory_bytes: number
    labels: Record<string, string>
  }
}

/** What a node measures of its machine. */
export interface HostMetrics {
  cpu_percent: number
  cpu_count: number
  memory: { percent: number; available: number; used: number; total: number }
  disk?: { percent: number; free: number; used: number; total: number } | null
  load_average?: number[] | null
  process_count?: number | null
  timestamp?: string | number
}

/** A moment of a node's history. */
export interface HistoryPoint {
  timestamp: string | number
  cpu_percent: number | null
  memory_percent: number | null
  disk_percent?: number | null
  network_rx_bytes_s?: number | null
  network_tx_bytes_s?: number | null
  load_1?: number | null
  loop_lag_ms?: number | null
}

/** A moment of a service's calls on all nodes. */
export interface ServicePoint {
  timestamp: string
  calls_per_s: number
  errors_per_s: number
  /** Null where nothing was called. */
  p50_ms: number | null
  p99_ms: number | null
}

/** A service over the whole cluster. */
export interface ServiceSummary {
  name: string
  wanted: number
  running: number
  healthy: number
  versions: string[]
  calls_per_s?: number | null
  error_ratio?: number | null
  p50_ms?: number | null
  p99_ms?: number | null
  nodes: string[]
}

/** Calls that one node made of another's services. */
export interface CallEdge {
  from: string
  to: string
  calls_per_s: number
}

/** Something a person should look at. */
export interface Attention {
  /** That of the alert about the same trouble; a node of an older version tells none. */
  id?: string
  severity: 'info' | 'warning' | 'error'
  title: string
  detail?: string
  node_id?: string
  service?: string
  remedy?: string
  since?: string
}

export interface LogLine {
  timestamp: string
  node_id: string
  level: LogLevel
  logger_name: string
  message: string
  fields?: Record<string, unknown>
  trace_id?: string
  seq?: number
  cursor?: string
}

export interface Me {
  name: string
  role: Role
}

/** `GET /auth/account`. */
export interface Account extends Me {
  /** False for the holder of the operator credential, who has none of the rest. */
  is_user: boolean
  has_code: boolean
  passkeys: Passkey[]
  sessions: UserSession[]
}

export interface Passkey {
  id: string
  label: string
  /** It works where the dashboard is opened by this name. */
  host: string
  created_at_ms: number
  used_at_ms?: number
}

export interface UserSession {
  id: string
  kind: 'browser' | 'program'
  from: string
  created_at_ms: number
  ends_at_ms: number
  is_current: boolean
}

/** One row of `GET /api/users`. */
export interface User extends Me {
  created_at_ms: number
  created_by: string
  has_password: boolean
  has_code: boolean
  sessions: number
  invitation_ends_ms?: number
}

export interface ClusterFacts {
  name: string
  node_id: string
  version: string
  coordinators?: string[]
}

/** `GET /services/{name}`: a service of the node that is asked. */
export interface ServiceDetails {
  status: string
  health: string | null
  info: { name: string; version: string; description: string; metadata: { failure: string | null } }
  runtime?: { kind: string; origin: string; is_stopped: boolean; wanted: number }
  method_details: MethodDetails[]
}

export interface MethodDetails {
  name: string
  description: string
  params: JsonSchema | null
  result: JsonSchema | null
  required_role: Role
}

/** As much of JSON Schema as the call form understands; the rest is entered as JSON. */
export interface JsonSchema {
  type?: string | string[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  enum?: unknown[]
  default?: unknown
  description?: string
  minimum?: number
  maximum?: number
  [keyword: string]: unknown
}

export interface Instance {
  node_id: string
  id: string
  version: string
  generation?: number
  state: string
  health: string
  restarts: number
  reason?: string
}

export interface Rollout {
  generation: number
  from_version?: string
  to_version: string
  state: string
  reason?: string
  done: number
  wanted: number
  nodes?: { node_id: string; state: string; reason?: string }[]
  started_at_ms?: number
  ended_at_ms?: number
}

/** What `POST /api/deployments/{service}/plan` answers. */
export interface DeployPlan {
  from_version?: string
  to_version: string
  changes: { path: string; from?: string; to?: string }[]
  nodes: { node_id: string; from: number; to: number; replaces: boolean }[]
  incompatible: { method: string; what: string; callers: string[] }[]
  refusals: { code: string; message: string }[]
  warnings: string[]
}

/** A bundle that the cluster keeps. */
export interface Artifact {
  digest: string
  size_bytes: number
  service: string
  version: string
  stored_at_ms: number
}

/** One row of `GET /api/deployments`. */
export interface DeploymentStatus {
  deployment: {
    service: string
    generation: number
    artifact: string
    version: string
    count: number | 'every'
    is_stopped: boolean
    by: string
    at_ms: number
    reason: string
  }
  healthy: number
  running: number
  wanted: number
  instances: Instance[]
  rollout?: Rollout
  problems: string[]
}

export interface DeploymentHistoryEntry {
  deployment: DeploymentStatus['deployment']
  state: string
  reason?: string
}

export interface PendingNode {
  request_id: string
  node_id: string
  role: string
  fingerprint: string
  remote_address: string
  ip_addresses: string[]
  dns_names: string[]
  requested_at_ms: number
}

export interface IssuedCertificate {
  serial: string
  node_id: string
  role: string
  names?: string[]
  not_before_ms: number
  not_after_ms: number
  revoked_at_ms?: number
}

export interface CaFacts {
  cluster: string
  /** PEM, of the root and of the CA under it that issues. */
  ca_certificate: string
  issuing_certificate: string
  ca_fingerprint: string
  not_after_ms: number
  leaf_lifetime_ms: number
  issued: IssuedCertificate[]
}

/** `GET /api/ca/rotation`. */
export interface CaRotation {
  kind: 'root' | 'issuing'
  phase: 'distributing' | 'renewing' | 'dropping' | 'done'
  started_at_ms: number
  phase_since_ms: number
  nodes_total: number
  nodes_followed: number
  waiting_for: { node_id: string; status: string; missing: string }[]
  left_behind: string[]
}

export interface NodeBan {
  node_id: string
  reason?: string
  banned_at_ms: number
}

export interface JoinToken {
  token_id: string
  role: string
  uses_left: number
  expires_at_ms: number
}

/** What `GET /api/alerts` answers. */
export interface Alerts {
  alerts: Alert[]
  silences: {
    id: string
    alert_id?: string
    rule?: string
    node_id?: string
    service?: string
    until: string
    by: string
    reason?: string
  }[]
  targets: { name: string; waiting: number; lost: number; failure?: string; last_sent?: string }[]
}

export interface Alert {
  id: string
  rule: string
  state: 'firing' | 'resolved'
  severity: 'info' | 'warning' | 'error'
  title: string
  detail: string
  remedy?: string
  node_id?: string
  service?: string
  since: string
  resolved_at?: string
  is_flapping: boolean
  acknowledged?: { by: string; at: string; note?: string }
  silenced_until?: string
}

export interface AlertTest {
  results: { target: string; sent: boolean; duration_ms: number; failure?: string }[]
}

/** What `GET /api/why/{kind}/{name}` answers. */
export interface WhyAnswer {
  state: 'well' | 'degraded' | 'down' | 'stopped'
  summary: string
  cause?: { what: string; text: string; since?: string }
  before: TimelineEvent[]
  logs: { timestamp: string; node_id: string; level: string; logger_name: string; message: string }[]
  remedy?: string
}

/** One row of `GET /api/events`. */
export interface TimelineEvent {
  id: string
  time: string
  kind: string
  node_id?: string
  service?: string
  severity: 'info' | 'warning' | 'error'
  title: string
  detail?: string
}

/** One row of `GET /api/audit`. */
export interface AuditRecord {
  seq: number
  time: string
  phase: string
  act: string
  who: string
  role?: string
  target?: string
  outcome?: string
  detail?: string
}
