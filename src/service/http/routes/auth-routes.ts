import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { PERSON_ROLES, TOKEN_TTL_S_DEFAULT, TOKEN_TTL_S_MAX } from '../../auth/access-token.ts'
import type { TokenIssuer } from '../../auth/token-issuer.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

/** Access tokens for people, coordinator only. */
export function registerAuthRoutes(app: App, { tokenIssuer, membership }: RouteNeeds): void {
  const issuer = (): TokenIssuer => {
    if (tokenIssuer) return tokenIssuer
    throw coordinatorOnly(membership, 'issue access tokens')
  }

  app.route({
    method: 'POST',
    url: '/auth/token',
    schema: {
      operationId: 'createAccessToken',
      summary: 'An access token for an operator credential',
      tags: ['access'],
      body: z.strictObject({
        credential: z.string().min(1).max(256),
        role: z
          .enum(PERSON_ROLES)
          .optional()
          .register(WIRE, { description: "At most the credential's own role, which is the default" }),
        ttl_s: z
          .int()
          .min(60)
          .max(TOKEN_TTL_S_MAX)
          .default(TOKEN_TTL_S_DEFAULT)
          .register(WIRE, { description: 'Life in seconds' }),
      }),
      response: answers({
        200: z.object({
          access_token: z.string(),
          token_type: z.literal('bearer'),
          expires_in: z.int().register(WIRE, { description: 'Seconds' }),
          role: z.enum(PERSON_ROLES),
        }),
      }),
    },
    handler: async ({ body: { credential, role, ttl_s: ttlS } }) =>
      issuer().issue(credential, { ttlS, ...(role !== undefined && { role }) }),
  })

  app.route({
    method: 'POST',
    url: '/auth/revoke',
    schema: {
      operationId: 'revokeAccessToken',
      summary: 'Withdraws the access token this request is made with',
      description:
        'Durable before the answer. The coordinator refuses the token at once; a worker takes it until it expires.',
      tags: ['access'],
      response: answers({ 200: z.object({ message: z.string() }) }),
    },
    handler: async ({ headers }) => {
      const token = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
      if (token === undefined)
        throw new RpcError('P2P_AUTH_TOKEN_INVALID', 'The request carries no access token to revoke')
      await issuer().revoke(token)
      return { message: 'Token revoked' }
    },
  })
}
