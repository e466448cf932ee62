import { z } from 'zod'
import { principalLabel } from '../../../base/identity.ts'
import { PERSON_ROLES } from '../../auth/access-token.ts'
import type { Invitation, People } from '../../auth/people.ts'
import type { User } from '../../auth/user.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import { toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const USER = z
  .object({
    name: z.string(),
    role: z.enum(PERSON_ROLES),
    created_at_ms: z.number().register(WIRE, { description: 'Unix milliseconds' }),
    created_by: z.string(),
    has_password: z.boolean().register(WIRE, { description: 'False until the invitation was taken' }),
    has_code: z.boolean().register(WIRE, { description: 'A second step by codes is set up' }),
    passkeys: z.int().register(WIRE, { description: 'How many there are' }),
    sessions: z.int().register(WIRE, { description: 'Open now' }),
    invitation_ends_ms: z.number().optional().register(WIRE, { description: 'While nobody has taken it' }),
  })
  .register(WIRE, { id: 'User' })

const INVITED = z.object({
  user: USER,
  invitation: z.object({ secret: z.string(), ends_at_ms: z.number() }).optional().register(WIRE, {
    description: 'Shown this once; to be opened as `/dashboard#invitation=<secret>`. None where a password was given',
  }),
})

const NAME = z.object({ name: z.string().min(1).max(63) })
const NEW_PASSWORD = z.string().min(1).max(1_024)

/** Who may use the cluster, decided by admins; coordinator only. */
export function registerUserRoutes(app: App, needs: RouteNeeds): void {
  const people = (): People => {
    if (needs.people) return needs.people
    throw coordinatorOnly(needs.membership, 'keep users')
  }
  const tags = ['access']
  const invited = ({ user, invitation }: { user: User; invitation?: Invitation }) => ({
    user: toWire(user),
    ...(invitation && { invitation: toWire(invitation) }),
  })

  app.route({
    method: 'GET',
    url: '/api/users',
    schema: {
      operationId: 'listUsers',
      summary: 'The people who may use the cluster',
      tags,
      response: answers({ 200: z.object({ users: z.array(USER) }) }),
    },
    handler: async () => ({ users: toWire(people().list()) }),
  })

  app.route({
    method: 'POST',
    url: '/api/users',
    schema: {
      operationId: 'addUser',
      summary: 'Adds a person; without a password, an invitation is made with which the person sets one',
      tags,
      body: z.strictObject({
        name: z.string().min(1).max(63).register(WIRE, { description: 'Lower-case letters, digits and `._@-`' }),
        role: z.enum(PERSON_ROLES),
        password: NEW_PASSWORD.optional(),
      }),
      response: answers({ 201: INVITED }),
    },
    handler: async (request, reply) => {
      const { body, caller } = request
      const made = await people().add(body, principalLabel(caller))
      request.actNote = `${made.user.name}, ${made.user.role}`
      return reply.code(201).send(invited(made))
    },
  })

  app.route({
    method: 'PUT',
    url: '/api/users/:name/role',
    schema: {
      operationId: 'setUserRole',
      summary: 'Gives a person another role, and ends their sessions, which were for the one before',
      tags,
      params: NAME,
      body: z.strictObject({ role: z.enum(PERSON_ROLES) }),
      response: answers({ 200: USER }),
    },
    handler: async (request) => {
      const { params, body } = request
      request.actNote = body.role
      return toWire(await people().setRole(params.name, body.role))
    },
  })

  app.route({
    method: 'POST',
    url: '/api/users/:name/reset',
    schema: {
      operationId: 'resetUser',
      summary: 'Takes password and second step away, ends all sessions, and makes an invitation or sets a password',
      tags,
      params: NAME,
      body: z.strictObject({ password: NEW_PASSWORD.optional() }).nullish(),
      response: answers({ 200: INVITED }),
    },
    handler: async ({ params, body }) => invited(await people().reset(params.name, body?.password)),
  })

  app.route({
    method: 'DELETE',
    url: '/api/users/:name',
    schema: {
      operationId: 'removeUser',
      summary: 'Removes a person and ends their sessions; never the last admin',
      tags,
      params: NAME,
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Removed' }) }),
    },
    handler: async ({ params }, reply) => {
      await people().remove(params.name)
      return reply.code(204).send(undefined)
    },
  })
}
