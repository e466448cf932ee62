import { z } from 'zod'
import type { Acme, AcmeAdmin, AcmeAnswer } from '../../../base/acme.ts'
import { RpcError } from '../../../base/errors.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { App } from '../fastify-app.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const TAGS = ['acme']
const JOSE = 'application/jose+json'
const LOOPBACK = /^127\.|^::1$/
const TTL_S_MAX = 366 * 24 * 3_600

/** The resources a client posts signed requests to (RFC 8555 section 7.1). */
const RESOURCES = {
  '/acme/new-account': ['openAcmeAccount', 'Opens an account, bound to a credential'],
  '/acme/account/:id': ['updateAcmeAccount', 'Shows or changes an account'],
  '/acme/account/:id/orders': ['listAcmeOrders', 'The orders of an account'],
  '/acme/key-change': ['changeAcmeKey', 'Gives an account another key'],
  '/acme/new-order': ['createAcmeOrder', 'Begins an order'],
  '/acme/order/:id': ['getAcmeOrder', 'Shows an order'],
  '/acme/order/:id/finalize': ['finalizeAcmeOrder', 'Hands in the certificate request of an order'],
  '/acme/authorization/:id/:index': ['getAcmeAuthorization', 'Shows or gives up an authorization'],
  '/acme/challenge/:id/:index/:type': ['answerAcmeChallenge', 'Has a challenge looked at'],
  '/acme/certificate/:serial': ['getAcmeCertificate', 'Downloads a certificate with its chain'],
  '/acme/revoke-cert': ['revokeAcmeCertificate', 'Revokes a certificate'],
} as const

/** What opens, gives or takes away; the rest only leads there. Known before the client can use what it gets. */
const ACME_ACTS: ReadonlySet<string> = new Set([
  '/acme/new-account',
  '/acme/key-change',
  '/acme/order/:id/finalize',
  '/acme/revoke-cert',
])

/** Why a client was refused. One whose nonce has grown old asks again (RFC 8555 section 6.5): that is no refusal. */
function acmeRefusalOf({ status, body }: AcmeAnswer): string | undefined {
  const kind = kindOf((body as { type?: string } | undefined)?.type)
  return status < 400 || status >= 500 || kind === 'badNonce' ? undefined : `${status} ${kind}`.trim()
}

/** Of `urn:ietf:params:acme:error:kind`. */
function kindOf(problemType = ''): string {
  return problemType.slice(problemType.lastIndexOf(':') + 1)
}

const CREDENTIAL = z.object({
  kid: z.string(),
  label: z.string(),
  names: z.array(z.string()),
  uses_left: z.int(),
  created_at_ms: z.number(),
  expires_at_ms: z.number(),
})

/** Certificates for what is no node, by stock ACME clients; coordinator only. The server decides; these routes only carry. */
export function registerAcmeRoutes(app: App, { acme, acmeAdmin, membership, transport, audit }: RouteNeeds): void {
  const server = (): Acme => {
    if (acme) return acme
    throw coordinatorOnly(membership, 'issue certificates')
  }
  registerDirectory(app, server)
  for (const [url, [operationId, summary]] of Object.entries(RESOURCES)) {
    app.route({
      method: 'POST',
      url,
      schema: {
        operationId,
        summary,
        description: 'The body is a flattened JWS. Failures are ACME problems (RFC 8555 section 6.7).',
        tags: TAGS,
        consumes: [JOSE],
        body: z.unknown(),
        response: answers({ 200: z.unknown() }),
      },
      handler: async (request, reply) => {
        // The media type is part of the protocol: a page of another origin cannot send it unasked (RFC 8555 section 6.2).
        if (request.headers['content-type'] !== JOSE) {
          throw new RpcError('P2P_HTTP_MEDIA_TYPE_UNSUPPORTED', `${request.url} takes ${JOSE}`)
        }
        const { remoteAddress } = transport.facts(request.raw)
        const act = {
          act: `POST ${url.replace(/:(\w+)/g, '{$1}')}`,
          who: 'anonymous',
          from: remoteAddress,
          target: Object.values(request.params as Record<string, string>).join(' '),
          traceId: request.id,
        }
        const signed = {
          base: baseOf(request),
          path: request.url,
          isSameHost: LOOPBACK.test(remoteAddress),
          onChallengeFailed: (type: string) => audit?.refused(act, kindOf(type)),
        }
        const answer = await server().post(signed, request.body, closedSignal(reply))
        const refusal = acmeRefusalOf(answer)
        if (refusal !== undefined) audit?.refused(act, refusal)
        else if (answer.status < 400 && ACME_ACTS.has(url))
          (await audit?.begin(act))?.('succeeded', String(answer.status))
        return send(reply, answer)
      },
    })
  }
  registerCredentials(app, () => {
    if (acmeAdmin) return acmeAdmin
    throw coordinatorOnly(membership, 'issue certificates')
  })
}

