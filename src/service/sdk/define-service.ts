import { SERVICE_DEFINITION } from './brands.ts'
import type { AnyMethodDefinition } from './method.ts'
import type { InputOf, OutputOf, Schema } from './schema.ts'
import type { CallOptions } from './service-proxy.ts'
import type { ServiceRuntime } from './service-runtime.ts'

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

type ParamsOf<Method> = Method extends { params?: infer Params }
  ? Params extends Schema
    ? InputOf<Params>
    : object
  : object
type ResultOf<Method> = Method extends { result?: infer Result }
  ? Result extends Schema
    ? OutputOf<Result>
    : unknown
  : unknown

/**
 * The methods of a defined service as its callers see them.
 * @example const inventory = call.service.proxy.inventory as ServiceClient<typeof inventoryService>
 */
export type ServiceClient<Definition> =
  Definition extends ServiceDefinition<infer Methods>
    ? {
        readonly [Name in keyof Methods]: (
          params: ParamsOf<Methods[Name]>,
          options?: CallOptions,
        ) => Promise<ResultOf<Methods[Name]>>
      }
    : never
