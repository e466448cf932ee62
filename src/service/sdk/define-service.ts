import { SERVICE_DEFINITION } from './brands.ts'
import type { AnyMethodDefinition } from './method.ts'
import type { ServiceRuntime, SettingsChange } from './service-runtime.ts'

/** A service written without a class. */
export interface ServiceOptions<Methods extends Record<string, AnyMethodDefinition>> {
  /** 1 to 63 characters: letters, digits, `_`, `-`, beginning with a letter. */
  name: string
  version: string
  description: string
  /** Free facts about the service; JSON. */
  metadata?: Record<string, unknown>
  methods: Methods
  /** Called once, before the first call. A service whose `initialize` throws or hangs is not started. */
  initialize?(service: ServiceRuntime): void | Promise<void>
  /** Called once, after the last call and after `service.signal` was aborted. */
  cleanup?(service: ServiceRuntime): void | Promise<void>
  /**
   * Called when `service.config` or `service.secrets` have other values than before, of services with `"reload": "signal"` in
   * `manifest.json`. What throws is not taken: the service has the old values again, and the change is taken back.
   */
  reconfigure?(service: ServiceRuntime, change: SettingsChange): void | Promise<void>
}

/** What `defineService` returns. */
export interface ServiceDefinition<
  Methods extends Record<string, AnyMethodDefinition> = Record<string, AnyMethodDefinition>,
> extends ServiceOptions<Methods> {
  readonly [SERVICE_DEFINITION]: true
}

/**
 * Defines a service without a class: `export default defineService({ … })` in its `main.ts`.
 * Wrap each method in `method({ … })` so that its handler gets the types of its schemas.
 */
export function defineService<Methods extends Record<string, AnyMethodDefinition>>(
  options: ServiceOptions<Methods>,
): ServiceDefinition<Methods> {
  return { ...options, [SERVICE_DEFINITION]: true }
}
