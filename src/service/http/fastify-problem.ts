import type { FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { P2PError, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { type Problem, problemOf } from './problem.ts'

/** Path without query: a query may hold what no log or answer should repeat. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] as string
}

/** Any error of a Fastify route as a problem; ours, its own and bugs. Bugs are logged here, with their stack. */
export function toProblem(error: unknown, request: FastifyRequest, log: Logger): Problem {
  const path = pathOf(request)
  const place = { path, traceId: request.id }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const where = error.validationContext ?? 'body'
    const issues = error.validation.map(({ instancePath, message }) => ({
      path: `${where}${instancePath === '/' ? '' : instancePath}`,
      message: message ?? 'invalid',
    }))
    const told = issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')
    return { ...problemOf(new RpcError('P2P_HTTP_BODY_INVALID', `The request is not valid: ${told}`), place), issues }
  }
  const expected = expectedError(error, request)
  if (!expected) log.error('A request failed', { method: request.method, path, trace_id: request.id, error })
  return problemOf(expected ?? error, place)
}

/** Our own errors, and what Fastify refuses before a route's code runs. */
function expectedError(error: unknown, request: FastifyRequest): P2PError | undefined {
  if (error instanceof P2PError) return error
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message?: string }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new RpcError('P2P_TRANSPORT_TOO_LARGE', 'The body is larger than 1 MiB')
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const given = request.headers['content-type'] ?? 'a body without content-type'
    const taken = ['application/json', 'application/octet-stream'].find((type) =>
      request.server.hasContentTypeParser(type),
    )
    return new RpcError('P2P_HTTP_MEDIA_TYPE_UNSUPPORTED', `Bodies here are ${taken}, not ${given}`)
  }
  const isCallersMistake = statusCode !== undefined && statusCode >= 400 && statusCode < 500
  return isCallersMistake ? new RpcError('P2P_HTTP_BODY_INVALID', message ?? 'The request is not valid') : undefined
}
