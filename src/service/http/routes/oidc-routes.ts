import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { codeOf, RpcError, StorageError } from '../../../base/errors.ts'
import { type Oidc, OIDC_LOGIN_TTL_S } from '../../auth/oidc.ts'
import { canHavePasskeys } from '../../auth/passkeys.ts'
import { originOf, SESSION_TTL_S, sessionCookie } from '../../auth/session-cookie.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

/** Ties the sign-in to the browser that began it; `Lax`, because the way back leads from the provider's page. */
const STATE_COOKIE = 'p2p_oidc'
const STATE_ATTRIBUTES = 'Path=/auth/oidc; HttpOnly; Secure; SameSite=Lax'
const STATE_FORM = /(?:^|;\s*)p2p_oidc=([\w-]{43})\s*(?:;|$)/
const CALLBACK = '/auth/oidc/callback'

const TEXT = z.string().max(4_096)
const FOUND = { 302: z.undefined().register(WIRE, { description: 'To where it goes on' }) }

/** The ways to sign in, and the one by a provider of OpenID Connect; coordinator only. */
export function registerOidcRoutes(app: App, { oidc, people, membership, transport, log }: RouteNeeds): void {
  const provider = (): Oidc => {
    if (oidc) return oidc
    if (!people) throw coordinatorOnly(membership, 'sign users in')
    throw new RpcError('P2P_HTTP_NOT_FOUND', 'This cluster has no OpenID Connect provider; the key is `oidc`')
  }
  const tags = ['access']

  app.route({
    method: 'GET',
    url: '/auth/methods',
    schema: {
      operationId: 'listSignInMethods',
      summary: 'How people sign in at this node',
      tags,
      response: answers({
        200: z.object({
          password: z.boolean(),
          passkey: z
            .boolean()
            .register(WIRE, { description: 'Whether the address this was asked at is a name, as passkeys want it' }),
          oidc: z
            .object({ issuer: z.string() })
            .nullable()
            .register(WIRE, { description: 'To be begun at /auth/oidc/start' }),
        }),
      }),
    },
    handler: async ({ headers }) => ({
      password: people !== undefined,
      passkey: people !== undefined && canHavePasskeys(URL.parse(originOf(headers) ?? '')?.hostname ?? ''),
      oidc: oidc ? { issuer: oidc.issuer } : null,
    }),
  })

  app.route({
    method: 'GET',
    url: '/auth/oidc/start',
    schema: {
      operationId: 'beginOidc',
      summary: 'Sends the browser to the OpenID Connect provider',
      tags,
      response: answers(FOUND),
    },
    handler: async ({ headers }, reply) => {
      const { address, state } = await provider().begin(`${originOf(headers) ?? ''}${CALLBACK}`)
      void reply.header('set-cookie', `${STATE_COOKIE}=${state}; Max-Age=${OIDC_LOGIN_TTL_S}; ${STATE_ATTRIBUTES}`)
      return reply.redirect(address, 302)
    },
  })

  app.route({
    method: 'GET',
    url: CALLBACK,
    schema: {
      operationId: 'finishOidc',
      summary: 'Where the provider sends the browser back to; opens the session',
      tags,
      querystring: z.looseObject({
        state: TEXT.optional(),
        code: TEXT.optional(),
        iss: TEXT.optional(),
      }),
      response: answers(FOUND),
    },
    handler: async (request, reply) => {
      const { query, headers, raw } = request
      const { state, code, iss } = query
      const login = provider()
      void reply.header('set-cookie', `${STATE_COOKIE}=; Max-Age=0; ${STATE_ATTRIBUTES}`)
      const begun = STATE_FORM.exec(headers.cookie ?? '')?.[1]
      // The page says what that means: words in an address could be anybody's.
      if (state === undefined || code === undefined || begun !== state) {
        request.actFailure = 'begun elsewhere'
        return toPage(reply, '#oidc=refused')
      }
      try {
        const person = await login.finish({ state, code, issuer: iss })
        request.actNote = person.name
        const from = transport.facts(raw).remoteAddress
        const { recordAct: record } = request
        const signedIn = await people?.open(person, { from, kind: 'browser', ttlS: SESSION_TTL_S, record })
        if (!signedIn) throw coordinatorOnly(membership, 'sign users in')
        const { access_token: token, expires_in: lifeS } = signedIn.token
        void reply.header('set-cookie', sessionCookie(token, lifeS))
        return toPage(reply, '')
      } catch (error) {
        const code = codeOf(error)
        if (code === undefined || error instanceof StorageError) throw error
        request.actFailure = code
        log.warning('A sign-in by OpenID Connect failed', { error })
        return toPage(reply, code === 'P2P_AUTH_OIDC_UNAVAILABLE' ? '#oidc=unavailable' : '#oidc=refused')
      }
    },
  })
}

function toPage(reply: FastifyReply, fragment: '' | '#oidc=refused' | '#oidc=unavailable') {
  return reply.redirect(`/dashboard${fragment}`, 302)
}
