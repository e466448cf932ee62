import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import type { People } from '../../auth/people.ts'
import { relyingPartyOf } from '../../auth/passkeys.ts'
import { isFromOwnPage } from '../../auth/session-cookie.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import { toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { PASSKEY, PASSKEY_REGISTRATION } from '../passkey-wire.ts'
import { answers, WIRE } from '../wire.ts'
import { userNameOf } from './account-routes.ts'

/** Handed on to the browser's WebAuthn functions as it is. */
const OPTIONS = z
  .record(z.string(), z.unknown())
  .register(WIRE, { description: 'For `navigator.credentials`, as JSON' })

/** Passkeys (WebAuthn): made, removed, and what to sign in with them is to be signed; coordinator only. */
export function registerPasskeyRoutes(app: App, { people: known, membership, transport }: RouteNeeds): void {
  const people = (): People => {
    if (known) return known
    throw coordinatorOnly(membership, 'keep users')
  }
  const tags = ['access']

  app.route({
    method: 'POST',
    url: '/auth/passkeys/sign-in',
    schema: {
      operationId: 'beginPasskeySignIn',
      summary: 'What a passkey is to sign; the answer goes to `POST /auth/session`',
      tags,
      response: answers({ 200: z.object({ options: OPTIONS }) }),
    },
    handler: async ({ headers }) => {
      if (!isFromOwnPage(headers))
        throw new RpcError('P2P_RPC_ACCESS_DENIED', 'A page of another origin may not sign in here')
      return { options: (await people().beginPasskeySignIn(relyingPartyOf(headers))) as Record<string, unknown> }
    },
  })

  app.route({
    method: 'POST',
    url: '/auth/passkeys/begin',
    schema: {
      operationId: 'beginPasskey',
      summary: 'What the browser is to make a passkey from',
      tags,
      body: z.strictObject({ password: z.string().min(1).max(1_024) }),
      response: answers({ 200: z.object({ options: OPTIONS }) }),
    },
    handler: async ({ caller, body, headers, raw }) => {
      const [party, from] = [relyingPartyOf(headers), transport.facts(raw).remoteAddress]
      const options = await people().beginPasskey(userNameOf(people(), caller), body.password, { from, party })
      return { options: options as Record<string, unknown> }
    },
  })

  app.route({
    method: 'POST',
    url: '/auth/passkeys',
    schema: {
      operationId: 'addPasskey',
      summary: 'Adds the passkey that the browser has made',
      tags,
      body: z.strictObject({
        label: z.string().trim().min(1).max(64).register(WIRE, { description: 'The name the person gives it' }),
        passkey: PASSKEY_REGISTRATION,
      }),
      response: answers({ 201: PASSKEY }),
    },
    handler: async ({ caller, body, headers }, reply) => {
      const made = { label: body.label, registration: body.passkey }
      const passkey = await people().addPasskey(userNameOf(people(), caller), made, relyingPartyOf(headers))
      return reply.code(201).send(toWire(passkey))
    },
  })

  app.route({
    method: 'DELETE',
    url: '/auth/passkeys/:id',
    schema: {
      operationId: 'removePasskey',
      summary: 'Removes one of the own passkeys',
      tags,
      params: z.object({ id: z.string().max(64) }),
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Removed' }) }),
    },
    handler: async ({ caller, params }, reply) => {
      await people().removePasskey(userNameOf(people(), caller), params.id)
      return reply.code(204).send(undefined)
    },
  })
}
