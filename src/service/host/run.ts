import { codeOf, messageOf } from '../../base/errors.ts'
import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'
import type { InstanceFacts, ServiceSpec } from '../definition/service-spec.ts'
import type { EndCause } from '../supervision/restart-counter.ts'
import type { Reply } from '../link/call-link.ts'
import type { MethodCall } from '../sdk/method.ts'
import type { LocalMethod } from '../calls/local-method.ts'
import type { MethodDescriptor } from '../definition/descriptor.ts'
import type { Settings } from './host-message.ts'

/** What is known of a service that has become ready. */
export interface RunFacts {
  version: string
  description: string
  methods: readonly MethodDescriptor[]
  /** Of code in the node's own thread: its methods themselves, which need no `forward`. */
  direct?: readonly LocalMethod[]
}

export interface RunEnd {
  cause: EndCause
  /** For people: with file and line where there is one. */
  reason: string
}

/** The end of a run that failed with this: code that cannot be loaded cannot be loaded later either. */
export function endOf(error: unknown): RunEnd {
  const isHopeless = codeOf(error) === 'P2P_SERVICE_LOAD_FAILED'
  return { cause: isHopeless ? 'hopeless' : 'fault', reason: messageOf(error) }
}

/** What a run tells of itself. `ended` is the last word, and always comes. */
export interface RunEvents {
  /**
   * Its code is loaded and says its name; it begins when this returns.
   * @throws {RpcError} the name cannot be had: it ends at once
   */
  loaded(name: string): void
  ready(facts: RunFacts): void
  /** What the service says of its health. */
  health(health: 'healthy' | 'failing', reason: string | undefined): void
  ended(end: RunEnd): void
}

/** One run of a service's code, from its start to its end. */
export interface ServiceRun {
  readonly pid: number | undefined
  readonly ports: Readonly<Record<string, number>>
  /** Calls under way, streams that are being read included. */
  readonly callsUnderWay: number
  /** @param reply told of the result, a `RawJson` from elsewhere, or a stream. @throws {RpcError} when it cannot be called at all */
  forward(method: string, params: unknown, call: MethodCall, reply: Reply): void
  /** Resolves when no call is under way. */
  idle(): Promise<void>
  /** Whether it answers; for kinds that have a link. @throws when it does not before the signal aborts */
  ping(signal: AbortSignal): Promise<void>
  /** Gives what runs another configuration and other secrets. Rejects, and changes nothing, when it does not take them. */
  reconfigure(settings: Settings): Promise<void>
  metrics(): ServiceMetricsSnapshot | undefined
  /** Undefined where it cannot be told apart from the node's own. */
  usage(): Promise<RunUsage | undefined>
  /** Asks it to end in order. Idempotent, as is `kill`. */
  end(): void
  kill(): void
}

export interface RunUsage {
  memoryBytes: number
  /** Processor time since its start. */
  cpuMs: number
  /** That it is at this moment; undefined where they cannot be counted. */
  processes?: number
}

/** One way of running services. */
export interface Driver {
  /** Begins a run; whatever goes wrong with it is told by its events. */
  start(order: RunOrder, events: RunEvents): ServiceRun
}

export interface RunOrder {
  /** Of the instance: `inventory#2`. */
  id: InstanceFacts['id']
  spec: ServiceSpec
  /** For a process to begin at all, on a machine that is busy. */
  processStartMs: number
  startTimeoutMs: number
  stopTimeoutMs: number
  /** Only its methods are asked: it is not initialized, and `ready` tells them. */
  isOnlyDescribed?: boolean
}
