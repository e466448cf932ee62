import { STATUS_CODES } from 'node:http'
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import fastify from 'fastify'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { z } from 'zod'
import { VERSION } from '../../base/version.ts'
import { ACCESS, type AccessRule } from '../auth/access.ts'
import { registerRoutes } from './all-routes.ts'
import { type App, routeKeyOf } from './fastify-app.ts'
import type { RouteNeeds } from './http-needs.ts'
import { type OpenApiDocument, withServiceMethods } from './openapi-methods.ts'
import { CALL_TIMEOUT_MS_MAX, TIMEOUT_HEADER } from './rpc-route.ts'
import { answers, bodyOf, HEALTH, WIRE } from './wire.ts'

/**
 * Describes every route of the port, once, from the routes themselves.
 * @returns the document with the methods of the services that run at the moment of the call
 */
export async function createOpenApiDocument(needs: RouteNeeds): Promise<() => OpenApiDocument> {
  const app: App = fastify({ exposeHeadRoutes: false }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'P2P Core',
        version: VERSION,
        description:
          'Everything a node serves on its one port. Callers are known by the certificate of a node or by an access token (`POST /auth/token`, `p2p login`). Errors are problem details (RFC 9457).',
      },
      components: {
        // The plugin's types lag behind OpenAPI 3.1, which has mutualTLS.
        securitySchemes: SECURITY_SCHEMES as never,
      },
    },
    transform: describe,
    transformObject: createJsonSchemaTransformObject(SCHEMAS),
  })
  registerRoutes(app, needs, isDescribedOnly)
  registerFastRoutes(app)
  await app.ready()
  const document = polished(app.swagger() as unknown as OpenApiDocument)
  await app.close()
  return () => withServiceMethods(document, needs.services.list())
}

const SECURITY_SCHEMES = {
  mutualTLS: { type: 'mutualTLS', description: 'Certificate of a node of this cluster' },
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Access token of a person' },
}

/** Leaves out what the plugins add for schemas used as input (ours are answers), and says what an answer is instead of nothing. */
function polished(document: OpenApiDocument): OpenApiDocument {
  const { schemas } = document.components
  for (const name of Object.keys(schemas).filter((key) => key.endsWith('Input'))) delete schemas[name]
  for (const operation of Object.values(document.paths).flatMap((operations) => Object.values(operations))) {
    const responses = operation['responses'] as Record<string, { description: string }>
    for (const [status, response] of Object.entries(responses)) {
      if (response.description === 'Default Response') response.description = STATUS_CODES[status] ?? status
    }
  }
  return document
}

const SCHEMAS = {
  schemaRegistry: WIRE,
  zodToJsonConfig: {
    // Zod says of every whole number that JavaScript can count it, and of every time its whole grammar: true, and of no use.
    override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
      if (jsonSchema['minimum'] === Number.MIN_SAFE_INTEGER) delete jsonSchema['minimum']
      if (jsonSchema['maximum'] === Number.MAX_SAFE_INTEGER) delete jsonSchema['maximum']
      if (jsonSchema['format'] === 'date-time') delete jsonSchema['pattern']
    },
  },
}
const toJsonSchema = createJsonSchemaTransform(SCHEMAS)

/** Adds to a route's schema what the access table says of it. */
const describe: SwaggerTransform = (context) => {
  const { schema, url } = toJsonSchema(context)
  const rule: AccessRule = ACCESS[routeKeyOf([context.route.method].flat()[0] as string, context.url)]
  return { url, schema: { ...schema, ...accessOf(rule) } }
}

function accessOf(rule: AccessRule): object {
  if (rule === 'open') return { security: [] }
  const isForMachines = rule.includes('node') || rule.includes('coordinator')
  const isForPeople = rule.includes('viewer') || rule.includes('operator') || rule.includes('admin')
  const security = [...(isForMachines ? [{ mutualTLS: [] }] : []), ...(isForPeople ? [{ bearer: [] }] : [])]
  return { security, 'x-roles': rule }
}

const isDescribedOnly = async (): Promise<never> => {
  throw new Error('This route is described here and answered elsewhere')
}

/** The routes that the transport answers without Fastify, described only. */
function registerFastRoutes(app: App): void {
  app.route({
    method: 'GET',
    url: '/health',
    schema: {
      operationId: 'getHealth',
      summary: 'Whether the node serves, and how many of its services do',
      description: '200 also when degraded: one failed service must not take the node out of rotation.',
      tags: ['cluster'],
      response: answers({ 200: HEALTH }),
    },
    handler: isDescribedOnly,
  })
  app.route({
    method: 'POST',
    url: '/rpc',
    schema: {
      operationId: 'callMethod',
      summary: 'Calls service methods: JSON-RPC 2.0, single or batch',
      description:
        'Refusals before the call (401, 403, 415, 429) are problem details; everything after is a JSON-RPC answer. 204 when only notifications were sent.',
      tags: ['services'],
      querystring: z.object({
        node: z
          .string()
          .optional()
          .register(WIRE, { description: 'Where to run: a node id, or coordinator, worker, local, remote' }),
      }),
      headers: z.object({
        [TIMEOUT_HEADER]: z
          .int()
          .min(1)
          .max(CALL_TIMEOUT_MS_MAX)
          .optional()
          .register(WIRE, { description: 'How long the caller waits' }),
        traceparent: z.string().optional().register(WIRE, { description: 'W3C Trace Context' }),
      }),
      body: z.unknown(),
      response: answers({
        200: z.unknown(),
        204: z.undefined().register(WIRE, { description: 'Only notifications were sent' }),
      }),
    },
    handler: isDescribedOnly,
  })
  app.route({
    method: 'POST',
    url: '/p2p/v1/channel',
    schema: {
      operationId: 'openChannel',
      summary: 'The stream of frames between two nodes: gossip and calls',
      description: 'Not for clients: HTTP/2 and TLS 1.3 only, both sides with certificates (docs/protocol).',
      tags: ['cluster'],
      response: answers({ 200: bodyOf('application/octet-stream', 'Frames, until either side closes') }),
    },
    handler: isDescribedOnly,
  })
}
