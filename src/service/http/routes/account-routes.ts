import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import type { Principal } from '../../../base/identity.ts'
import { PERSON_ROLES } from '../../auth/access-token.ts'
import { tokenOf } from '../../auth/authenticator.ts'
import type { People } from '../../auth/people.ts'
import { isFromOwnPage } from '../../auth/session-cookie.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import { toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { PASSKEY } from '../passkey-wire.ts'
import { answers, WIRE } from '../wire.ts'

const SESSION_OF_USER = z
  .object({
    id: z.string(),
    kind: z.enum(['browser', 'program']),
    from: z.string().register(WIRE, { description: 'The address it was opened from' }),
    created_at_ms: z.number(),
    ends_at_ms: z.number(),
    is_current: z.boolean().register(WIRE, { description: 'The one this request is made with' }),
  })
  .register(WIRE, { id: 'UserSession' })

const ACCOUNT = z
  .object({
    name: z.string(),
    role: z.enum(PERSON_ROLES),
    is_user: z
      .boolean()
      .register(WIRE, { description: 'False for the holder of the operator credential, who has none of the rest' }),
    has_code: z.boolean().register(WIRE, { description: 'A second step by codes is set up' }),
    passkeys: z.array(PASSKEY).register(WIRE, { description: 'Oldest first' }),
    sessions: z.array(SESSION_OF_USER).register(WIRE, { description: 'Newest first' }),
  })
  .register(WIRE, { id: 'Account' })

const SECRET = z.string().min(1).max(1_024)

/** @throws {RpcError} P2P_AUTH_USER_UNKNOWN: the caller holds the operator credential or came in without any */
export function userNameOf(people: People, caller: Principal): string {
  if (caller.kind === 'person' && people.get(caller.name)) return caller.name
  throw new RpcError(
    'P2P_AUTH_USER_UNKNOWN',
    'Only users have passwords, codes, passkeys and sessions of their own here',
  )
}

/** What a person may do about the own account, and the way in for who was invited; coordinator only. */
export function registerAccountRoutes(app: App, needs: RouteNeeds): void {
  const { membership, transport, tokenIssuer } = needs
  const people = (): People => {
    if (needs.people) return needs.people
    throw coordinatorOnly(membership, 'keep users')
  }
  const tags = ['access']
  const done = { 204: z.undefined().register(WIRE, { description: 'Done' }) }

  /** Id of the session the request is made with, if of any. */
  const sessionIdOf = async (headers: Parameters<typeof tokenOf>[0]): Promise<string | undefined> => {
    const token = tokenOf(headers)
    return token === undefined ? undefined : (await tokenIssuer?.read(token))?.sid
  }
  const userOf = (caller: Principal): string => userNameOf(people(), caller)

  app.route({
    method: 'GET',
    url: '/auth/account',
    schema: {
      operationId: 'getAccount',
      summary: 'The own account: role, second step, open sessions',
      tags,
      response: answers({ 200: ACCOUNT }),
    },
    handler: async ({ caller, headers }) => {
      if (caller.kind !== 'person') throw new RpcError('P2P_RPC_ACCESS_DENIED', 'Accounts are for people')
      const { name, role } = caller
      const user = people().get(name)
      if (!user) return { name, role, is_user: false, has_code: false, passkeys: [], sessions: [] }
      const sid = await sessionIdOf(headers)
      const sessions = people().sessions(name)
      return {
        name,
        role,
        is_user: true,
        has_code: user.hasCode,
        passkeys: people().passkeys(name).map(toWire),
        sessions: sessions.map((session) => ({ ...toWire(session), is_current: session.id === sid })),
      }
    },
  })

  app.route({
    method: 'PUT',
    url: '/auth/password',
    schema: {
      operationId: 'changePassword',
      summary: 'Changes the own password and ends all other sessions',
      tags,
      body: z.strictObject({ current: SECRET, next: SECRET }),
      response: answers(done),
    },
    handler: async ({ caller, body, headers, raw }, reply) => {
      const from = transport.facts(raw).remoteAddress
      await people().changePassword(userOf(caller), body, { from, sid: await sessionIdOf(headers) })
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'DELETE',
    url: '/auth/sessions/:id',
    schema: {
      operationId: 'endSession',
      summary: 'Ends one of the own sessions',
      tags,
      params: z.object({ id: z.string().max(64) }),
      response: answers(done),
    },
    handler: async ({ caller, params }, reply) => {
      await people().endSession(userOf(caller), params.id)
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'POST',
    url: '/auth/totp',
    schema: {
      operationId: 'beginTotp',
      summary: 'Begins to set up a second step: the secret for an authenticator program (RFC 6238)',
      tags,
      body: z.strictObject({ password: SECRET }),
      response: answers({
        200: z.object({
          secret: z.string().register(WIRE, { description: 'Base32' }),
          address: z.string().register(WIRE, { description: '`otpauth://…`, for a picture or a link' }),
        }),
      }),
    },
    handler: async ({ caller, body, raw }) =>
      people().beginCodes(userOf(caller), body.password, transport.facts(raw).remoteAddress),
  })

  app.route({
    method: 'PUT',
    url: '/auth/totp',
    schema: {
      operationId: 'confirmTotp',
      summary: 'Sets the second step up, with a first code; from now on signing in asks for one',
      tags,
      body: z.strictObject({ code: z.string().min(1).max(64) }),
      response: answers({
        200: z.object({
          recovery_codes: z.array(z.string()).register(WIRE, { description: 'Shown this once; each is good once' }),
        }),
      }),
    },
    handler: async ({ caller, body }) => ({ recovery_codes: await people().confirmCodes(userOf(caller), body.code) }),
  })

  app.route({
    method: 'POST',
    url: '/auth/totp/remove',
    schema: {
      operationId: 'removeTotp',
      summary: 'Removes the second step',
      tags,
      body: z.strictObject({ password: SECRET }),
      response: answers(done),
    },
    handler: async ({ caller, body, raw }, reply) => {
      await people().removeCodes(userOf(caller), body.password, transport.facts(raw).remoteAddress)
      return reply.code(204).send(undefined)
    },
  })

  app.route({
    method: 'POST',
    url: '/auth/invitation',
    schema: {
      operationId: 'takeInvitation',
      summary: 'Sets the password of who was invited; without a password, tells whose invitation it is',
      tags,
      body: z.strictObject({ secret: z.string().min(1).max(256), password: SECRET.optional() }),
      response: answers({ 200: z.object({ name: z.string(), role: z.enum(PERSON_ROLES) }) }),
    },
    handler: async (request) => {
      const { body, headers, raw } = request
      const { secret, password } = body
      if (!isFromOwnPage(headers))
        throw new RpcError('P2P_RPC_ACCESS_DENIED', 'A page of another origin may not take invitations')
      const { name, role } =
        password === undefined
          ? people().invited(secret)
          : await people().accept(secret, password, {
              from: transport.facts(raw).remoteAddress,
              record: request.recordAct,
            })
      request.actNote = name
      return { name, role }
    },
  })
}
