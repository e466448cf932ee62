import type { CallContext } from '../definition/descriptor.ts'
import { SERVICE_METHOD } from './brands.ts'
import type { InputOf, OutputOf, Schema } from './schema.ts'
import type { ServiceRuntime } from './service-runtime.ts'

/** What a method gets beside its parameters: who calls, until when, under which trace, and the service's own tools. */
export interface MethodCall extends Readonly<CallContext> {
  /** Of this call: 16 hex digits (W3C Trace Context parent-id of the calls it makes). */
  readonly spanId: string
  readonly service: ServiceRuntime
}

/** What is said of a callable method. */
export interface MethodOptions<
  Params extends Schema = Schema,
  Result extends Schema = Schema,
  Item extends Schema = Schema,
> {
  /** One sentence for people; shown in OpenAPI, the command line and the dashboard. */
  description: string
  /** True: people and services on other nodes may call it. Default false: only services on the same node. */
  public?: boolean
  /** Names of the services that may call it, and nobody else; on other nodes only if it is `public` too. Default: all. */
  callers?: readonly string[]
  /** The least role of a person who calls a public method; default `operator`. Nodes need none. */
  requiredRole?: 'viewer' | 'operator' | 'admin'
  /** Checks the parameters; the method gets the parsed value. Positional parameters are named in its key order. */
  params?: Params
  /** Checks what the method returns; what it does not name is not sent. */
  result?: Result
  /** True: it is an async generator, or returns an async iterable; its items are JSON or Uint8Array, of at most 1 MiB each. */
  stream?: boolean
  /** Checks each item of a stream; what it does not name is not sent. */
  item?: Item
  /** Longest run time; of a stream: the longest time in which no item moves. Default 30,000. */
  timeoutMs?: number
  /** True: running it twice does no harm. A call that failed on the way is then made again, on another instance where there is one. */
  idempotent?: boolean
  /** Keeps results this long per parameters, for all callers who may call: not for answers that depend on the caller. Default 0. */
  cacheTtlMs?: number
  /** How often one caller may call on one node: `perMinute` in the long run, `burst` at once. Default: unlimited. */
  rate?: { perMinute: number; burst: number }
  /** How many calls run at once on one node; further ones wait. Default: unlimited. */
  concurrency?: number
  /** How many calls may wait when `concurrency` is reached; further ones are refused. Default 100. */
  queue?: number
}

/** A method of `defineService`: its options and the function that answers. */
export interface MethodDefinition<Params extends Schema = Schema, Result extends Schema = Schema>
  extends MethodOptions<Params, Result> {
  stream?: false
  item?: never
  handler(params: OutputOf<Params>, call: MethodCall): InputOf<Result> | Promise<InputOf<Result>>
}

/** A method of `defineService` that answers with a stream: `async *handler(params, call) { yield … }`. */
export interface StreamDefinition<Params extends Schema = Schema, Item extends Schema = Schema>
  extends MethodOptions<Params, Schema, Item> {
  stream: true
  result?: never
  handler(
    params: OutputOf<Params>,
    call: MethodCall,
  ): AsyncIterable<InputOf<Item>> | Promise<AsyncIterable<InputOf<Item>>>
}

/** Any method definition, whatever its types. */
export interface AnyMethodDefinition extends MethodOptions {
  handler(params: never, call: MethodCall): unknown
}

/** Gives `handler` the types of its schemas; returns the definition as it is. */
export function method<Params extends Schema = Schema<Record<string, unknown>>, Result extends Schema = Schema>(
  definition: MethodDefinition<Params, Result>,
): MethodDefinition<Params, Result>
export function method<Params extends Schema = Schema<Record<string, unknown>>, Item extends Schema = Schema>(
  definition: StreamDefinition<Params, Item>,
): StreamDefinition<Params, Item>
export function method(definition: AnyMethodDefinition): AnyMethodDefinition {
  return definition
}

/**
 * Marks a method of a service class as callable (a standard decorator, TC39 stage 3). Only marked methods can be
 * called; a method that overrides a marked one must be marked again.
 * @example
 * ```ts
 * @serviceMethod({ description: 'Greets', public: true, params: z.object({ name: z.string() }) })
 * async greet({ name }: { name: string }) { return { text: `Hello ${name}` } }
 * ```
 */
export function serviceMethod<Params extends Schema = Schema<never>, Item extends Schema = Schema>(
  options: MethodOptions<Params, Schema, Item> & { stream: true },
): MethodDecorator<OutputOf<Params>, AsyncIterable<InputOf<Item>> | Promise<AsyncIterable<InputOf<Item>>>>
export function serviceMethod<Params extends Schema = Schema<never>, Result extends Schema = Schema>(
  options: MethodOptions<Params, Result> & { stream?: false },
): MethodDecorator<OutputOf<Params>, InputOf<Result> | Promise<InputOf<Result>>>
export function serviceMethod(options: MethodOptions): MethodDecorator<never, unknown> {
  return (method, context) => {
    if (context.kind !== 'method' || context.static || context.private) {
      throw new TypeError(
        `@serviceMethod marks public methods of a service, not ${context.kind} ${String(context.name)}`,
      )
    }
    Object.defineProperty(method, SERVICE_METHOD, { value: options })
  }
}

/** Marks a method that takes these parameters and returns this. */
export type MethodDecorator<Params, Returned> = (
  method: (params: Params, call: MethodCall) => Returned,
  context: ClassMethodDecoratorContext,
) => void
