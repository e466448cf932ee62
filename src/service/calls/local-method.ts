import type { CallerNotes } from './caller-notes.ts'
import type { MethodDescriptor } from '../definition/descriptor.ts'
import type { Reply } from '../link/call-link.ts'
import type { MethodStats } from './method-stats.ts'
import type { MethodCall } from '../sdk/method.ts'
import type { Schema } from '../sdk/schema.ts'
import type { ServiceRuntime } from '../sdk/service-runtime.ts'

/** A callable method of a running service on this node: everything a call needs, found by one lookup. */
export type LocalMethod = OwnMethod | ForwardedMethod

interface MethodFacts {
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
  /** Of methods of which is kept who calls them: those that an update could take away. */
  callers?: CallerNotes
}

/** It runs here. */
export interface OwnMethod extends MethodFacts {
  readonly invoke: (params: unknown, call: MethodCall) => unknown
  readonly forward?: undefined
}

/**
 * It runs elsewhere, in a service's process, which checks parameters and result by their schemas: it is given the parameters as
 * they came, a `RawJson` unread, may answer with a `RawJson`, and how it fails reaches the caller unchanged.
 */
export interface ForwardedMethod extends MethodFacts {
  /** @throws {RpcError} when there is nobody to pass it on to */
  readonly forward: (params: unknown, call: MethodCall, reply: Reply) => void
  readonly invoke?: undefined
}
