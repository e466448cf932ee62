import { z } from 'zod'
import { NetworkError, RpcError } from '../../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../../base/identity.ts'
import type { Clock } from '../../base/time.ts'
import {
  type Caller,
  DASHBOARD_METRICS,
  DASHBOARD_STATS,
  defineService,
  HISTORY_POINT,
  HISTORY_POINTS_DEFAULT,
  HISTORY_POINTS_MAX,
  HISTORY_RANGES,
  method,
  NODE_REPORT,
  NODE_SERVICE,
  type NodeService,
  type ServiceDefinition,
} from '../../service/index.ts'
import type { ClusterMetrics } from './cluster-metrics.ts'

export interface MetricsDashboardNeeds {
  clock: Clock
  /** Brings what a person asks of a node to it. */
  calls: Caller
  metrics: ClusterMetrics
  /** This coordinator: the word `coordinator` stands for it, as in the Python program. */
  nodeId: NodeId
}

const NOTHING = z.strictObject({})
const NODE = z.string().min(1).max(63).describe('Node id; `coordinator` is the one that is asked')
const SERVICE_NAME = z.string().min(1).max(63)
/** What nodes are asked to do; they keep to their own interval. */
const REPORT_INTERVAL_S = 4
/** A service may take as long as its own limits allow to stop and start again; nobody waits longer. */
const CONTROL_MS_MAX = 60_000

