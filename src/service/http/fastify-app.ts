import { Readable } from 'node:stream'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { assert } from '../../base/assert.ts'
import type { AuditAct, AuditOutcome } from '../../base/audit.ts'
import { codeOf, messageOf, P2PError, RpcError } from '../../base/errors.ts'
import { ANONYMOUS, type Principal, principalLabel } from '../../base/identity.ts'
import { ACCESS, accessRoleOf, type RouteKey } from '../auth/access.ts'
import { isAudited, isAuditedThoughOpen } from '../auth/audited.ts'
import type { RecordAct } from '../auth/record-act.ts'
import { forbiddenKeyIn, isTooDeep, RPC_LIMITS } from '../jsonrpc/index.ts'
import { CredentialWatch } from './credential-watch.ts'
import { recordForgery } from './forgeries.ts'
import { pathOf, toProblem } from './fastify-problem.ts'
import type { RouteNeeds } from './http-needs.ts'
import { OpenAct } from './open-act.ts'
import { type Problem, problemHeaders } from './problem.ts'
import { nearestPaths, routesAt } from './route-table.ts'
import { SECURITY_HEADERS } from './security-headers.ts'
import { traceIdOf } from './trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set before any route's own code runs. */
    caller: Principal
    /** Tells the audit trail how the act ended; absent for what is not recorded. */
    endAct: ((outcome: AuditOutcome, detail: string) => void) | undefined
    /** Records an act that anybody may try, before it is done: by whom, now that this is known. */
    recordAct: RecordAct
    /** Why an act that anybody may try came to nothing, where the status does not say it. */
    actFailure: string | undefined
    /** Whom the act is about, where the path does not say; for the audit trail, never a secret. */
    actNote: string | undefined
  }
}

/** Fastify with schemas in Zod. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** A certificate request, the largest of what strangers send, has 16 KiB. */
const OPEN_BODY_BYTES_MAX = 64 * 1024

/** The table's key of a route as Fastify writes it: `/services/:name` is `/services/{name}`; HEAD counts as GET. */
export function routeKeyOf(method: string, url: string): RouteKey {
  const key = `${method === 'HEAD' ? 'GET' : method} ${url.replace(/:(\w+)/g, '{$1}')}`
  assert(key in ACCESS, `route ${key} is missing in the access table (src/service/auth/access.ts)`)
  return key as RouteKey
}

/**
 * The framework set up as every route needs it: trace id, admission by the access table, bodies, problems. Without routes.
 * A route that is missing in the table cannot be registered.
 */
export function createApp(needs: RouteNeeds): App {
  const { gate, transport, counts, random, log, audit } = needs
  const watch = new CredentialWatch(needs)
  const app: App = fastify({
    bodyLimit: RPC_LIMITS.bodyBytesMax,
    genReqId: (request) => traceIdOf(request.headers, random),
    routerOptions: { maxParamLength: 256 },
    // Without these Fastify loads compilers of its own before it is given ours: twenty packages that nothing uses.
    schemaController: { compilersFactory: { buildValidator: setBelow, buildSerializer: setBelow } },
    // A URL that cannot be decoded reaches no route and no hook.
    frameworkErrors: (error, request, reply: FastifyReply) => {
      const problem = toProblem(error, request, log)
      void reply.code(problem.status).headers({ ...SECURITY_HEADERS, ...problemHeaders(problem) })
      void reply.send(problemBytes(problem))
    },
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.decorateRequest('caller')
  app.decorateRequest('endAct')
  app.decorateRequest('actNote')
  app.decorateRequest('recordAct', async () => {})
  app.decorateRequest('actFailure')
  app.removeAllContentTypeParsers()
  const json = async (_request: FastifyRequest, body: Buffer): Promise<unknown> => parseJson(body)
  app.addContentTypeParser(['application/json', 'application/jose+json'], { parseAs: 'buffer' }, json)

  app.addHook('onRoute', (route) => {
    const keys = [route.method].flat().map((name) => routeKeyOf(name, route.url))
    // Strangers are known by nothing but an address, and what all of them send at once is kept until it is whole.
    if (keys.some((key) => ACCESS[key] === 'open')) route.bodyLimit = OPEN_BODY_BYTES_MAX
  })
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(SECURITY_HEADERS)
    const connection = transport.facts(request.raw)
    const key = keyOf(request)
    const isRecorded = key !== undefined && isAudited(key)
    const act = (): AuditAct => actOf(key as RouteKey, request, connection.remoteAddress)
    try {
      request.caller = await gate.admit(key, { headers: request.headers, connection })
    } catch (error) {
      if (isRecorded) audit?.refused({ ...act(), ...callerRefused(error) }, codeOf(error) ?? messageOf(error))
      else
        recordForgery(audit, error, { act: key ?? 'unknown path', from: connection.remoteAddress, traceId: request.id })
      throw error
    }
    if (!isRecorded || !audit) return
    if (isAuditedThoughOpen(key)) {
      const open = new OpenAct(audit, act())
      request.recordAct = open.record
      request.endAct = (outcome, detail) => open.end(outcome === 'succeeded', detail)
    } else request.endAct = await audit.begin(act())
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const isStream =
      payload instanceof Readable && String(reply.getHeader('content-type')).startsWith('text/event-stream')
    if (!isStream) return
    const unfollow = watch.follow({ headers: request.headers, connection: transport.facts(request.raw) }, () =>
      payload.destroy(),
    )
    payload.once('close', unfollow)
  })
  app.addHook('onResponse', async (request, reply) => {
    counts.add(request.is404 ? undefined : keyOf(request), reply.statusCode)
    const { actNote, actFailure } = request
    const detail = [reply.statusCode, actFailure, actNote].filter((part) => part !== undefined).join(' ')
    request.endAct?.(reply.statusCode < 400 && actFailure === undefined ? 'succeeded' : 'failed', detail)
  })
  app.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error, request, log)
    return reply.code(problem.status).headers(problemHeaders(problem)).send(problemBytes(problem))
  })
  app.setNotFoundHandler((request) => {
    throw notFound(request.method, pathOf(request))
  })
  return app
}

