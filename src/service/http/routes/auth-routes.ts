import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { PERSON_ROLES, TOKEN_TTL_S_DEFAULT, TOKEN_TTL_S_MAX } from '../../auth/access-token.ts'
import { tokenOf } from '../../auth/authenticator.ts'
import { LOGIN_LINK_TTL_S } from '../../auth/login-links.ts'
import { NO_SESSION_COOKIE, SESSION_TTL_S, sessionCookie, sessionTokenOf } from '../../auth/session-cookie.ts'
import type { AccessToken, TokenIssuer } from '../../auth/token-issuer.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { isoTime } from '../node-view.ts'
import { answers, WIRE } from '../wire.ts'

const SESSION = z
  .object({
    name: z.string(),
    role: z.enum(PERSON_ROLES),
    expires_at: z.iso
      .datetime()
      .nullable()
      .register(WIRE, { description: 'Asked again before that, it is longer, up to 12 hours in all; null: never' }),
  })
  .register(WIRE, { id: 'Session' })

/** Access tokens for people, and the sessions of their browsers; issued by a coordinator only. */
export function registerAuthRoutes(app: App, { tokenIssuer, membership, clock }: RouteNeeds): void {
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
    url: '/auth/link',
    schema: {
      operationId: 'createLoginLink',
      summary: 'The secret of a one-time login link, for an operator credential',
      description: 'To be opened in a browser as `/dashboard#login=<secret>`, once and within ten minutes.',
      tags: ['access'],
      body: z.strictObject({ credential: z.string().min(1).max(256) }),
      response: answers({
        200: z.object({ secret: z.string(), expires_in: z.int().register(WIRE, { description: 'Seconds' }) }),
      }),
    },
    handler: async ({ body }) => ({ secret: issuer().makeLink(body.credential), expires_in: LOGIN_LINK_TTL_S }),
  })

  /** The cookie's token, and what the page is told of it. */
  const opened = ({ access_token: token, expires_in: lifeS, role }: AccessToken) => ({
    cookie: sessionCookie(token, lifeS),
    session: { name: 'operator', role, expires_at: isoTime(clock.wallMs() + lifeS * 1_000) },
  })

  app.route({
    method: 'POST',
    url: '/auth/session',
    schema: {
      operationId: 'openSession',
      summary: "Opens a browser's session: an access token in a cookie that no script can read",
      tags: ['access'],
      body: z.union([
        z.strictObject({ credential: z.string().min(1).max(256) }),
        z.strictObject({ link: z.string().min(1).max(256) }),
      ]),
      response: answers({ 200: SESSION }),
    },
    handler: async ({ body }, reply) => {
      const options = { ttlS: SESSION_TTL_S }
      const token = await ('link' in body
        ? issuer().issueForLink(body.link, options)
        : issuer().issue(body.credential, options))
      const { cookie, session } = opened(token)
      void reply.header('set-cookie', cookie)
      return session
    },
  })

  app.route({
    method: 'GET',
    url: '/auth/session',
    schema: {
      operationId: 'getSession',
      summary: 'Who this request is from; a session past half its time is renewed',
      tags: ['access'],
      response: answers({ 200: SESSION }),
    },
    handler: async ({ caller, headers }, reply) => {
      if (caller.kind !== 'person') throw new RpcError('P2P_RPC_ACCESS_DENIED', 'Sessions are for people')
      const { name, role } = caller
      const token = tokenOf(headers)
      if (token === undefined || !tokenIssuer) return { name, role, expires_at: null }
      const { expiresAtMs } = await tokenIssuer.read(token)
      const isCookie = sessionTokenOf(headers) === token
      const isOld = expiresAtMs - clock.wallMs() < (SESSION_TTL_S * 1_000) / 2
      const renewed = isCookie && isOld ? await tokenIssuer.renew(token, { ttlS: SESSION_TTL_S }) : undefined
      if (!renewed) return { name, role, expires_at: isoTime(expiresAtMs) }
      const { cookie, session } = opened(renewed)
      void reply.header('set-cookie', cookie)
      return session
    },
  })

  app.route({
    method: 'DELETE',
    url: '/auth/session',
    schema: {
      operationId: 'closeSession',
      summary: 'Withdraws the access token this request is made with, and has the browser forget it',
      tags: ['access'],
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Withdrawn' }) }),
    },
    handler: async ({ headers }, reply) => {
      const token = tokenOf(headers)
      if (token !== undefined) await issuer().revoke(token)
      return reply.code(204).header('set-cookie', NO_SESSION_COOKIE).send(undefined)
    },
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
      const token = tokenOf(headers)
      if (token === undefined)
        throw new RpcError('P2P_AUTH_TOKEN_INVALID', 'The request carries no access token to revoke')
      await issuer().revoke(token)
      return { message: 'Token revoked' }
    },
  })
}
