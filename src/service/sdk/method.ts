import type { CallContext } from '../descriptor.ts'
import { SERVICE_METHOD } from './brands.ts'
import type { InputOf, OutputOf, Schema } from './schema.ts'
import type { ServiceRuntime } from './service-runtime.ts'

/** What a method gets beside its parameters: who calls, until when, under which trace, and the service's own tools. */
export interface MethodCall extends Readonly<CallContext> {
  readonly service: ServiceRuntime
}

/** What is said of a callable method. */
export interface MethodOptions<Params extends Schema = Schema, Result extends Schema = Schema> {
  /** One sentence for people; shown in OpenAPI, the command line and the dashboard. */
  description: string
  /** True: people and services on other nodes may call it. Default false: only services on the same node. */
  public?: boolean
  /** Checks the parameters; the method gets the parsed value. Positional parameters are named in its key order. */
  params?: Params
  /** Checks what the method returns; what it does not name is not sent. */
  result?: Result
  /** Longest run time; default 30,000. */
  timeoutMs?: number
  /** Keeps results this long per parameters, for all callers who may call: not for answers that depend on the caller. Default 0. */
  cacheTtlMs?: number
  /** The least role of a person who calls a public method; default `operator`. Nodes need none. */
  requiredRole?: 'viewer' | 'operator' | 'admin'
}

/** A method of `defineService`: its options and the function that answers. */
export interface MethodDefinition<Params extends Schema = Schema, Result extends Schema = Schema>
  extends MethodOptions<Params, Result> {
  handler(params: OutputOf<Params>, call: MethodCall): InputOf<Result> | Promise<InputOf<Result>>
}

/** Any method definition, whatever its types. */
export interface AnyMethodDefinition extends MethodOptions {
  handler(params: never, call: MethodCall): unknown
}

/** Gives `handler` the types of its schemas; returns the definition as it is. */
export function method<Params extends Schema = Schema<Record<string, unknown>>, Result extends Schema = Schema>(
  definition: MethodDefinition<Params, Result>,
): MethodDefinition<Params, Result> {
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
export function serviceMethod<Params extends Schema = Schema<never>, Result extends Schema = Schema>(
  options: MethodOptions<Params, Result>,
): (
  method: (params: OutputOf<Params>, call: MethodCall) => InputOf<Result> | Promise<InputOf<Result>>,
  context: ClassMethodDecoratorContext,
) => void {
  return (method, context) => {
    if (context.kind !== 'method' || context.static || context.private) {
      throw new TypeError(
        `@serviceMethod marks public methods of a service, not ${context.kind} ${String(context.name)}`,
      )
    }
    Object.defineProperty(method, SERVICE_METHOD, { value: options })
  }
}
