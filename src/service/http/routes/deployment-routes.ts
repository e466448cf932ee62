import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { type Principal, principalLabel } from '../../../base/identity.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { Orchestrator } from '../../../base/orchestrator.ts'
import type { DeployRequest, RolloutStatus } from '../../../base/deployment.ts'
import {
  COUNT,
  DEPLOY_PLAN,
  DEPLOY_REQUEST,
  DEPLOYMENT_STATUS,
  HISTORY_ENTRY,
  ROLLOUT,
  SERVICE_NAME,
} from '../deployment-wire.ts'
import type { App } from '../fastify-app.ts'
import { fromWire, toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { nearest } from '../../calls/missing-method.ts'
import { rolloutEvents } from '../rollout-events.ts'
import { jittered, untilChanged } from '../until-changed.ts'
import { INDEX_HEADER, WATCH_QUERY } from '../watch-query.ts'
import { answers, bodyOf, WIRE } from '../wire.ts'

const SERVICE = z.object({ service: SERVICE_NAME })
const tags = ['deployments']

const WATCHED =
  'Every answer has the header `X-P2P-Index`. Sent back as `index`, the answer comes at the next change of any deployment, or after `wait`; any other number is answered at once.'

/** What should run where, coordinator only. The orchestrator decides; these routes only carry. */
export function registerDeploymentRoutes(app: App, needs: RouteNeeds): void {
  const { membership } = needs
  const api = (): Orchestrator => {
    if (needs.deployments) return needs.deployments
    throw coordinatorOnly(membership, 'keep what should run where')
  }
  /** The same for a service that must have been deployed. */
  const apiFor = (service: string): Orchestrator => {
    const deployments = api()
    requireDeployed(deployments, service)
    return deployments
  }
  registerReadRoutes(app, needs, { api, apiFor })
  registerDeployRoutes(app, api)
  registerChangeRoutes(app, apiFor)
}

interface Access {
  api: () => Orchestrator
  apiFor: (service: string) => Orchestrator
}

/** @throws {RpcError} P2P_DEPLOY_UNKNOWN_SERVICE, with the name that was probably meant */
function requireDeployed(deployments: Orchestrator, service: string): void {
  const known = deployments.list().map(({ deployment }) => deployment.service)
  if (known.includes(service)) return
  const meant = nearest(service, known)
  const hint = meant === undefined ? `deployed are ${known.join(', ') || 'none'}` : `did you mean ${meant}?`
  throw new RpcError('P2P_DEPLOY_UNKNOWN_SERVICE', `No service ${service} was deployed; ${hint}`, {
    service,
    ...(meant !== undefined && { meant }),
  })
}

function registerReadRoutes(app: App, needs: RouteNeeds, { api, apiFor }: Access): void {
  const { clock, random, watchers } = needs

  /** Waits for the next change when the caller has seen the latest, and says the number of what is answered. */
  async function watched(
    { index, wait: waitMs }: z.output<typeof WATCH_QUERY>,
    caller: Principal,
    reply: { raw: Parameters<typeof untilChanged>[1]['response']; header: (name: string, value: number) => unknown },
  ): Promise<void> {
    const feed = needs.deploymentFeed
    if (!feed) return
    if (index === feed.index) {
      using _slot = watchers.take(caller)
      await untilChanged({ feed, clock }, { index, waitMs: jittered(waitMs, random), response: reply.raw })
    }
    void reply.header(INDEX_HEADER, feed.index)
  }

  app.route({
    method: 'GET',
    url: '/api/deployments',
    schema: {
      operationId: 'listDeployments',
      summary: 'What should run and what does, by service',
      description: WATCHED,
      tags,
      querystring: WATCH_QUERY,
      response: answers({ 200: z.object({ deployments: z.array(DEPLOYMENT_STATUS) }) }),
    },
    handler: async ({ query, caller }, reply) => {
      const deployments = api()
      await watched(query, caller, reply)
      return { deployments: toWire(deployments.list()) }
    },
  })

  app.route({
    method: 'GET',
    url: '/api/deployments/:service',
    schema: {
      operationId: 'getDeployment',
      summary: 'What should run of one service, and what does',
      description: WATCHED,
      tags,
      params: SERVICE,
      querystring: WATCH_QUERY,
      response: answers({ 200: DEPLOYMENT_STATUS }),
    },
    handler: async ({ params: { service }, query, caller }, reply) => {
      apiFor(service)
      await watched(query, caller, reply)
      return toWire(apiFor(service).get(service))
    },
  })

  app.route({
    method: 'GET',
    url: '/api/deployments/:service/history',
    schema: {
      operationId: 'getDeploymentHistory',
      summary: 'Every generation of a service that is kept, newest first: who, when, why, and how it ended',
      tags,
      params: SERVICE,
      response: answers({ 200: z.object({ history: z.array(HISTORY_ENTRY) }) }),
    },
    handler: async ({ params: { service } }) => ({ history: toWire(await apiFor(service).history(service)) }),
  })

  app.route({
    method: 'GET',
    url: '/api/deployments/:service/rollout',
    schema: {
      operationId: 'getRollout',
      summary: 'How far the latest change of a service is; without `rollout` there was none since the start',
      description: WATCHED,
      tags,
      params: SERVICE,
      querystring: WATCH_QUERY,
      response: answers({ 200: z.object({ rollout: ROLLOUT.optional() }) }),
    },
    handler: async ({ params: { service }, query, caller }, reply) => {
      apiFor(service)
      await watched(query, caller, reply)
      return { rollout: toWire(apiFor(service).get(service).rollout) }
    },
  })

  app.route({
    method: 'GET',
    url: '/api/deployments/:service/rollout/events',
    // Its headers say nothing.
    exposeHeadRoute: false,
    schema: {
      operationId: 'watchRollout',
      summary: 'The latest change of a service on its way through the cluster, as server-sent events',
      description:
        'Each event `rollout` is the whole state, as `GET …/rollout` answers it; a reader that is slow gets only the newest. A comment comes every 15 s. The stream ends with the rollout: its last event has another `state` than `running`. One that ends before, within ten minutes, is to be opened again.',
      tags,
      params: SERVICE,
      response: answers({ 200: bodyOf('text/event-stream', 'Events, until the rollout has ended') }),
    },
    handler: async ({ params: { service }, caller }, reply) => {
      const deployments = apiFor(service)
      const slot = watchers.take(caller)
      const events = rolloutEvents({ ...needs, deployments }, service)
      events.once('close', () => slot[Symbol.dispose]())
      return reply.type('text/event-stream; charset=utf-8').send(events as unknown as string)
    },
  })
}

function registerDeployRoutes(app: App, api: () => Orchestrator): void {
  app.route({
    method: 'POST',
    url: '/api/deployments/:service/plan',
    schema: {
      operationId: 'planDeployment',
      summary: 'What a deploy would change, and why it would be refused; changes nothing',
      description: 'What is left out of the body stays as it is, or gets its default for a new service.',
      tags,
      params: SERVICE,
      body: DEPLOY_REQUEST,
      response: answers({ 200: DEPLOY_PLAN }),
    },
    handler: async ({ params: { service }, body }) => {
      requireArtifactOrDeployed(api(), service, body)
      return toWire(await api().plan({ ...fromWire(body), service }))
    },
  })

  app.route({
    method: 'PUT',
    url: '/api/deployments/:service',
    schema: {
      operationId: 'deploy',
      summary: 'Says what should run of a service; the change is then on its way',
      description:
        'Durable before the answer, which is the rollout that began. What is left out of the body stays as it is, or gets its default for a new service. 409 with the reasons of the plan when it is refused.',
      tags,
      params: SERVICE,
      body: DEPLOY_REQUEST,
      response: answers({ 202: ROLLOUT }),
    },
    handler: async ({ params: { service }, body, caller }, reply) => {
      requireArtifactOrDeployed(api(), service, body)
      const request: DeployRequest = { ...fromWire(body), service }
      return reply.code(202).send(toWire(await api().deploy(request, principalLabel(caller))))
    },
  })
}

/** A new service needs a bundle; where none is given, the name is probably misspelt. */
function requireArtifactOrDeployed(deployments: Orchestrator, service: string, body: { artifact?: unknown }): void {
  if (body.artifact === undefined) requireDeployed(deployments, service)
}

function registerChangeRoutes(app: App, apiFor: (service: string) => Orchestrator): void {
  type Begin = (deployments: Orchestrator, service: string, by: string) => Promise<RolloutStatus>

  /** A change without a body that begins a rollout. */
  const simple = (verb: string, summary: string, operationId: string, begin: Begin): void => {
    app.route({
      method: 'POST',
      url: `/api/deployments/:service/${verb}`,
      schema: { operationId, summary, tags, params: SERVICE, response: answers({ 202: ROLLOUT }) },
      handler: async ({ params: { service }, caller }, reply) =>
        reply.code(202).send(toWire(await begin(apiFor(service), service, principalLabel(caller)))),
    })
  }
  simple('start', 'Runs a stopped service again', 'startDeployment', (api, service, by) => api.start(service, by))
  simple(
    'restart',
    'Restarts the instances of a service, one after the other',
    'restartDeployment',
    (api, service, by) => api.restart(service, by),
  )

  app.route({
    method: 'POST',
    url: '/api/deployments/:service/scale',
    schema: {
      operationId: 'scaleDeployment',
      summary: 'Changes how many instances run',
      tags,
      params: SERVICE,
      body: z.strictObject({ count: COUNT }),
      response: answers({ 202: ROLLOUT }),
    },
    handler: async ({ params: { service }, body: { count }, caller }, reply) =>
      reply.code(202).send(toWire(await apiFor(service).scale(service, count, principalLabel(caller)))),
  })

  app.route({
    method: 'POST',
    url: '/api/deployments/:service/rollback',
    schema: {
      operationId: 'rollbackDeployment',
      summary: 'Goes back to an earlier generation',
      tags,
      params: SERVICE,
      body: z
        .strictObject({
          generation: z
            .int()
            .min(1)
            .optional()
            .register(WIRE, { description: 'Without it, the last one that succeeded before the present one' }),
        })
        .nullish(),
      response: answers({ 202: ROLLOUT }),
    },
    handler: async ({ params: { service }, body, caller }, reply) => {
      const rollout = await apiFor(service).rollback(service, principalLabel(caller), body?.generation)
      return reply.code(202).send(toWire(rollout))
    },
  })

  app.route({
    method: 'POST',
    url: '/api/deployments/:service/stop',
    schema: {
      operationId: 'stopDeployment',
      summary: 'Stops every instance of a service, until it is started again',
      tags,
      params: SERVICE,
      response: answers({ 200: DEPLOYMENT_STATUS }),
    },
    handler: async ({ params: { service }, caller }) => {
      const deployments = apiFor(service)
      await deployments.stop(service, principalLabel(caller))
      return toWire(deployments.get(service))
    },
  })

  app.route({
    method: 'DELETE',
    url: '/api/deployments/:service',
    schema: {
      operationId: 'removeDeployment',
      summary: 'Ends a service everywhere and forgets it, with its history',
      tags,
      params: SERVICE,
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Removed' }) }),
    },
    handler: async ({ params: { service }, caller }, reply) => {
      await apiFor(service).remove(service, principalLabel(caller))
      return reply.code(204).send(undefined)
    },
  })
}
