import { z } from 'zod'
import type { CaRotationAdmin, TrustAdmin } from '../../../base/enrolment.ts'
import { isNodeId, ROLES } from '../../../base/identity.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, HEX_256, WIRE } from '../wire.ts'

const TTL_S_MAX = 30 * 24 * 3600

const PENDING_NODE = z.object({
  request_id: z.string(),
  node_id: z.string(),
  role: z.enum(ROLES),
  fingerprint: z
    .string()
    .register(WIRE, { description: "SHA-256 of the CSR's public key, hex: what the person compares" }),
  remote_address: z.string(),
  ip_addresses: z.array(z.string()),
  dns_names: z.array(z.string()),
  requested_at_ms: z.number(),
})

const TOKEN_FACTS = z.object({
  token_id: z.string(),
  role: z.enum(ROLES),
  uses_left: z.int(),
  expires_at_ms: z.number(),
  created_at_ms: z.number(),
})

const ISSUED_CERTIFICATE = z.object({
  serial: z.string(),
  node_id: z.string().register(WIRE, { description: "Of a server's certificate: `acme:` and the account" }),
  role: z.enum([...ROLES, 'server']),
  names: z.array(z.string()).optional(),
  not_before_ms: z.number(),
  not_after_ms: z.number(),
  revoked_at_ms: z.number().optional(),
})

const NODE_BAN = z.object({
  node_id: z.string(),
  key_fingerprints: z.array(z.string()),
  reason: z.string().optional(),
  banned_at_ms: z.number(),
})

const NODE_ID = z.object({ id: z.string().refine(isNodeId, 'is not a node id') })

const ID = z.object({ id: z.string().min(1).max(128) })

/** Nodes, join tokens and the CA, coordinator only. */
export function registerTrustRoutes(app: App, { trustAdmin, caRotation, membership }: RouteNeeds): void {
  const admin = (): TrustAdmin => {
    if (trustAdmin) return trustAdmin
    throw coordinatorOnly(membership, 'keep the certificate authority')
  }

  registerRotationRoutes(app, () => {
    if (caRotation) return caRotation
    throw coordinatorOnly(membership, 'keep the certificate authority')
  })
  registerNodeRoutes(app, admin)
  registerTokenRoutes(app, admin)

  app.route({
    method: 'GET',
    url: '/api/ca',
    schema: {
      operationId: 'getCa',
      summary: 'The certificate authority and what it issued',
      tags: ['trust'],
      response: answers({
        200: z.object({
          cluster: z.string(),
          ca_certificate: z.string(),
          issuing_certificate: z.string(),
          ca_fingerprint: z.string(),
          not_after_ms: z.number(),
          leaf_lifetime_ms: z.number(),
          issued: z.array(ISSUED_CERTIFICATE),
        }),
      }),
    },
    handler: async () => admin().describeCa(),
  })
}

const CA_ROTATION = z.object({
  kind: z.enum(['root', 'issuing']),
  phase: z.enum(['distributing', 'renewing', 'dropping', 'done']),
  started_at_ms: z.number(),
  phase_since_ms: z.number(),
  old_fingerprint: z.string(),
  new_fingerprint: z.string(),
  nodes_total: z.int(),
  nodes_followed: z.int().register(WIRE, { description: 'How many have done what this phase asks for' }),
  waiting_for: z.array(
    z.object({
      node_id: z.string(),
      status: z.enum(['alive', 'suspect', 'dead', 'left', 'absent']),
      missing: z.enum(['trust', 'certificate', 'drop']).register(WIRE, {
        description: 'Does not trust the new root yet, has no new certificate, still trusts the old root',
      }),
    }),
  ),
  left_behind: z.array(z.string()),
})

/** Exchanging the CA while everything runs (docs/certificates.md). */
function registerRotationRoutes(app: App, rotation: () => CaRotationAdmin): void {
  const tags = ['trust']

  app.route({
    method: 'GET',
    url: '/api/ca/rotation',
    schema: {
      operationId: 'getCaRotation',
      summary: 'How far the latest rotation of the CA is, and who has not followed',
      tags,
      response: answers({ 200: z.object({ rotation: CA_ROTATION.nullable() }) }),
    },
    handler: async () => ({ rotation: rotation().status() ?? null }),
  })

  app.route({
    method: 'POST',
    url: '/api/ca/rotation',
    schema: {
      operationId: 'rotateCa',
      summary: 'Begins to exchange the root, or the issuing CA under it',
      tags,
      body: z.strictObject({ kind: z.enum(['root', 'issuing']) }),
      response: answers({ 202: CA_ROTATION }),
    },
    handler: async (request, reply) => reply.code(202).send(await rotation().begin(request.body.kind)),
  })

  app.route({
    method: 'POST',
    url: '/api/ca/rotation/finish',
    schema: {
      operationId: 'finishCaRotation',
      summary: 'Goes on without the nodes that have not followed',
      tags,
      body: z.strictObject({ force: z.boolean().default(false) }).nullish(),
      response: answers({ 202: CA_ROTATION }),
    },
    handler: async (request, reply) =>
      reply.code(202).send(await rotation().finish({ force: request.body?.force ?? false })),
  })
}