function registerDirectory(app: App, server: () => Acme): void {
  app.route({
    method: 'GET',
    url: '/acme/directory',
    schema: {
      operationId: 'getAcmeDirectory',
      summary: 'Where the resources of the ACME server are (RFC 8555 section 7.1.1)',
      tags: TAGS,
      response: answers({ 200: z.record(z.string(), z.unknown()) }),
    },
    handler: async (request) => server().directory(baseOf(request)) as Record<string, unknown>,
  })
  app.route({
    method: 'GET',
    url: '/acme/new-nonce',
    schema: {
      operationId: 'getAcmeNonce',
      summary: 'A nonce, in the header Replay-Nonce',
      tags: TAGS,
      response: answers({ 204: z.undefined().register(WIRE, { description: 'In the header' }) }),
    },
    handler: async (request, reply) => {
      const link = `<${baseOf(request)}/acme/directory>;rel="index"`
      void reply.headers({ 'replay-nonce': server().nonce(), 'cache-control': 'no-store', link })
      return reply.code(request.method === 'HEAD' ? (200 as 204) : 204).send(undefined)
    },
  })
  app.route({
    method: 'GET',
    url: '/acme/renewal-info/:certificate',
    schema: {
      operationId: 'getAcmeRenewalInfo',
      summary: 'When a certificate should be renewed (RFC 9773)',
      tags: TAGS,
      params: z.object({ certificate: z.string().max(200) }),
      response: answers({ 200: z.unknown() }),
    },
    handler: async (request, reply) =>
      send(reply, await server().renewalInfo(baseOf(request), request.params.certificate)),
  })
}

function registerCredentials(app: App, admin: () => AcmeAdmin): void {
  app.route({
    method: 'GET',
    url: '/api/acme/credentials',
    schema: {
      operationId: 'listAcmeCredentials',
      summary: 'Who may open ACME accounts; keys are never shown again',
      tags: TAGS,
      response: answers({ 200: z.object({ credentials: z.array(CREDENTIAL) }) }),
    },
    handler: async () => ({ credentials: await admin().listCredentials() }),
  })
  app.route({
    method: 'POST',
    url: '/api/acme/credentials',
    schema: {
      operationId: 'createAcmeCredential',
      summary: 'A new credential; the answer is the only time its key is shown',
      tags: TAGS,
      body: z.strictObject({
        label: z.string().min(1).max(100),
        names: z
          .array(z.string().max(255))
          .max(64)
          .default([])
          .register(WIRE, { description: 'Exact names, `*.` and a domain, addresses; empty: whatever is proved' }),
        uses: z.int().min(1).max(1_000).default(1),
        ttl_s: z
          .int()
          .min(60)
          .max(TTL_S_MAX)
          .default(24 * 3_600),
      }),
      response: answers({
        201: z.object({ hmac_key: z.string(), directory: z.string(), facts: CREDENTIAL }),
      }),
    },
    handler: async (request, reply) => {
      const { ttl_s: ttlS, ...options } = request.body
      const created = await admin().createCredential({ ...options, ttlMs: ttlS * 1_000 })
      return reply.code(201).send({ ...created, directory: `${baseOf(request)}/acme/directory` })
    },
  })
  app.route({
    method: 'DELETE',
    url: '/api/acme/credentials/:kid',
    schema: {
      operationId: 'revokeAcmeCredential',
      summary: 'Withdraws a credential, and the accounts that were opened with it',
      tags: TAGS,
      params: z.object({ kid: z.string().min(1).max(64) }),
      response: answers({ 204: z.undefined().register(WIRE, { description: 'Withdrawn' }) }),
    },
    handler: async (request, reply) => {
      await admin().revokeCredential(request.params.kid)
      return reply.code(204).send(undefined)
    },
  })
}

/** The origin as the client wrote it: the URLs it gets and signs begin so. */
function baseOf(request: { host: string }): string {
  return `https://${request.host}`
}

interface Reply {
  code(status: number): Reply
  headers(headers: Record<string, string>): Reply
  send(body: unknown): never
}

/** As bytes: what the server wrote is what was meant to be sent. */
function send(reply: unknown, { status, headers, contentType = 'application/json', body }: AcmeAnswer): never {
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': contentType }
  const bytes = typeof body === 'string' ? Buffer.from(body) : body && Buffer.from(JSON.stringify(body))
  return (reply as Reply)
    .code(status)
    .headers({ 'cache-control': 'no-store', ...type, ...headers })
    .send(bytes)
}

function closedSignal(reply: { raw: { once(event: 'close', listener: () => void): unknown } }): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => controller.abort())
  return controller.signal
}
