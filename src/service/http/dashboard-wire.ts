import { z } from 'zod'
import { isNodeId } from '../../base/identity.ts'
import { isServiceName } from '../jsonrpc/index.ts'
import { WIRE } from './wire.ts'

const PERCENT = z.number().min(0).max(100)
const BYTES = z.number().min(0)
const PER_SECOND = z.number().min(0)
const NAME = z.string().min(1).max(63)

const told = <S extends z.ZodType>(schema: S, description: string): S => {
  const described = schema.describe(description)
  WIRE.add(described, { description })
  return described
}

/** A machine at one moment, with the field names of the Python program. */
export const MACHINE_METRICS = z
  .object({
    cpu_percent: told(PERCENT, 'Of all processors'),
    cpu_count: z.number(),
    memory: z.object({ percent: PERCENT, available: BYTES, used: BYTES, total: BYTES }),
    memory_usage_mb: told(BYTES, 'Of the P2P Core process, MiB'),
    disk: z.object({ percent: PERCENT, free: BYTES, used: BYTES, total: BYTES }),
    disk_io: told(
      z
        .object({ read_bytes: BYTES, write_bytes: BYTES, read_bytes_s: PER_SECOND, write_bytes_s: PER_SECOND })
        .nullable(),
      'Of all disks, since the machine started and now; null where the system does not count',
    ),
    network_io: told(
      z.object({ bytes_recv: BYTES, bytes_sent: BYTES, rx_bytes_s: PER_SECOND, tx_bytes_s: PER_SECOND }).nullable(),
      'Of all interfaces but loopback and bridges, since the machine started and now',
    ),
    load_average: told(z.array(z.number()).length(3), 'Over 1, 5 and 15 minutes; zeros on Windows'),
    process_count: z.number().nullable(),
    loop_lag_ms: told(z.number().min(0), "Longest delay of the node's event loop in the last second"),
    timestamp: z.iso.datetime(),
  })
  .register(WIRE, { id: 'MachineMetrics' })
export type MachineMetrics = z.infer<typeof MACHINE_METRICS>

/** A point of a graph: means over its time, but the longest of `loop_lag_ms`. */
export const HISTORY_POINT = z
  .object({
    timestamp: z.iso.datetime(),
    cpu_percent: z.number(),
    memory_percent: z.number(),
    disk_percent: z.number(),
    network_rx_bytes_s: z.number(),
    network_tx_bytes_s: z.number(),
    load_1: z.number(),
    loop_lag_ms: z.number(),
  })
  .register(WIRE, { id: 'HistoryPoint' })
export type HistoryPoint = z.infer<typeof HISTORY_POINT>

/** A point of a service's graph, over all nodes: means over its time, but the longest of `p99_ms`. */
export const SERVICE_POINT = z
  .object({
    timestamp: z.iso.datetime(),
    calls_per_s: told(z.number(), 'Finished calls, failed ones included'),
    errors_per_s: z.number(),
    p50_ms: told(z.number().nullable(), 'Null where nothing was called'),
    p99_ms: z.number().nullable(),
  })
  .register(WIRE, { id: 'ServicePoint' })
export type ServicePoint = z.infer<typeof SERVICE_POINT>

/** How far back a graph goes. */
export const HISTORY_RANGES = ['15m', '1h', '6h', '1d', '7d', '30d'] as const
export type HistoryRange = (typeof HISTORY_RANGES)[number]

/** Points of one graph at most, and how many come without being asked for. */
export const HISTORY_POINTS_MAX = 1_000
export const HISTORY_POINTS_DEFAULT = 100

const CALL_FIGURES = {
  calls_per_s: told(z.number(), 'Finished calls, failed ones included'),
  error_ratio: told(z.number(), '0 to 1'),
  p50_ms: told(z.number().nullable(), 'Null while nothing is called'),
  p99_ms: z.number().nullable(),
}

/** A service as one node runs it. */
export const NODE_SERVICE = z
  .object({
    status: z.string(),
    installed: z.boolean(),
    description: z.string(),
    version: z.string(),
    wanted: z.int(),
    running: z.int(),
    healthy: z.int(),
    restarts: z.int(),
    reason: told(z.string().optional(), 'Why it fails'),
    memory_bytes: told(z.number().optional(), 'Of its processes; absent when it has none of its own'),
    cpu_percent: told(z.number().optional(), 'Of one core'),
    ...CALL_FIGURES,
  })
  .register(WIRE, { id: 'NodeService' })
