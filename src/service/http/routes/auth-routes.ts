import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import { PERSON_ROLES, TOKEN_TTL_S_DEFAULT, TOKEN_TTL_S_MAX } from '../../auth/access-token.ts'
import { tokenOf } from '../../auth/authenticator.ts'
import { LOGIN_LINK_TTL_S } from '../../auth/login-links.ts'
import { relyingPartyOf } from '../../auth/passkeys.ts'
import type { People } from '../../auth/people.ts'
import {
  isFromOwnPage,
  NO_SESSION_COOKIE,
  SESSION_TTL_S,
  sessionCookie,
  sessionTokenOf,
} from '../../auth/session-cookie.ts'
import type { SignedIn } from '../../auth/sessions.ts'
import { type AccessToken, OPERATOR, type TokenIssuer } from '../../auth/token-issuer.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { isoTime } from '../node-view.ts'
import { PASSKEY_ASSERTION } from '../passkey-wire.ts'
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

const CREDENTIAL = z.string().min(1).max(256)
/** Long enough for whatever is taken for one, so that it is refused for what it is. */
const REFRESH_TOKEN = z.string().min(1).max(2_048)

/** What a person signs in with; a password is measured where it is looked at, so that a long one is no other answer. */
const NAME_AND_PASSWORD = {
  name: z.string().min(1).max(128),
  password: z.string().min(1).max(1_024),
  code: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .register(WIRE, { description: 'Of the authenticator, or a recovery code; where a second step is set up' }),
}

const ROLE_ASKED = z
  .enum(PERSON_ROLES)
  .optional()
  .register(WIRE, { description: "At most the credential's own role, which is the default" })

const TTL_S = z
  .int()
  .min(60)
  .max(TOKEN_TTL_S_MAX)
  .default(TOKEN_TTL_S_DEFAULT)
  .register(WIRE, { description: 'Life in seconds' })

const TOKEN = z.object({
  access_token: z.string(),
  token_type: z.literal('bearer'),
  expires_in: z.int().register(WIRE, { description: 'Seconds' }),
  role: z.enum(PERSON_ROLES),
  refresh_token: z
    .string()
    .optional()
    .register(WIRE, { description: 'For users: good once, for the next token and the next of its kind' }),
  refresh_expires_in: z.int().optional().register(WIRE, { description: 'Seconds until the session ends in any case' }),
})

