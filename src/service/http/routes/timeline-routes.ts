import { z } from 'zod'
import { NetworkError, RpcError } from '../../../base/errors.ts'
import type { Timeline, TimelineEvent } from '../../../base/timeline.ts'
import { nearest } from '../../calls/missing-method.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { App } from '../fastify-app.ts'
import { groupStream } from '../group-stream.ts'
import type { RouteNeeds } from '../http-needs.ts'
import {
  cursorText,
  EVENT_CHOICE,
  EVENT_FILTER,
  EVENT_PAGE,
  eventFilterOf,
  positionOf,
  timelineEventWire,
} from '../timeline-wire.ts'
import { WHY_ANSWER, WHY_KINDS } from '../why-wire.ts'
import { answers, bodyOf, WIRE } from '../wire.ts'

const TAGS = ['events']
const AFTER = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional().register(WIRE, {
  description: 'Begin after the event with this id; `Last-Event-ID` wins. Absent: with the next event',
})

/** What happened in the cluster, and why something broke; on a coordinator. */
export function registerTimelineRoutes(app: App, needs: RouteNeeds): void {
  const { membership, services } = needs
  const timeline = (): Timeline => {
    if (needs.timeline) return needs.timeline
    throw coordinatorOnly(membership, 'keep the timeline of the cluster')
  }

  app.route({
    method: 'GET',
    url: '/api/events',
    schema: {
      operationId: 'listEvents',
      summary: 'What happened in the cluster, newest first',
      description:
        'One timeline: deployments, nodes that come and go, health of services, certificates, what people did, alerts, and error log lines, which are counted.',
      tags: TAGS,
      querystring: EVENT_FILTER,
      response: answers({ 200: EVENT_PAGE }),
    },
    handler: async ({ query: { limit, cursor, ...choice } }) => {
      const page = await timeline().query(eventFilterOf(choice), { limit, before: positionOf(cursor) })
      return {
        events: page.events.map(timelineEventWire),
        cursor: cursorText(page.next),
        latest: String(page.latest),
      }
    },
  })

  app.route({
    method: 'GET',
    url: '/api/events/follow',
    // Its headers say nothing, and there is no end to what it would have to throw away.
    exposeHeadRoute: false,
    schema: {
      operationId: 'followEvents',
      summary: 'What happens in the cluster, as server-sent events',
      description:
        'Events `events`: an array, in the order they were stored. The id is that of the last one: with `Last-Event-ID` nothing is missed or repeated. A comment comes every 15 s. The stream ends within ten minutes: connect again.',
      tags: TAGS,
      querystring: EVENT_CHOICE.omit({ until: true }).extend({ after: AFTER }),
      response: answers({ 200: bodyOf('text/event-stream', 'Events, until either side ends them') }),
    },
    handler: async (request, reply) => {
      const source = timeline()
      const { after, ...choice } = request.query
      const from = idOf(request.headers['last-event-id']) ?? after
      const slot = needs.watchers.take(request.caller)
      const events = groupStream<TimelineEvent>(
        needs,
        (signal) => source.subscribe(eventFilterOf(choice), { after: from, signal }),
        eventText,
      )
      events.once('close', () => slot[Symbol.dispose]())
      return reply.type('text/event-stream; charset=utf-8').send(events as unknown as string)
    },
  })

  app.route({
    method: 'GET',
    url: '/api/why/:kind/:name',
    schema: {
      operationId: 'explain',
      summary: 'Why a service or node is as it is: state, cause, what happened before, last log lines, remedy',
      tags: TAGS,
      params: z.strictObject({ kind: z.enum(WHY_KINDS), name: z.string().min(1).max(63) }),
      response: answers({ 200: WHY_ANSWER }),
    },
    handler: async ({ params: { kind, name } }) => {
      if (!needs.why) throw coordinatorOnly(membership, 'know why')
      const answer = await needs.why.why(kind, name)
      if (answer) return answer
      const names =
        kind === 'node'
          ? membership.members().map(({ record }) => record.nodeId)
          : services.list().map((one) => one.name)
      const near = nearest(name, names)
      const hint = near === undefined ? '' : `; did you mean ${near}?`
      if (kind === 'node') throw new NetworkError('P2P_NETWORK_NODE_UNKNOWN', `No node ${name} is known here${hint}`)
      throw new RpcError('P2P_SERVICE_NOT_FOUND', `No node has a service ${name}${hint}`)
    },
  })
}

/** JSON has no line breaks, so one data line is enough. */
function eventText(events: readonly TimelineEvent[]): string {
  return `event: events\nid: ${events.at(-1)?.id}\ndata: ${JSON.stringify(events.map(timelineEventWire))}\n\n`
}

/** What is no id is as good as none. */
function idOf(lastEventId: string | string[] | undefined): number | undefined {
  return typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : undefined
}
