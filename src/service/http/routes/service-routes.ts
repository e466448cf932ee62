import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import type { ServiceState } from '../../definition/service-spec.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { serviceDetails, serviceView } from '../node-view.ts'
import { answers, SERVICE, SERVICE_DETAILS } from '../wire.ts'

/** The services of this node. Calls go to `POST /rpc`. */
export function registerServiceRoutes(app: App, { services, serviceHost }: RouteNeeds): void {
  const states = (): Map<string, ServiceState> =>
    new Map(serviceHost?.states().map((state) => [state.name, state] as const))

  app.route({
    method: 'GET',
    url: '/services',
    schema: {
      operationId: 'listServices',
      summary: 'The services of this node, by name',
      tags: ['services'],
      response: answers({ 200: z.record(z.string(), SERVICE) }),
    },
    handler: async () => {
      const known = states()
      return Object.fromEntries(
        services.list().map((service) => [service.name, serviceView(service, known.get(service.name))]),
      )
    },
  })

  app.route({
    method: 'GET',
    url: '/services/:name',
    schema: {
      operationId: 'getService',
      summary: 'One service of this node, with the schemas of its methods',
      tags: ['services'],
      params: z.object({ name: z.string() }),
      response: answers({ 200: SERVICE_DETAILS }),
    },
    handler: async (request) => {
      const { name } = request.params
      const service = services.get(name)
      if (service) return serviceDetails(service, states().get(name))
      const known = services.list().map((other) => other.name)
      throw new RpcError(
        'P2P_SERVICE_NOT_FOUND',
        `This node has no service ${name}; it has ${known.join(', ') || 'none'}. GET /cluster/nodes tells what other nodes have`,
        { service: name },
      )
    },
  })
}
