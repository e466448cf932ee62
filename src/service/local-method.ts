import type { MethodDescriptor } from './descriptor.ts'
import type { MethodStats } from './method-stats.ts'
import type { MethodCall } from './sdk/method.ts'
import type { Schema } from './sdk/schema.ts'
import type { ServiceRuntime } from './sdk/service-runtime.ts'

/** A callable method of a running service on this node: everything a call needs, found by one lookup. */
export interface LocalMethod {
  /** `service/method`. */
  readonly name: string
  readonly descriptor: MethodDescriptor
  readonly serviceVersion: string
  readonly runtime: ServiceRuntime
  /** Part of P2P Core: its own error codes reach the caller. */
  readonly isBuiltin: boolean
  readonly params: Schema | undefined
  readonly result: Schema | undefined
  /** Of each item, when the method streams. */
  readonly item?: Schema | undefined
  /** Names of positional parameters, in order. */
  readonly parameterNames: readonly string[] | undefined
  readonly stats: MethodStats
  /**
   * The method runs elsewhere (in a service's process), which checks parameters and result by their schemas: `invoke` gets the
   * parameters as they came, a `RawJson` unread, may give a `RawJson` back, and what it throws reaches the caller unchanged.
   */
  readonly takesRaw?: boolean
  readonly invoke: (params: unknown, call: MethodCall) => unknown
}
