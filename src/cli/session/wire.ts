/*
 * What the commands read of the HTTP answers; the node's OpenAPI document has the whole of it.
 */

export interface ClusterNode {
  node_id: string
  role: string
  status: 'alive' | 'suspected' | 'dead' | 'left'
  /** Told by coordinators: nothing is placed there; `drained` when nothing that was deployed runs there any more. */
  drain?: 'draining' | 'drained'
  address: string
  port: number
  addresses: string[]
  services: Record<string, { version: string; status: string; description: string; methods: string[] }>
  /** ISO 8601, as all times on the HTTP surface. */
  last_seen: string
  metadata: { started_at: string; version: string }
}

export interface ClusterNodes {
  nodes: ClusterNode[]
}

/** The data of a `member` event; `previous_status` is null for a node never seen before. */
export interface MemberChange {
  node: ClusterNode
  previous_status: ClusterNode['status'] | null
}

interface Traffic {
  frames: number
  bytes: number
  bytes_per_second: number
}

/** The result of `system/get_gossip_stats`. */
export interface GossipStats {
  node_id: string
  uptime_seconds: number
  health_score: number
  rumours: { queued: number; dropped: number }
  suspects: { node_id: string; since: string }[]
  probes_failed: number
  refutations: number
  interval_seconds: number
  interval_reason: string
  state_exchanges: number
  sent: Traffic
  received: Traffic
  bytes_saved: number
  unsent: number
  dropped: Record<string, number>
  sessions: { node_id: string; address: string; opened_here: boolean }[]
}

/** One copy of a service on the node that tells of it. */
export interface InstanceView {
  id: string
  state: string
  health: string
  version: string
  pid?: number
  restarts: number
  reason?: string
  ports?: Record<string, number>
}

export interface ServiceView {
  status: string
  health: string | null
  info: {
    name: string
    version: string
    description: string
    metadata: { builtin: boolean; started_at: string | null; failure: string | null }
  }
  methods: string[]
  /** Absent from nodes of an earlier version. */
  runtime?: { kind: string; origin: string; instances: InstanceView[] }
}

export interface MethodView {
  name: string
  description: string
  /** JSON Schema. */
  params: JsonSchema | null
  result: JsonSchema | null
  /** It answers with a stream; `item` is the schema of each item. */
  stream?: boolean
  item?: JsonSchema | null
  required_role: string
  timeout_ms: number
  cache_ttl_ms: number
}

export interface ServiceDetails extends ServiceView {
  method_details: MethodView[]
}

export interface NodeStatus {
  node_id: string
  role: string
  cluster: string
  version: string
  status: string
  started_at: string
  addresses: string[]
  services: { total: number; healthy: number; degraded: number }
  members: { alive: number; suspected: number; dead: number; left: number }
  certificate: { serial: string; not_after?: string }
  memory_rss_bytes?: number
  storage_bytes?: number
}

export interface LogLine {
  timestamp: string
  node_id: string
  level: string
  logger_name: string
  message: string
  fields: Record<string, unknown>
  trace_id?: string
}

/** The parts of JSON Schema that say how a parameter is typed in. */
export interface JsonSchema {
  type?: string | string[]
  description?: string
  properties?: Record<string, JsonSchema>
  required?: string[]
  enum?: unknown[]
  default?: unknown
  items?: JsonSchema
  anyOf?: JsonSchema[]
  additionalProperties?: boolean | JsonSchema
}

/** One event of the timeline. */
export interface ClusterEvent {
  id: string
  time: string
  kind: string
  severity: 'info' | 'warning' | 'error'
  title: string
  detail?: string
  node_id?: string
  service?: string
}