export type NodeService = z.infer<typeof NODE_SERVICE>

/** Figures of the dashboard's own working. */
export const DASHBOARD_STATS = z.object({
  uptime_seconds: z.number(),
  uptime_start: z.iso.datetime(),
  active_workers: told(z.int(), 'Workers that reported within the last 15 seconds'),
  total_updates: told(z.int(), 'Reports since the start'),
  total_services: z.int(),
  active_services: z.int(),
  last_cleanup: told(z.iso.datetime().nullable(), 'When the history of a node that left was last dropped'),
})

export type DashboardStats = z.infer<typeof DASHBOARD_STATS>

const NODE_SERVICES = z.record(z.string(), NODE_SERVICE)

/** All machines and their services, as they last told. */
export const DASHBOARD_METRICS = z
  .object({
    timestamp: z.iso.datetime(),
    coordinator: z.object({
      node_id: z.string(),
      timestamp: z.iso.datetime(),
      metrics: MACHINE_METRICS.nullable(),
      services: NODE_SERVICES,
      cluster_state: z.object({
        total_workers: z.int(),
        connected_workers: z.int(),
        total_nodes: z.int(),
        nodes: z.array(z.string()),
      }),
    }),
    workers: told(
      z.record(
        z.string(),
        z.object({ metrics: MACHINE_METRICS, services: NODE_SERVICES, timestamp: z.iso.datetime() }),
      ),
      'By node id; other coordinators are among them',
    ),
    stats: DASHBOARD_STATS,
  })
  .register(WIRE, { id: 'DashboardMetrics' })
export type DashboardMetrics = z.infer<typeof DASHBOARD_METRICS>

/** A service over all nodes that are alive. */
export interface ServiceFigures {
  name: string
  wanted: number
  running: number
  healthy: number
  versions: string[]
  calls_per_s: number
  error_ratio: number
  p50_ms: number | null
  p99_ms: number | null
  nodes: string[]
}

/** Calls that one node made of another's services. */
export interface CallEdge {
  from: string
  to: string
  calls_per_s: number
}

/** What somebody should look at, the worst first. */
export interface AttentionItem {
  /** The same as long as the trouble is the same. */
  id: string
  severity: 'info' | 'warning' | 'error'
  title: string
  detail: string
  node_id?: string
  service?: string
  remedy?: string
  /** ISO 8601, UTC. */
  since: string
}

/** One service of a node, as the node tells it. */
const SERVICE_REPORT = z.object({
  status: z.string().max(32),
  version: z.string().max(128),
  wanted: z.int().min(0),
  running: z.int().min(0),
  healthy: z.int().min(0),
  restarts: z.int().min(0),
  reason: z.string().max(500).optional(),
  memory_bytes: BYTES.optional(),
  cpu_percent: z.number().min(0).optional(),
  calls: told(z.int().min(0), 'Calls that ended in the time of the report'),
  errors: z.int().min(0),
  durations: told(
    z.array(z.tuple([z.number().min(0).nullable(), z.int().min(0)])).max(64),
    'Of these calls: upper bound in milliseconds, null for none, and how many took at most so long and longer than the one before',
  ),
})
export type ServiceReport = z.infer<typeof SERVICE_REPORT>

/** What a node tells a coordinator of itself every few seconds. Unknown keys are passed over, so that versions can differ. */
export const NODE_REPORT = z.object({
  worker_id: told(NAME, 'The calling node; it speaks only for itself'),
  sent_at: told(z.number(), "The node's clock, Unix milliseconds"),
  seconds: told(z.number().positive().max(86_400), 'Time the calls below were made in'),
  metrics: MACHINE_METRICS,
  services: told(z.record(NAME.refine(isServiceName, 'is no name of a service'), SERVICE_REPORT), 'By name').refine(
    (services) => Object.keys(services).length <= 512,
    'holds more than 512 services',
  ),
  called_by: told(
    z.record(NAME.refine(isNodeId, 'is no node id'), z.int().min(0)),
    'Calls of services here in that time, by the node they came from',
  ).refine((callers) => Object.keys(callers).length <= 4_096, 'names more than 4,096 nodes'),
  certificate: z.object({ not_before: z.number(), not_after: z.number() }).optional().describe('Unix milliseconds'),
})
export type NodeReport = z.infer<typeof NODE_REPORT>
