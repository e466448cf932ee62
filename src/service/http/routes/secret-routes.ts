import { z } from 'zod'
import { principalLabel } from '../../../base/identity.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { Secrets } from '../../../base/secrets.ts'
import type { App } from '../fastify-app.ts'
import { toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const SECRET = z
  .object({
    name: z.string(),
    version: z.int().register(WIRE, { description: 'Rises with every value it is given' }),
    updated_at_ms: z.number().register(WIRE, { description: 'Unix milliseconds' }),
    by: z.string(),
    used_by: z.array(z.string()).register(WIRE, { description: 'Services whose deployment names it' }),
  })
  .register(WIRE, { id: 'Secret' })

const PARAMS = z.object({
  name: z.string().min(1).max(128).register(WIRE, { description: 'Letters, digits, `_`, `-`, `.` and `/` (as `%2F`)' }),
})

/** Values of secrets go in here and come out nowhere but in the services that name them; coordinator only. */
export function registerSecretRoutes(app: App, needs: RouteNeeds): void {
  const secrets = (): Secrets => {
    if (needs.secrets) return needs.secrets
    throw coordinatorOnly(needs.membership, 'keep secrets')
  }
  const tags = ['secrets']

  app.route({
    method: 'GET',
    url: '/api/secrets',
    schema: {
      operationId: 'listSecrets',
      summary: 'Names of the secrets, and who uses them; never a value',
      tags,
      response: answers({ 200: z.object({ secrets: z.array(SECRET) }) }),
    },
    handler: async () => ({ secrets: toWire(secrets().list()) }),
  })

  app.route({
    method: 'PUT',
    url: '/api/secrets/:name',
    schema: {
      operationId: 'setSecret',
      summary: 'Gives a secret its value; services that use it get it one after the other',
      description: 'The value is in the body only, so that no log of requests has it.',
      tags,
      params: PARAMS,
      body: z.strictObject({
        value: z.string().min(1).register(WIRE, { description: 'At most 64 KiB of UTF-8' }),
      }),
      response: answers({ 200: SECRET }),
    },
    handler: async ({ params: { name }, body: { value }, caller }) =>
      toWire(await secrets().set(name, value, principalLabel(caller))),
  })

  app.route({
    method: 'DELETE',
    url: '/api/secrets/:name',
    schema: {
      operationId: 'deleteSecret',
      summary: 'Forgets a secret that no service uses',
      tags,
      params: PARAMS,
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Deleted' }) }),
    },
    handler: async ({ params: { name }, caller }, reply) => {
      await secrets().delete(name, principalLabel(caller))
      return reply.code(204).send(undefined)
    },
  })
}
