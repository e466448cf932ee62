import type { BaseService } from './base-service.ts'
import type { ServiceDefinition } from './define-service.ts'
import type { InputOf, OutputOf, Schema } from './schema.ts'
import type { CallOptions } from './service-proxy.ts'

/** Parameters may be left out where none is needed. */
type Arguments<Params> = object extends Params
  ? [params?: Params, options?: CallOptions]
  : [params: Params, options?: CallOptions]

type SchemaIn<Method, Key extends 'params' | 'result' | 'item'> = Method extends { [K in Key]?: infer Found }
  ? Extract<Found, Schema>
  : never

type ParamsOf<Method> = [SchemaIn<Method, 'params'>] extends [never] ? object : InputOf<SchemaIn<Method, 'params'>>

type OutcomeOf<Method> = Method extends { stream: true }
  ? AsyncIterable<[SchemaIn<Method, 'item'>] extends [never] ? unknown : OutputOf<SchemaIn<Method, 'item'>>>
  : [SchemaIn<Method, 'result'>] extends [never]
    ? unknown
    : OutputOf<SchemaIn<Method, 'result'>>

type DefinedMethods<Methods> = {
  readonly [Name in keyof Methods]: (...call: Arguments<ParamsOf<Methods[Name]>>) => Promise<OutcomeOf<Methods[Name]>>
}

/** What a class says of its methods: which of them are marked, its type does not tell. */
type ClassMethods<Service> = {
  readonly [Name in Exclude<keyof Service, keyof BaseService> as Service[Name] extends (...args: never) => unknown
    ? Name
    : never]: Service[Name] extends () => infer Returned
    ? (params?: object, options?: CallOptions) => Promise<Outcome<Returned>>
    : Service[Name] extends (params: infer Params, ...rest: never) => infer Returned
      ? (...call: Arguments<Params>) => Promise<Outcome<Returned>>
      : never
}

/** A generator arrives as what can be read of it. */
type Outcome<Returned> = Awaited<Returned> extends AsyncIterable<infer Item> ? AsyncIterable<Item> : Awaited<Returned>

type MethodsOf<Source> =
  Source extends ServiceDefinition<infer Methods>
    ? DefinedMethods<Methods>
    : Source extends abstract new (
          ...args: never
        ) => infer Service
      ? ClassMethods<Service>
      : Source extends BaseService
        ? ClassMethods<Source>
        : never

/**
 * The methods of a service as its callers see them, with the targets of {@link ServiceProxy}. `Source` is what `defineService`
 * returned, or the service's class.
 * @example const inventory = call.service.proxy.inventory as ServiceClient<typeof inventoryService>
 * @example const greeter = this.proxy.greeter as ServiceClient<typeof Run>; await greeter['edge-17'].greet({ name: 'Ada' })
 */
export type ServiceClient<Source> = MethodsOf<Source> & Targets<MethodsOf<Source>>

interface Targets<Methods> {
  readonly local: Methods
  readonly remote: Methods
  readonly coordinator: Methods
  readonly worker: Methods
  readonly [nodeId: string]: Methods
}
