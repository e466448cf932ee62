import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { FallbackHandler } from '../../transport/index.ts'
import { writeProblem } from './problem.ts'
import { traceIdOf } from './trace.ts'

/**
 * What a node's port answers between its opening and the start of the HTTP surface: 503, so that nobody takes what is not there
 * yet for what does not exist.
 */
export function createStartingAnswer(random: Random): FallbackHandler {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] as string
    const starting = new RpcError('P2P_HTTP_STARTING', 'The node is starting', { retry_after_s: 1 })
    writeProblem(response, starting, { path, traceId: traceIdOf(request.headers, random) })
  }
}
