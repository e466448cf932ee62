import type { Logger } from '../../base/log.ts'
import type { ServiceEvents } from './service-events.ts'
import type { ServiceMetrics } from './service-metrics.ts'
import type { ServiceProxy } from './service-proxy.ts'

/** Names of what got another value, was added or taken away. */
export interface SettingsChange {
  readonly config: readonly string[]
  readonly secrets: readonly string[]
}

/** What the node gives to a service. */
export interface ServiceRuntime {
  readonly name: string
  /** Lines carry the logger name `Service.<name>`. */
  readonly logger: Logger
  readonly proxy: ServiceProxy
  /** What it tells other services, and hears of them. */
  readonly events: ServiceEvents
  readonly metrics: ServiceMetrics
  /**
   * As it was deployed, over what `manifest.json` says; JSON. A change starts the service anew, or, with `"reload": "signal"` in
   * `manifest.json`, is there from one moment to the next: read it where it is used.
   */
  readonly config: Readonly<Record<string, unknown>>
  /** Values of the secrets that `manifest.json` names; they are nowhere but in memory. They change as `config` does. */
  readonly secrets: Readonly<Record<string, string>>
  /** Its own folder for what it keeps; stays over updates. Empty where there is none: in a test, and in a built-in service. */
  readonly dataDirectory: string
  /** Aborted when the service is to stop: hand it to everything that waits or repeats in the background. */
  readonly signal: AbortSignal
  /**
   * Says how the service is; it starts as `healthy`. A `failing` instance stays callable but is avoided when
   * another node has a healthy one.
   */
  reportHealth(health: 'healthy' | 'failing', reason?: string): void
}
