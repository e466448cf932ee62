import { z } from 'zod'
import { NetworkError, RpcError } from '../../../base/errors.ts'
import type { NodeId } from '../../../base/identity.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { DashboardSource } from '../dashboard-source.ts'
import {
  DASHBOARD_METRICS,
  DASHBOARD_STATS,
  HISTORY_POINT,
  HISTORY_POINTS_DEFAULT,
  HISTORY_POINTS_MAX,
  HISTORY_RANGES,
  type HistoryPoint,
  SERVICE_POINT,
} from '../dashboard-wire.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const GRAPH = z.strictObject({
  range: z.enum(HISTORY_RANGES).default('15m'),
  points: z.coerce.number().int().min(1).max(HISTORY_POINTS_MAX).default(HISTORY_POINTS_DEFAULT),
})
const ROWS =
  'Of the last 15 minutes a point every four seconds, of a day every minute, of 30 days every hour. Where there are more points than asked for, neighbours are put together.'

/** What the machines and services of the cluster measured; on a coordinator. The live form is `/ws/dashboard`. */
export function registerDashboardRoutes(app: App, { dashboard, membership }: RouteNeeds): void {
  const tags = ['dashboard']
  const source = (): DashboardSource => {
    if (dashboard) return dashboard
    throw coordinatorOnly(membership, 'keep the metrics of the cluster')
  }
  /** In the Python program the word `coordinator` names the one that is asked. */
  const idOf = (node: string): NodeId => (node === 'coordinator' ? membership.self().record.nodeId : node)

  app.route({
    method: 'GET',
    url: '/api/dashboard/metrics',
    schema: {
      operationId: 'getDashboardMetrics',
      summary: 'What every node last told of its machine and services',
      tags,
      response: answers({ 200: DASHBOARD_METRICS }),
    },
    handler: async () => source().metrics(),
  })

  app.route({
    method: 'GET',
    url: '/api/dashboard/full-data',
    schema: {
      operationId: 'getDashboardData',
      summary: 'The same with the newest points of every graph',
      tags,
      response: answers({
        200: z.object({
          timestamp: z.iso.datetime(),
          metrics: DASHBOARD_METRICS,
          history: z.record(z.string(), z.array(HISTORY_POINT)),
        }),
      }),
    },
    handler: async (_request, reply) => {
      const metrics = source().metrics()
      const nodeIds = source()
        .machines()
        .map(({ nodeId }) => nodeId)
      const points = pointsPerNode(nodeIds.length)
      const history = nodeIds.map((nodeId): [NodeId, HistoryPoint[]] => [nodeId, source().recent(nodeId, 0, points)])
      const data = { timestamp: metrics.timestamp, metrics, history: Object.fromEntries(history) }
      // As it is: checking ten thousand points again would hold up everything else.
      return reply.type('application/json').send(Buffer.from(JSON.stringify(data)) as never)
    },
  })

  app.route({
    method: 'GET',
    url: '/api/dashboard/history/:node',
    schema: {
      operationId: 'getDashboardHistory',
      summary: 'What a node measured over time, oldest first',
      description: ROWS,
      tags,
      params: z.strictObject({
        node: z.string().min(1).max(63).register(WIRE, { description: 'Node id; `coordinator` is the one asked' }),
      }),
      querystring: GRAPH,
      response: answers({
        200: z.object({ node_id: z.string(), history: z.array(HISTORY_POINT), count: z.int() }),
      }),
    },
    handler: async ({ params, query: { range, points } }) => {
      const nodeId = idOf(params.node)
      const history = await source().history(nodeId, range, points)
      if (history) return { node_id: nodeId, history, count: history.length }
      const message = `Node ${params.node} has not told this coordinator of its metrics; GET /cluster/nodes lists the nodes`
      throw new NetworkError('P2P_NETWORK_NODE_UNKNOWN', message, { node: params.node })
    },
  })

  app.route({
    method: 'GET',
    url: '/api/dashboard/services/:service/history',
    schema: {
      operationId: 'getServiceHistory',
      summary: 'Calls of a service on all nodes over time, how many failed and how long they took; oldest first',
      description: ROWS,
      tags,
      params: z.strictObject({ service: z.string().min(1).max(63) }),
      querystring: GRAPH,
      response: answers({
        200: z.object({ service: z.string(), history: z.array(SERVICE_POINT), count: z.int() }),
      }),
    },
    handler: async ({ params: { service }, query: { range, points } }) => {
      const history = await source().serviceHistory(service, range, points)
      if (history) return { service, history, count: history.length }
      const message = `No node has told this coordinator of a service ${service}; "p2p services" lists them`
      throw new RpcError('P2P_SERVICE_NOT_FOUND', message, { service })
    },
  })

  app.route({
    method: 'GET',
    url: '/api/dashboard/stats',
    schema: {
      operationId: 'getDashboardStats',
      summary: 'How many nodes report, and since when',
      tags,
      response: answers({ 200: DASHBOARD_STATS }),
    },
    handler: async () => source().stats(),
  })

  app.route({
    method: 'GET',
    url: '/ws/dashboard',
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchDashboard',
      summary: 'Everything a dashboard shows, live: a WebSocket (RFC 6455) over HTTP/1.1; on a coordinator',
      description: 'Messages are JSON texts, as docs/protocol/http.md tells. Asked without an upgrade it answers 426.',
      tags,
      response: answers({}),
    },
    handler: async () => {
      throw new RpcError('P2P_HTTP_UPGRADE_REQUIRED', '/ws/dashboard is a WebSocket: open it with a WebSocket client')
    },
  })
}

/** Points of all graphs together, so that a large cluster's page does not begin with many megabytes. */
const POINTS_TOTAL_MAX = 10_000
const POINTS_PER_NODE_MIN = 10

/** How many of its newest points each of so many nodes is shown with. */
export function pointsPerNode(nodes: number): number {
  const share = Math.floor(POINTS_TOTAL_MAX / Math.max(1, nodes))
  return Math.max(POINTS_PER_NODE_MIN, Math.min(HISTORY_POINTS_DEFAULT, share))
}
