import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { memberEvents } from '../member-events.ts'
import { answers, bodyOf } from '../wire.ts'

/** The cluster's changes as they happen. */
export function registerEventRoutes(app: App, needs: RouteNeeds): void {
  app.route({
    method: 'GET',
    url: '/cluster/events',
    // Its headers say nothing, and there is no end to what it would have to throw away.
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchCluster',
      summary: 'The nodes of the cluster, then every change, as server-sent events',
      description:
        'First `snapshot`, whose data is what `GET /cluster/nodes` answers, then `member` for each change: `{node, previous_status}`, `previous_status` null for a node never seen before. With `Last-Event-ID` it goes on after that event while the node still has what followed (the last 1,000 changes), else it begins with a snapshot. A comment comes every 15 s. The stream ends within ten minutes, or when the reader is too slow: connect again.',
      tags: ['cluster'],
      response: answers({ 200: bodyOf('text/event-stream', 'Events, until either side ends them') }),
    },
    handler: async (request, reply) => {
      const slot = needs.watchers.take(request.caller)
      const events = memberEvents(needs, indexOf(request.headers['last-event-id']))
      events.once('close', () => slot[Symbol.dispose]())
      return reply.type('text/event-stream; charset=utf-8').send(events as unknown as string)
    },
  })
}

/** What is no number of ours asks for a snapshot, as no number does. */
function indexOf(lastEventId: string | string[] | undefined): number | undefined {
  return typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : undefined
}