function setBelow(): never {
  throw new Error('the compilers of schemas are set right after Fastify is made')
}

/** What the audit trail is told of a request: names out of the path, never what is in the query or the body. */
function actOf(key: RouteKey, request: FastifyRequest, from: string): AuditAct {
  // Set only once the caller is known; a refused one is a stranger.
  const caller = (request.caller as Principal | undefined) ?? ANONYMOUS
  const target = Object.values((request.params ?? {}) as Record<string, string>).join(' ')
  return {
    act: key,
    who: principalLabel(caller),
    role: accessRoleOf(caller),
    from,
    ...(target !== '' && { target }),
    traceId: request.id,
  }
}

/** Who was refused, where that was known by then. */
function callerRefused(error: unknown): Partial<AuditAct> {
  const { caller, role } = error instanceof P2PError ? error.details : {}
  return typeof caller === 'string' ? { who: caller, role: String(role) } : {}
}

/** The route asked for; where only the method is wrong, the path's own route decides who learns that. */
function keyOf(request: FastifyRequest): RouteKey | undefined {
  const { url } = request.routeOptions
  if (!request.is404 && url !== undefined) return routeKeyOf(request.method, url)
  return routesAt(pathOf(request))[0]?.key
}

function notFound(method: string, path: string): RpcError {
  const allow = routesAt(path).map((route) => route.method)
  if (allow.length > 0) {
    return new RpcError('P2P_HTTP_METHOD_NOT_ALLOWED', `${path} takes ${allow.join(', ')}, not ${method}`, { allow })
  }
  const near = nearestPaths(path)
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '; GET /openapi.json lists every path'
  return new RpcError('P2P_HTTP_NOT_FOUND', `There is no ${path} on this node${hint}`, near.length > 0 ? { near } : {})
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Size was checked while reading; then depth, grammar and keys, as for JSON-RPC bodies. */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined
  let text: string
  try {
    text = decoder.decode(body)
  } catch {
    throw new RpcError('P2P_HTTP_BODY_INVALID', 'The body is not JSON: it is not UTF-8')
  }
  if (isTooDeep(text, RPC_LIMITS.depthMax)) {
    throw new RpcError('P2P_HTTP_BODY_INVALID', `The body nests deeper than ${RPC_LIMITS.depthMax} levels`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new RpcError('P2P_HTTP_BODY_INVALID', `The body is not JSON: ${messageOf(error)}`)
  }
  const key = forbiddenKeyIn(text, value)
  if (key !== undefined) throw new RpcError('P2P_HTTP_BODY_INVALID', `The key "${key}" is not allowed in a body`)
  return value
}

/** As bytes, because Fastify would add a charset to the type of a text, which JSON types do not have (RFC 8259 section 11). */
function problemBytes(problem: Problem): Buffer {
  return Buffer.from(JSON.stringify(problem))
}
