import type { Registry } from 'prom-client'
import { z } from 'zod'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { metricsDocument } from '../metrics-document.ts'
import { answers } from '../wire.ts'

const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Metrics of this node: Prometheus text, or the JSON form of earlier versions. */
export function registerMetricsRoute(app: App, needs: RouteNeeds): void {
  let registry: Promise<Registry> | undefined

  app.route({
    method: 'GET',
    url: '/metrics',
    schema: {
      operationId: 'getMetrics',
      summary: 'Metrics in the Prometheus text format, or as JSON',
      tags: ['metrics'],
      querystring: z.strictObject({ format: z.enum(['prometheus', 'json']).default('prometheus') }),
      response: answers({
        200: {
          description: 'All metrics of this node',
          content: {
            [PROMETHEUS_TYPE]: { schema: z.string() },
            'application/json': { schema: z.record(z.string(), z.unknown()) },
          },
        },
      }),
    },
    handler: async (request, reply) => {
      if (request.query.format === 'json') return reply.type('application/json').send(metricsDocument(needs))
      registry ??= import('../metrics-registry.ts').then(({ createMetricsRegistry }) => createMetricsRegistry(needs))
      return reply.type(PROMETHEUS_TYPE).send(await (await registry).metrics())
    },
  })
}
