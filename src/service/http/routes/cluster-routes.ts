import type { App } from '../fastify-app.ts'
import { healthOf } from '../health.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { clusterNodes, isoTime, memberCounts } from '../node-view.ts'
import { jittered, untilChanged } from '../until-changed.ts'
import { INDEX_HEADER, WATCH_QUERY } from '../watch-query.ts'
import { answers, CLUSTER_NODES, STATUS } from '../wire.ts'

/** What this node knows of the cluster and of itself. */
export function registerClusterRoutes(app: App, needs: RouteNeeds): void {
  const { clock, random, membership, services, nodeFacts, feed, watchers } = needs

  app.route({
    method: 'GET',
    url: '/cluster/nodes',
    schema: {
      operationId: 'listClusterNodes',
      summary: 'All nodes of the cluster, as this node sees them, at once or at the next change',
      description:
        'Every answer has the header `X-P2P-Index`. Sent back as `index`, the answer comes at the next change, or after `wait`; any other number is answered at once.',
      tags: ['cluster'],
      querystring: WATCH_QUERY,
      response: answers({ 200: CLUSTER_NODES }),
    },
    handler: async ({ query: { index, wait: waitMs }, caller }, reply) => {
      if (index === feed.index) {
        using _slot = watchers.take(caller)
        await untilChanged({ feed, clock }, { index, waitMs: jittered(waitMs, random), response: reply.raw })
      }
      void reply.header(INDEX_HEADER, feed.index)
      return clusterNodes(needs, clock.wallMs())
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