function registerNodeRoutes(app: App, admin: () => TrustAdmin): void {
  const tags = ['trust']

  app.route({
    method: 'GET',
    url: '/api/nodes/pending',
    schema: {
      operationId: 'listPendingNodes',
      summary: 'Strangers that wait for approval',
      tags,
      response: answers({ 200: z.object({ pending: z.array(PENDING_NODE) }) }),
    },
    handler: async () => ({ pending: admin().pending() }),
  })

  app.route({
    method: 'POST',
    url: '/api/nodes/:id/approve',
    schema: {
      operationId: 'approveNode',
      summary: 'Lets a waiting node in, by node id or request id',
      tags,
      params: ID,
      body: z
        .strictObject({
          fingerprint: HEX_256.optional().register(WIRE, {
            description: 'Must match: approval is of a key, not of a name',
          }),
        })
        .nullish(),
      response: answers({ 200: PENDING_NODE }),
    },
    handler: async (request) => admin().approve(request.params.id, request.body?.fingerprint),
  })

  app.route({
    method: 'POST',
    url: '/api/nodes/:id/reject',
    schema: {
      operationId: 'rejectNode',
      summary: 'Turns a waiting node away',
      tags,
      params: ID,
      response: answers({ 200: PENDING_NODE }),
    },
    handler: async (request) => admin().reject(request.params.id),
  })

  app.route({
    method: 'DELETE',
    url: '/api/nodes/:id/certificates',
    schema: {
      operationId: 'revokeNode',
      summary: 'Revokes every certificate of a node',
      tags,
      params: ID,
      response: answers({ 200: z.object({ revoked: z.array(ISSUED_CERTIFICATE) }) }),
    },
    handler: async (request) => ({ revoked: await admin().revokeNode(request.params.id) }),
  })

  app.route({
    method: 'GET',
    url: '/api/nodes/banned',
    schema: {
      operationId: 'listBannedNodes',
      summary: 'Nodes that may not join again',
      tags,
      response: answers({ 200: z.object({ banned: z.array(NODE_BAN) }) }),
    },
    handler: async () => ({ banned: admin().bans() }),
  })

  app.route({
    method: 'POST',
    url: '/api/nodes/:id/ban',
    schema: {
      operationId: 'banNode',
      summary: 'Revokes every certificate of a node and never lets its name or its keys in again',
      tags,
      params: NODE_ID,
      body: z
        .strictObject({
          fingerprint: HEX_256.optional().register(WIRE, { description: 'A further key that is banned with it' }),
          reason: z.string().min(1).max(200).optional(),
        })
        .nullish(),
      response: answers({ 200: NODE_BAN }),
    },
    handler: async (request) => {
      const { fingerprint, reason } = request.body ?? {}
      return admin().banNode(request.params.id, {
        ...(fingerprint !== undefined && { fingerprint }),
        ...(reason !== undefined && { reason }),
      })
    },
  })

  app.route({
    method: 'DELETE',
    url: '/api/nodes/:id/ban',
    schema: {
      operationId: 'unbanNode',
      summary: 'Lifts a ban; the node joins like one that was revoked',
      tags,
      params: NODE_ID,
      response: answers({ 200: NODE_BAN }),
    },
    handler: async (request) => admin().unbanNode(request.params.id),
  })
}

function registerTokenRoutes(app: App, admin: () => TrustAdmin): void {
  const tags = ['trust']

  app.route({
    method: 'GET',
    url: '/api/tokens',
    schema: {
      operationId: 'listJoinTokens',
      summary: 'Join tokens that can still be used',
      tags,
      response: answers({ 200: z.object({ tokens: z.array(TOKEN_FACTS) }) }),
    },
    handler: async () => ({ tokens: await admin().listTokens() }),
  })

  app.route({
    method: 'POST',
    url: '/api/tokens',
    schema: {
      operationId: 'createJoinToken',
      summary: 'A new join token; the answer is the only time it is shown',
      tags,
      body: z.strictObject({
        role: z.enum(ROLES).default('worker'),
        uses: z.int().min(1).max(1_000).default(1),
        ttl_s: z.int().min(60).max(TTL_S_MAX).default(600),
      }),
      response: answers({ 201: z.object({ token: z.string(), facts: TOKEN_FACTS }) }),
    },
    handler: async (request, reply) => {
      const { role, uses, ttl_s: ttlS } = request.body
      return reply.code(201).send(await admin().createToken({ role, uses, ttlMs: ttlS * 1000 }))
    },
  })

  app.route({
    method: 'DELETE',
    url: '/api/tokens/:id',
    schema: {
      operationId: 'revokeJoinToken',
      summary: 'Makes a join token useless',
      tags,
      params: ID,
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Revoked' }) }),
    },
    handler: async (request, reply) => {
      await admin().revokeToken(request.params.id)
      return reply.code(204).send(undefined)
    },
  })
}