/** The service `metrics_dashboard` of a coordinator: takes the nodes' reports and tells what they said. */
export function createMetricsDashboardService(
  { clock, calls, metrics, nodeId: self }: MetricsDashboardNeeds,
  options: { softwareVersion: string },
): ServiceDefinition {
  const idOf = (node: string): NodeId => (node === 'coordinator' ? self : node)

  const servicesOf = (node: string): Record<string, NodeService> => {
    const { coordinator, workers } = metrics.metrics()
    const nodeId = idOf(node)
    const services = nodeId === self ? coordinator.services : workers[nodeId]?.services
    if (!services) throw unknownNode(node)
    return services
  }

  return defineService({
    name: 'metrics_dashboard',
    version: options.softwareVersion,
    description: 'What the nodes of the cluster measured',
    methods: {
      report_metrics: method({
        description: 'Takes what a node measured of itself',
        public: true,
        requiredRole: 'admin',
        params: NODE_REPORT,
        result: z.object({
          status: z.literal('received'),
          worker_id: z.string(),
          timestamp: z.string().describe('ISO 8601, UTC'),
          next_report_interval: z.number().describe('Seconds'),
        }),
        handler(report, { caller }) {
          const nodeId = reporterOf(caller, report.worker_id)
          if (!metrics.report(nodeId, report)) {
            throw new RpcError('P2P_RPC_OVERLOADED', 'This coordinator keeps the metrics of as many nodes as it can')
          }
          return {
            status: 'received' as const,
            worker_id: nodeId,
            timestamp: new Date(clock.wallMs()).toISOString(),
            next_report_interval: REPORT_INTERVAL_S,
          }
        },
      }),
      get_cluster_metrics: method({
        description: 'Shows what every node last told of its machine and services',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: DASHBOARD_METRICS,
        handler: () => metrics.metrics(),
      }),
      get_metrics_history: method({
        description: 'Shows what a node measured over time, oldest first',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({
          node_id: NODE,
          range: z.enum(HISTORY_RANGES).default('15m'),
          points: z.int().min(1).max(HISTORY_POINTS_MAX).default(HISTORY_POINTS_DEFAULT),
        }),
        result: z.object({ node_id: z.string(), history: z.array(HISTORY_POINT), count: z.int() }),
        async handler({ node_id: node, range, points }) {
          const history = await metrics.history(idOf(node), range, points)
          if (!history) throw unknownNode(node)
          return { node_id: idOf(node), history, count: history.length }
        },
      }),
      get_dashboard_stats: method({
        description: 'Tells how many nodes report, and since when',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: DASHBOARD_STATS,
        handler: () => metrics.stats(),
      }),
      get_cluster_services: method({
        description: 'Shows each service over all nodes: instances, versions, calls',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: z.object({ services: z.array(z.record(z.string(), z.unknown())), total: z.int() }),
        handler() {
          const services = metrics.services()
          return { services: services.map((service) => ({ ...service })), total: services.length }
        },
      }),
      get_service_metrics: method({
        description: 'Shows one service as one node runs it',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({ node_id: NODE, service_name: SERVICE_NAME }),
        result: z.object({ node_id: z.string(), service_name: z.string(), metrics: NODE_SERVICE }),
        handler({ node_id: node, service_name: name }) {
          const services = servicesOf(node)
          const found = Object.hasOwn(services, name) ? services[name] : undefined
          if (!found) throw new RpcError('P2P_SERVICE_NOT_FOUND', `Node ${idOf(node)} told of no service ${name}`)
          return { node_id: idOf(node), service_name: name, metrics: found }
        },
      }),
      get_service_data: method({
        description: 'Shows the services of every node, by node',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: z.object({
          timestamp: z.string(),
          service_data: z.record(z.string(), z.record(z.string(), NODE_SERVICE)),
        }),
        handler() {
          const { timestamp, coordinator, workers } = metrics.metrics()
          const byNode = Object.entries(workers).map(([nodeId, { services }]) => [nodeId, services] as const)
          return {
            timestamp,
            service_data: Object.fromEntries([[coordinator.node_id, coordinator.services] as const, ...byNode]),
          }
        },
      }),
      control_service: method({
        description: 'Starts, stops or restarts one service on one node; answered when it is done',
        public: true,
        requiredRole: 'operator',
        timeoutMs: CONTROL_MS_MAX,
        params: z.strictObject({
          worker_id: NODE,
          service_name: SERVICE_NAME,
          action: z.enum(['start', 'stop', 'restart']),
        }),
        result: z.object({
          success: z.literal(true),
          worker_id: z.string(),
          service_name: z.string(),
          action: z.string(),
        }),
        async handler({ worker_id: node, service_name: name, action }, call) {
          const { caller, relayedBy, traceId, spanId, hops = 0, deadlineMs, signal } = call
          const passedOn = { caller, relayedBy, traceId, parentSpanId: spanId, hops: hops + 1, deadlineMs, signal }
          const params = { service_name: name, action }
          // That node decides: of a service that calls, it sees the service.
          await calls.call('deploy_agent/control_service', params, passedOn, idOf(node))
          return { success: true as const, worker_id: idOf(node), service_name: name, action }
        },
      }),
      clear_metrics_history: method({
        description: 'Forgets what a node measured over time, or all nodes',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({ node_id: NODE.optional() }),
        result: z.object({ success: z.literal(true), cleared: z.int().describe('Nodes') }),
        handler: async ({ node_id: node }) => ({
          success: true as const,
          cleared: await metrics.clear(node === undefined ? undefined : idOf(node)),
        }),
      }),
    },
  })
}

/** Only a node itself may speak for a node, not a service on it, and no person. */
function reporterOf(caller: Principal, claimed: string): NodeId {
  if (caller.kind === 'node' && caller.service === undefined && caller.nodeId === claimed) return caller.nodeId
  const message = `${principalLabel(caller)} may not call metrics_dashboard/report_metrics for ${claimed}: a node reports itself only`
  throw new RpcError('P2P_RPC_ACCESS_DENIED', message, { method: 'metrics_dashboard/report_metrics' })
}

function unknownNode(node: string): NetworkError {
  const message = `Node ${node} has not told this coordinator of its metrics; "p2p nodes" lists the nodes`
  return new NetworkError('P2P_NETWORK_NODE_UNKNOWN', message, { node })
}
