import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import type { AuditAct } from '../../../base/audit.ts'
import type { Enrolment } from '../../../base/enrolment.ts'
import { codeOf, type ErrorCode } from '../../../base/errors.ts'
import { isNodeId, principalLabel, ROLES } from '../../../base/identity.ts'
import type { Clock } from '../../../base/time.ts'
import type { App } from '../fastify-app.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, bodyOf, HEX_256, WIRE } from '../wire.ts'

/** A request waits this long for a person's approval before it is answered `pending`; the node then asks again. */
const APPROVAL_WAIT_MS = 25_000

/** The same request may succeed in a moment. */
const NO_REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['P2P_PKI_BUSY', 'P2P_PKI_PENDING'])

const JOIN_PROOF = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none') }),
  z.object({ kind: z.literal('token'), token_id: z.string().min(1).max(128), mac: HEX_256 }),
  z.object({ kind: z.literal('plot'), mac: HEX_256 }),
  z.object({ kind: z.literal('host'), mac: HEX_256 }),
])

const CERTIFICATE_REQUEST = z.object({
  node_id: z.string().refine(isNodeId, 'is not a node id'),
  role: z.enum(ROLES),
  csr: z.string().max(16_384).register(WIRE, { description: 'PKCS#10, PEM' }),
  ip_addresses: z.array(z.string().max(64)).max(64),
  dns_names: z.array(z.string().max(253)).max(64),
  challenge: z.string().min(32).max(128),
  challenge_port: z.int().min(1).max(65_535),
  nonce: z.string().min(1).max(256),
  proof: JOIN_PROOF,
})

const CERTIFICATE_ANSWER = {
  200: z.object({
    status: z.literal('issued'),
    cluster: z.string(),
    certificate_chain: z.string().register(WIRE, { description: 'PEM: leaf, then issuing CA' }),
    ca_certificate: z.string(),
    trusted_roots: z.array(z.string()).optional(),
  }),
  202: z.object({ status: z.literal('pending'), request_id: z.string(), fingerprint: z.string() }),
}

/** How a machine gets its certificate, coordinator only. The authority decides; these routes only carry. */
export function registerEnrolmentRoutes(app: App, needs: RouteNeeds): void {
  const { clock, enrolment, membership, transport, audit } = needs
  const authority = (): Enrolment => {
    if (enrolment) return enrolment
    throw coordinatorOnly(membership, 'issue certificates')
  }
  const tags = ['joining']

  app.route({
    method: 'GET',
    url: '/internal/ca-cert',
    schema: {
      operationId: 'getTrust',
      summary: "The cluster's CA certificates",
      description: 'To be trusted only after the fingerprint was compared with a join token or by a person.',
      tags,
      response: answers({
        200: z.object({
          cluster: z.string(),
          ca_certificate: z.string(),
          issuing_certificate: z.string(),
          ca_fingerprint: z.string().register(WIRE, { description: "SHA-256 of the root's public key, hex" }),
          trusted_roots: z
            .array(z.string())
            .optional()
            .register(WIRE, { description: 'All roots to be trusted now, PEM, when there is more than one' }),
          succession: z
            .array(z.object({ root: z.string(), link: z.string() }))
            .optional()
            .register(WIRE, { description: 'Earlier roots, and the key of the next certified by each, PEM' }),
        }),
      }),
    },
    handler: async () => authority().trust(),
  })

  app.route({
    method: 'POST',
    url: '/internal/cert-nonce',
    schema: {
      operationId: 'createCertificateNonce',
      summary: 'A nonce for one certificate request over this connection',
      tags,
      body: z.object({ client_nonce: z.string().min(16).max(128) }),
      response: answers({
        200: z.object({
          nonce: z.string(),
          expires_in_ms: z.number(),
          time_ms: z.number(),
          plot_proof: z.string().optional(),
        }),
      }),
    },
    handler: async (request) => authority().nonce(request.body.client_nonce, transport.facts(request.raw)),
  })

  app.route({
    method: 'POST',
    url: '/internal/cert-request',
    schema: {
      operationId: 'requestCertificate',
      summary: 'A certificate for a CSR',
      description: 'Waits up to 25 s for an approval; then 202, and the node asks again.',
      tags,
      body: CERTIFICATE_REQUEST,
      response: answers(CERTIFICATE_ANSWER),
    },
    handler: async (request, reply) => {
      using patience = waitFor(clock, reply.raw)
      const connection = transport.facts(request.raw)
      const act: AuditAct = {
        act: 'POST /internal/cert-request',
        who: principalLabel(request.caller),
        from: connection.remoteAddress,
        target: request.body.node_id,
        traceId: request.id,
      }
      const answer = await authority()
        .request(request.body, connection, patience.signal)
        .catch((error: unknown) => {
          const code = codeOf(error)
          if (code !== undefined && !NO_REFUSALS.has(code)) audit?.refused(act, code)
          throw error
        })
      // Known before it can be used. A renewal is nobody's decision: the register of certificates has it.
      if (answer.status === 'issued' && connection.peerCertificateDer === undefined) {
        const endAct = await audit?.begin(act)
        endAct?.('succeeded', request.body.proof.kind === 'none' ? 'approved' : request.body.proof.kind)
      }
      return answer.status === 'issued' ? reply.code(200).send(answer) : reply.code(202).send(answer)
    },
  })

  app.route({
    method: 'GET',
    url: '/internal/crl',
    schema: {
      operationId: 'getRevocationList',
      summary: 'Certificate revocation list, DER (RFC 5280)',
      tags,
      querystring: z.object({
        issuer: HEX_256.optional().register(WIRE, {
          description: 'Key identifier of the issuing CA; by default of the one that issues now',
        }),
      }),
      response: answers({ 200: bodyOf('application/pkix-crl', 'The current list') }),
    },
    handler: async (request, reply) => {
      const der = await authority().crl(request.query.issuer)
      return reply.type('application/pkix-crl').send(Buffer.from(der) as unknown as string)
    },
  })
}

/** A signal that aborts when the time is up or the requester has gone away. */
function waitFor(clock: Clock, response: ServerResponse): Disposable & { signal: AbortSignal } {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  const timer = clock.after(APPROVAL_WAIT_MS, abort)
  response.once('close', abort)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      timer.cancel()
      response.off('close', abort)
    },
  }
}
