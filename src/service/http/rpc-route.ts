import { Readable } from 'node:stream'
import type { AuditTrail } from '../../base/audit.ts'
import { P2PError, RpcError } from '../../base/errors.ts'
import { isNodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { RouteHandler, RouteRequest, RouteResponse } from '../../transport/index.ts'
import type { CallTarget, RpcEndpoint } from '../definition/descriptor.ts'
import { recordForgery } from './forgeries.ts'
import type { Gate } from './gate.ts'
import { problemResponse } from './problem.ts'
import type { RequestCounts } from './request-counts.ts'
import { SECURITY_HEADERS } from './security-headers.ts'
import { newSpanId } from '../calls/trace-id.ts'
import { parentSpanIdOf, traceIdOf, traceparent } from './trace.ts'

export interface RpcRouteNeeds {
  clock: Clock
  random: Random
  log: Logger
  gate: Gate
  rpc: RpcEndpoint
  counts: RequestCounts
  /** Absent: forged tokens are not recorded. */
  audit?: AuditTrail
}

/** Header with the caller's patience in milliseconds; without it the method's own limit decides. */
export const TIMEOUT_HEADER = 'x-p2p-timeout-ms'

/** Longest time a call over HTTP may take. */
export const CALL_TIMEOUT_MS_MAX = 600_000

/**
 * `POST /rpc`, past the framework: credential, limit and role are checked as everywhere; the body goes to the runtime
 * as it came. Refusals before JSON-RPC begins are problem details, everything after is JSON-RPC.
 */
export function createRpcRoute(needs: RpcRouteNeeds): RouteHandler {
  const { random, log, counts } = needs
  return async (request) => {
    const traceId = traceIdOf(request.headers, random)
    let response: RouteResponse
    try {
      response = await answer(needs, request, traceId)
    } catch (error) {
      if (!(error instanceof P2PError)) log.error('POST /rpc failed', { trace_id: traceId, error })
      response = problemResponse(error, { path: request.path, traceId })
    }
    counts.add('POST /rpc', response.status)
    // A header that differs in every answer costs compression its memory: only who traces gets it.
    if (request.headers.traceparent === undefined) return response
    return { ...response, headers: { ...response.headers, traceparent: traceparent(traceId, newSpanId(random)) } }
  }
}

const NDJSON = 'application/x-ndjson'
const NDJSON_HEADERS = { ...SECURITY_HEADERS, 'content-type': NDJSON }
const JSON_HEADERS = { ...SECURITY_HEADERS, 'content-type': 'application/json' }

async function answer(needs: RpcRouteNeeds, request: RouteRequest, traceId: string): Promise<RouteResponse> {
  const { clock, gate, rpc } = needs
  const caller = await gate.admit('POST /rpc', request).catch((error: unknown) => {
    recordForgery(needs.audit, error, { act: 'POST /rpc', from: request.connection.remoteAddress, traceId })
    throw error
  })
  requireJson(request.headers['content-type'])
  const { status, body, lines } = await rpc.handleRpc(await request.body(), {
    caller,
    traceId,
    parentSpanId: parentSpanIdOf(request.headers),
    acceptsStream: request.headers.accept?.includes(NDJSON) ?? false,
    deadlineMs: clock.nowMs() + timeoutMsOf(request.headers[TIMEOUT_HEADER]),
    target: targetOf(request.query.get('node')),
    // The request makes it when it is read; a call that ends at once never does.
    get signal() {
      return request.signal
    },
  })
  if (lines) return { status, headers: NDJSON_HEADERS, body: Readable.from(lines) }
  return body === undefined ? { status, headers: SECURITY_HEADERS } : { status, headers: JSON_HEADERS, body }
}

/** A web page may send any other type to a foreign origin unasked (CORS-safelisted types), so it must be this one. */
function requireJson(contentType: string | undefined): void {
  if (contentType !== undefined && /^application\/json\s*(;|$)/i.test(contentType)) return
  throw new RpcError(
    'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED',
    `POST /rpc takes application/json, not ${contentType ?? 'a body without content-type'}`,
  )
}

function timeoutMsOf(header: string | string[] | undefined): number {
  if (header === undefined) return CALL_TIMEOUT_MS_MAX
  const timeoutMs = Number(header)
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1) return Math.min(timeoutMs, CALL_TIMEOUT_MS_MAX)
  throw new RpcError('P2P_RPC_INVALID_REQUEST', `${TIMEOUT_HEADER} must be a whole number of milliseconds from 1`)
}

function targetOf(node: string | null): CallTarget {
  if (node === null) return undefined
  if (isNodeId(node)) return node
  throw new RpcError('P2P_RPC_INVALID_REQUEST', '?node= must be a node id or one of coordinator, worker, local, remote')
}
