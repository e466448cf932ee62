import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { principalLabel } from '../../../base/identity.ts'
import { ALERT_TEST, ALERTS, type AlertsApi, SILENCE, SILENCE_REQUEST } from '../alert-wire.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers } from '../wire.ts'

const TAGS = ['alerts']
const DONE = z.object({ success: z.literal(true) })
const ALERT_ID = z.string().min(1).max(256)

/** What fires, and who takes care of it; on a coordinator. */
export function registerAlertRoutes(app: App, needs: RouteNeeds): void {
  const alerts = (): AlertsApi => {
    if (needs.alerts) return needs.alerts
    throw coordinatorOnly(needs.membership, 'watch over the cluster')
  }

  app.route({
    method: 'GET',
    url: '/api/alerts',
    schema: {
      operationId: 'listAlerts',
      summary: 'What fires, what was over within the last day, what is silenced, and whom alerts are sent to',
      tags: TAGS,
      response: answers({ 200: ALERTS }),
    },
    handler: async () => alerts().list(),
  })

  app.route({
    method: 'POST',
    url: '/api/alerts/acknowledge',
    schema: {
      operationId: 'acknowledgeAlert',
      summary: 'Says that somebody takes care of an alert: nobody is reminded of it any more',
      tags: TAGS,
      body: z.strictObject({ id: ALERT_ID, note: z.string().max(300).optional() }),
      response: answers({ 200: DONE }),
    },
    handler: async ({ body: { id, note }, caller }) => {
      if (await alerts().acknowledge(id, principalLabel(caller), note)) return { success: true as const }
      throw new RpcError('P2P_HTTP_NOT_FOUND', `No alert ${id} fires`)
    },
  })

  app.route({
    method: 'POST',
    url: '/api/alerts/silences',
    schema: {
      operationId: 'silenceAlerts',
      summary: 'Sends nobody a word of some alerts until a time; they are still shown',
      tags: TAGS,
      body: SILENCE_REQUEST,
      response: answers({ 201: SILENCE }),
    },
    handler: async ({ body, caller }, reply) =>
      reply.code(201).send(await alerts().silence(body, principalLabel(caller))),
  })

  app.route({
    method: 'DELETE',
    url: '/api/alerts/silences/:id',
    schema: {
      operationId: 'endSilence',
      summary: 'Ends a silence before its time',
      tags: TAGS,
      params: z.strictObject({ id: z.string().min(1).max(64) }),
      response: answers({ 200: DONE }),
    },
    handler: async ({ params: { id } }) => {
      if (await alerts().endSilence(id)) return { success: true as const }
      throw new RpcError('P2P_HTTP_NOT_FOUND', `There is no silence ${id}`)
    },
  })

  app.route({
    method: 'POST',
    url: '/api/alerts/test',
    schema: {
      operationId: 'testAlerts',
      summary: 'Sends a test message to one target or all, and tells how that went',
      tags: TAGS,
      body: z.strictObject({ target: z.string().max(300).optional() }),
      response: answers({ 200: ALERT_TEST }),
    },
    handler: async ({ body: { target } }, reply) => {
      const source = alerts()
      if (target !== undefined && !source.list().targets.some(({ name }) => name === target)) {
        throw new RpcError('P2P_HTTP_NOT_FOUND', `Alerts are not sent to "${target}"`)
      }
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      return source.test(target, gone.signal)
    },
  })
}
