import type { Logger } from '../../base/log.ts'
import type { ServiceMetrics } from './service-metrics.ts'
import type { ServiceProxy } from './service-proxy.ts'

/** What the node gives to a service. */
export interface ServiceRuntime {
  readonly name: string
  /** Lines carry the logger name `Service.<name>`. */
  readonly logger: Logger
  readonly proxy: ServiceProxy
  readonly metrics: ServiceMetrics
  /** Aborted when the service is to stop: hand it to everything that waits or repeats in the background. */
  readonly signal: AbortSignal
  /**
   * Says how the service is; it starts as `healthy`. A `failing` instance stays callable but is avoided when
   * another node has a healthy one.
   */
  reportHealth(health: 'healthy' | 'failing', reason?: string): void
}
