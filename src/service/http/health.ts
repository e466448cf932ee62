import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { RouteHandler } from '../../transport/index.ts'
import type { ServiceDirectory } from '../definition/descriptor.ts'
import type { Gate } from './gate.ts'
import { problemResponse } from './problem.ts'
import type { RequestCounts } from './request-counts.ts'
import { SECURITY_HEADERS } from './security-headers.ts'
import { traceIdOf } from './trace.ts'

/** How a node's services are: all that a stranger learns. */
export interface Health {
  /** `degraded`: the node answers, but a service has failed. */
  status: 'healthy' | 'degraded'
  node_id: string
  /** `degraded` counts services that failed or say they are failing; those just starting or stopping are in `total` only. */
  services: { total: number; healthy: number; degraded: number }
  timestamp: string
}

export interface HealthNeeds {
  clock: Clock
  services: ServiceDirectory
  nodeId: () => string
}

export function healthOf({ clock, services, nodeId }: HealthNeeds): Health {
  const all = services.list()
  const healthy = all.filter(({ status, health }) => status === 'running' && health !== 'failing').length
  const degraded = all.filter(({ status, health }) => status === 'error' || health === 'failing').length
  return {
    status: degraded > 0 ? 'degraded' : 'healthy',
    node_id: nodeId(),
    services: { total: all.length, healthy, degraded },
    timestamp: new Date(clock.wallMs()).toISOString(),
  }
}

/**
 * `GET` and `HEAD /health`, past the framework, because load balancers ask for it all the time. Answers 200 also when degraded:
 * one failed service must not take the node out of rotation. While the node stops it answers nothing: the port is closed.
 */
export function createHealthRoute(
  needs: HealthNeeds & { random: Random; gate: Gate; counts: RequestCounts },
): RouteHandler {
  return async (request) => {
    try {
      await needs.gate.admit('GET /health', request)
    } catch (error) {
      const traceId = traceIdOf(request.headers, needs.random)
      const response = problemResponse(error, { path: request.path, traceId })
      needs.counts.add('GET /health', response.status)
      return response
    }
    needs.counts.add('GET /health', 200)
    const headers = { ...SECURITY_HEADERS, 'content-type': 'application/json' }
    if (request.method === 'HEAD') return { status: 200, headers }
    return { status: 200, headers, body: JSON.stringify(healthOf(needs)) }
  }
}