/** Access tokens for people, and the sessions of their browsers; issued by a coordinator only. */
export function registerAuthRoutes(app: App, { tokenIssuer, people, membership, clock, transport }: RouteNeeds): void {
  const users = (): People => {
    if (people) return people
    throw coordinatorOnly(membership, 'sign users in')
  }
  /** The name as it may be recorded: what is no user's could be a password, typed into the wrong field. */
  const knownName = (typed: string): string => users().get(typed.trim().toLowerCase())?.name ?? 'unknown name'
  const withRefresh = ({ token, refreshToken, endsAtMs }: SignedIn) => ({
    ...token,
    ...(refreshToken !== undefined && {
      refresh_token: refreshToken,
      refresh_expires_in: Math.floor((endsAtMs - clock.wallMs()) / 1_000),
    }),
  })
  const issuer = (): TokenIssuer => {
    if (tokenIssuer) return tokenIssuer
    throw coordinatorOnly(membership, 'issue access tokens')
  }

  app.route({
    method: 'POST',
    url: '/auth/token',
    schema: {
      operationId: 'createAccessToken',
      summary: "An access token for a user's name and password, or for an operator credential",
      tags: ['access'],
      body: z.strictObject({
        credential: CREDENTIAL.optional().register(WIRE, {
          description: 'Of the operator; or else `name` and `password`',
        }),
        name: NAME_AND_PASSWORD.name.optional(),
        password: NAME_AND_PASSWORD.password.optional(),
        code: NAME_AND_PASSWORD.code,
        role: ROLE_ASKED,
        ttl_s: TTL_S,
      }),
      response: answers({ 200: TOKEN }),
    },
    handler: async (request) => {
      const { body, raw } = request
      const { credential, name, password, code, role, ttl_s: ttlS } = body
      const { recordAct: record } = request
      if (credential !== undefined && name === undefined && password === undefined) {
        request.actNote = OPERATOR
        return issuer().issue(credential, { ttlS, record, ...(role !== undefined && { role }) })
      }
      if (credential !== undefined || name === undefined || password === undefined) {
        throw new RpcError('P2P_HTTP_BODY_INVALID', 'The body has either `credential`, or `name` and `password`')
      }
      request.actNote = knownName(name)
      const from = transport.facts(raw).remoteAddress
      return withRefresh(await users().signIn({ name, password, code }, { from, kind: 'program', ttlS, role, record }))
    },
  })

  app.route({
    method: 'POST',
    url: '/auth/refresh',
    schema: {
      operationId: 'refreshAccessToken',
      summary: 'The next access token and the next refresh token, for a refresh token',
      description:
        'Durable before the answer. A refresh token is good once: one that comes a second time ends the session, because two have it.',
      tags: ['access'],
      body: z.strictObject({ refresh_token: REFRESH_TOKEN, ttl_s: TTL_S }),
      response: answers({ 200: TOKEN }),
    },
    handler: async (request) => {
      const { refresh_token: token, ttl_s: ttlS } = request.body
      const refreshed = await users().refresh(token, { ttlS, record: request.recordAct })
      request.actNote = refreshed.name
      return withRefresh(refreshed)
    },
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
    handler: async ({ body, recordAct }) => ({
      secret: await issuer().makeLink(body.credential, recordAct),
      expires_in: LOGIN_LINK_TTL_S,
    }),
  })

  /** The cookie's token, and what the page is told of it. */
  const opened = ({ access_token: token, expires_in: lifeS, role }: AccessToken, name: string) => ({
    cookie: sessionCookie(token, lifeS),
    session: { name, role, expires_at: isoTime(clock.wallMs() + lifeS * 1_000) },
  })

  app.route({
    method: 'POST',
    url: '/auth/session',
    schema: {
      operationId: 'openSession',
      summary: "Opens a browser's session: an access token in a cookie that no script can read",
      tags: ['access'],
      body: z.union([
        z.strictObject(NAME_AND_PASSWORD),
        z.strictObject({ credential: CREDENTIAL }),
        z.strictObject({ link: CREDENTIAL }),
        z.strictObject({ passkey: PASSKEY_ASSERTION }),
      ]),
      response: answers({ 200: SESSION }),
    },
    handler: async (request, reply) => {
      const { body, headers, raw } = request
      // A page from elsewhere must not sign a browser in under a name of its choice.
      if (!isFromOwnPage(headers)) throw foreignPage()
      const options = { ttlS: SESSION_TTL_S, record: request.recordAct }
      const from = transport.facts(raw).remoteAddress
      const byBrowser = { ...options, from, kind: 'browser' } as const
      if ('passkey' in body) request.actNote = users().ownerOfPasskey(body.passkey.id) ?? 'unknown passkey'
      else request.actNote = 'password' in body ? knownName(body.name) : OPERATOR
      const { token, name } =
        'passkey' in body
          ? await users().signInByPasskey(body.passkey, { ...byBrowser, party: relyingPartyOf(headers) })
          : 'password' in body
            ? await users().signIn(body, byBrowser)
            : {
                name: OPERATOR,
                token: await ('link' in body
                  ? issuer().issueForLink(body.link, options)
                  : issuer().issue(body.credential, options)),
              }
      const { cookie, session } = opened(token, name)
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
      const { cookie, session } = opened(renewed, name)
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
      summary: 'Withdraws the access token this request is made with, or a refresh token, with the session it is of',
      description:
        'Durable before the answer. The coordinator refuses the token at once, the other nodes as soon as they hear of it.',
      tags: ['access'],
      body: z.strictObject({ refresh_token: REFRESH_TOKEN.optional() }).nullish(),
      response: answers({ 200: z.object({ message: z.string() }) }),
    },
    handler: async ({ headers, body, recordAct }) => {
      if (body?.refresh_token !== undefined) {
        await users().revokeRefresh(body.refresh_token, recordAct)
        return { message: 'Session ended' }
      }
      const token = tokenOf(headers)
      if (token === undefined) throw new RpcError('P2P_AUTH_TOKEN_INVALID', 'The request carries no token to revoke')
      await issuer().revoke(token, recordAct)
      return { message: 'Token revoked' }
    },
  })
}

function foreignPage(): RpcError {
  return new RpcError('P2P_RPC_ACCESS_DENIED', 'A page of another origin may not sign in here')
}
