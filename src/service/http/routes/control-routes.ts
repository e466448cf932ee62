import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { NetworkError } from '../../../base/errors.ts'
import { isNodeId, principalLabel } from '../../../base/identity.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { Orchestrator } from '../../../base/orchestrator.ts'
import { SERVICE_NAME } from '../deployment-wire.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { CONTROL_ACTIONS, type ControlAction } from '../node-control.ts'
import { nearest } from '../../calls/missing-method.ts'
import { answers, WIRE } from '../wire.ts'

/** A service may take as long as its own limits allow to stop and start again; a person waits no longer than this. */
const CONTROL_MS_MAX = 60_000

const CONTROLLED = z.object({
  success: z.literal(true),
  worker_id: z.string(),
  service_name: z.string(),
  action: z.enum(CONTROL_ACTIONS),
})

/** Starting and stopping on one node, and taking a node out of the placement. */
export function registerControlRoutes(app: App, needs: RouteNeeds): void {
  registerServiceControl(app, needs)
  registerDraining(app, needs)
}

function registerServiceControl(app: App, { clock, membership, nodeControl }: RouteNeeds): void {
  async function control(request: FastifyRequest, nodeId: string, service: string, action: ControlAction) {
    const context = { caller: request.caller, traceId: request.id, deadlineMs: clock.nowMs() + CONTROL_MS_MAX }
    await nodeControl.control({ nodeId, service, action }, context)
    return { success: true as const, worker_id: nodeId, service_name: service, action }
  }

  app.route({
    method: 'POST',
    url: '/api/dashboard/control-service',
    schema: {
      operationId: 'controlService',
      summary: 'Starts, stops or restarts one service on one node',
      description:
        'Answered when it is done. What is stopped so stays stopped there, also after a restart of the node; `POST /api/deployments/{service}/stop` stops a service everywhere.',
      tags: ['services'],
      body: z.strictObject({
        worker_id: z
          .string()
          .refine(isNodeId, 'is no node id')
          .register(WIRE, { description: 'A node id, also of a coordinator; `coordinator` is the coordinator asked' }),
        service_name: SERVICE_NAME,
        action: z.enum(CONTROL_ACTIONS),
      }),
      response: answers({ 200: CONTROLLED }),
    },
    handler: async (request) => {
      const { worker_id: asked, service_name: service, action } = request.body
      const { role, nodeId: self } = membership.self().record
      const nodeId = asked === 'coordinator' && role === 'coordinator' ? self : asked
      requireMember(membership, nodeId)
      return control(request, nodeId, service, action)
    },
  })

  app.route({
    method: 'POST',
    url: '/services/:name/restart',
    schema: {
      operationId: 'restartService',
      summary: 'Restarts a service on this node, the new instance first where there can be two',
      tags: ['services'],
      params: z.object({ name: SERVICE_NAME }),
      response: answers({ 200: CONTROLLED }),
    },
    handler: async (request) => control(request, membership.self().record.nodeId, request.params.name, 'restart'),
  })
}

const DRAINING = z.object({ node_id: z.string(), is_draining: z.boolean() })

function registerDraining(app: App, needs: RouteNeeds): void {
  const { membership } = needs
  const api = (): Orchestrator => {
    if (needs.deployments) return needs.deployments
    throw coordinatorOnly(membership, 'keep what should run where')
  }
  const routes = [
    {
      verb: 'drain',
      isDraining: true,
      operationId: 'drainNode',
      summary: 'Moves every deployed service away from a node, and places nothing there until it is undrained',
    },
    {
      verb: 'undrain',
      isDraining: false,
      operationId: 'undrainNode',
      summary: 'Lets services be placed on a node again',
    },
  ] as const
  for (const { verb, isDraining, operationId, summary } of routes) {
    app.route({
      method: 'POST',
      url: `/api/nodes/:id/${verb}`,
      schema: {
        operationId,
        summary,
        tags: ['deployments'],
        params: z.object({ id: z.string().min(1).max(128) }),
        response: answers({ 200: DRAINING }),
      },
      handler: async ({ params: { id }, caller }) => {
        const deployments = api()
        requireMember(membership, id)
        await deployments[verb](id, principalLabel(caller))
        return { node_id: id, is_draining: isDraining }
      },
    })
  }
}

/** @throws {NetworkError} P2P_NETWORK_NODE_UNKNOWN, with the id that was probably meant */
function requireMember(membership: RouteNeeds['membership'], nodeId: string): void {
  if (membership.get(nodeId)) return
  const known = membership.members().map(({ record }) => record.nodeId)
  const meant = nearest(nodeId, known)
  const hint = meant === undefined ? 'GET /cluster/nodes lists them' : `did you mean ${meant}?`
  throw new NetworkError('P2P_NETWORK_NODE_UNKNOWN', `The cluster has no node ${nodeId}; ${hint}`, {
    node: nodeId,
    ...(meant !== undefined && { meant }),
  })
}
