import type { App } from '../fastify-app.ts'
import { healthOf } from '../health.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { clusterNode, isoTime, memberCounts } from '../node-view.ts'
import { answers, CLUSTER_NODES, STATUS } from '../wire.ts'

/** What this node knows of the cluster and of itself. */
export function registerClusterRoutes(app: App, needs: RouteNeeds): void {
  const { clock, membership, services, nodeFacts } = needs

  app.route({
    method: 'GET',
    url: '/cluster/nodes',
    schema: {
      operationId: 'listClusterNodes',
      summary: 'All nodes of the cluster, as this node sees them',
      tags: ['cluster'],
      response: answers({ 200: CLUSTER_NODES }),
    },
    handler: async () => {
      const nodes = membership.members().map((member) => clusterNode(member, clock.wallMs()))
      const present = nodes.filter(({ status }) => status === 'alive' || status === 'suspected')
      const coordinators = present.filter(({ role }) => role === 'coordinator').length
      return { nodes, cluster_size: present.length, coordinators, workers: present.length - coordinators }
    },
  })

  app.route({
    method: 'GET',
    url: '/api/status',
    schema: {
      operationId: 'getStatus',
      summary: 'This node: identity, age, services, members, resources',
      tags: ['cluster'],
      response: answers({ 200: STATUS }),
    },
    handler: async () => {
      const { record } = membership.self()
      const health = healthOf({ clock, services, nodeId: () => record.nodeId })
      const { certificateNotAfterMs, memoryRssBytes, storageBytes } = nodeFacts()
      return {
        node_id: record.nodeId,
        role: record.role,
        cluster: record.cluster,
        version: record.softwareVersion,
        status: health.status,
        started_at: isoTime(record.startedAtMs),
        uptime_s: Math.max(0, Math.round((clock.wallMs() - record.startedAtMs) / 1000)),
        addresses: record.addresses,
        services: health.services,
        members: memberCounts(membership),
        certificate: {
          serial: record.certificateSerial,
          ...(certificateNotAfterMs !== undefined && { not_after: isoTime(certificateNotAfterMs) }),
        },
        ...(memoryRssBytes !== undefined && { memory_rss_bytes: memoryRssBytes }),
        ...(storageBytes !== undefined && { storage_bytes: storageBytes }),
        timestamp: health.timestamp,
      }
    },
  })
}
