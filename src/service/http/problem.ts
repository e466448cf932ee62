import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { ERROR_CODES, type ErrorCode, type ErrorDetails, P2PError } from '../../base/errors.ts'
import type { RouteResponse } from '../../transport/index.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** An error as it travels (RFC 9457): `type` names the kind, `trace_id` the occurrence in the logs. Never a stack. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  /** The path asked for, without query. */
  instance: string
  code: ErrorCode
  trace_id: string
  /** The same request may succeed later. */
  retryable: boolean
  /** What is wrong where in the request: `body/ttl_s`. */
  issues?: { path: string; message: string }[]
  details?: ErrorDetails
}

const PROBLEM_TYPE = 'application/problem+json'

/** Where it happened: for the problem's body and the log. */
export interface ProblemPlace {
  path: string
  traceId: string
}

/** The problem that tells the caller of `error`. What is not a P2PError is our bug: the caller learns only where to look. */
export function problemOf(error: unknown, place: ProblemPlace): Problem {
  const known = error instanceof P2PError ? error : undefined
  const code: ErrorCode = known?.code ?? 'P2P_RPC_INTERNAL'
  const { http: status, retryable } = ERROR_CODES[code]
  const problem: Problem = {
    type: `urn:p2p-core:error:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: known?.message ?? `The node failed to answer; its log tells why under trace id ${place.traceId}`,
    instance: place.path,
    code,
    trace_id: place.traceId,
    retryable,
  }
  if (known && Object.keys(known.details).length > 0) problem.details = known.details
  return problem
}

/** The headers that go with a problem: what it is, and what the client can do (RFC 6750 section 3, RFC 9110 section 10.2). */
export function problemHeaders(problem: Problem): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  if (problem.status === 401) {
    const isTokenError = problem.code.startsWith('P2P_AUTH_TOKEN_')
    headers['www-authenticate'] = isTokenError
      ? 'Bearer realm="p2p-core", error="invalid_token"'
      : 'Bearer realm="p2p-core"'
  }
  const { retry_after_s: retryAfterS, allow } = problem.details ?? {}
  if (typeof retryAfterS === 'number') headers['retry-after'] = String(retryAfterS)
  if (Array.isArray(allow)) headers['allow'] = allow.join(', ')
  return headers
}

/** The whole answer, for routes on the fast path. */
export function problemResponse(error: unknown, place: ProblemPlace): RouteResponse {
  const problem = problemOf(error, place)
  return {
    status: problem.status,
    headers: { ...SECURITY_HEADERS, ...problemHeaders(problem) },
    body: JSON.stringify(problem),
  }
}

/** The same, written to a response of the transport's fallback. */
export function writeProblem(
  response: ServerResponse | Http2ServerResponse,
  error: unknown,
  place: ProblemPlace,
): void {
  const { status, headers, body } = problemResponse(error, place)
  // Both kinds have these methods; their overloads differ too much for a union to be called.
  const either = response as ServerResponse
  either.writeHead(status, headers)
  either.end(body)
}
