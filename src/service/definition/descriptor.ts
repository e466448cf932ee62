import type { NodeId, Principal } from '../../base/identity.ts'
import type { Cancellation } from '../calls/cancellation.ts'

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** What is known of one callable method; made from its definition, published, and asked before every call. */
export interface MethodDescriptor {
  service: string
  name: string
  description: string
  /** Callable by people and other nodes; others only by services on the same node. */
  isPublic: boolean
  /** Only these services may call it, and no people; absent: all whom `isPublic` admits. */
  callers?: readonly string[]
  /** Schema of `params`; undefined: anything is taken. */
  params?: JsonSchema
  result?: JsonSchema
  /** It answers with a stream; `item` is the schema of each item. */
  isStream?: boolean
  item?: JsonSchema
  /** Longest run time, of a stream the longest time in which nothing moves; a caller's earlier deadline wins. */
  timeoutMs: number
  /** Running it twice does no harm: a call that failed on the way is made again. */
  isIdempotent?: boolean
  /** Calls of one caller. */
  rate?: { perMinute: number; burst: number }
  /** Calls that run at once, and how many may wait for their turn. */
  concurrency?: number
  queue?: number
  /** Results are kept this long per parameters; 0: never. */
  cacheTtlMs: number
  /** People need at least this role. */
  requiredRole: 'viewer' | 'operator' | 'admin'
}

export type ServiceStatus = 'initializing' | 'running' | 'stopping' | 'stopped' | 'error'

/** One service on this node. */
export interface ServiceDescription {
  name: string
  version: string
  description: string
  status: ServiceStatus
  /** Why the status is `error`, for people. */
  failure?: string
  /** What a running service says of itself; absent while it does not run. */
  health?: 'healthy' | 'failing'
  /** Why the health is `failing`, for people. */
  healthReason?: string
  isBuiltin: boolean
  methods: MethodDescriptor[]
  startedAtMs: number | undefined
}

/** What a method call carries besides its parameters. */
export interface CallContext {
  caller: Principal
  /** The verified node that passed on a person's call; the person is then that node's word. */
  relayedBy?: NodeId
  /** Moment on the monotonic clock after which nobody waits for the answer. */
  deadlineMs: number
  /** 32 hex digits (W3C Trace Context trace-id), the same on every hop. */
  traceId: string
  /** 16 hex digits (W3C Trace Context parent-id): the span of the caller, where it told one. */
  parentSpanId?: string | undefined
  /** 16 hex digits: the span of this call itself. */
  spanId?: string
  /** How many calls made one another before this one; absent: 0. */
  hops?: number | undefined
  /** Aborted when the caller went away or the deadline passed. */
  signal: AbortSignal
}

/** Where a call may run: a node id, a role, here, anywhere but here; undefined: here if possible, else the nearest healthy instance. */
export type CallTarget = string | undefined

/** What the HTTP surface sees of the services. */
export interface ServiceDirectory {
  list(): ServiceDescription[]
  get(name: string): ServiceDescription | undefined
}

/** What a call that is made carries besides its parameters. */
export interface CallRequest extends Omit<CallContext, 'signal'> {
  /** Gives the call up. */
  signal?: AbortSignal | undefined
  /** The same, cheaper, for whoever passes a call on or makes it on behalf of another. */
  cancellation?: Cancellation | undefined
  /** How often it may be made again when it failed and may have run; absent: as the method says. */
  retries?: number | undefined
}

/** Runs calls, here or on another node. */
export interface Caller {
  /**
   * @returns the result; of a method that streams an AsyncIterable, which must be read to its end or returned from
   * @throws {RpcError} with the code that names what went wrong
   */
  call(method: string, params: unknown, context: CallRequest, target?: CallTarget): Promise<unknown>
}

/** What one method did since its service started. */
export interface MethodMetrics {
  service: string
  method: string
  /** Finished calls, failed ones included; refused ones (access, parameters) count as failed. */
  calls: number
  errors: number
  inFlight: number
  durationMsTotal: number
  /** Finished calls that took at most `upToMs`, not cumulated; the last bucket has no bound (Infinity). */
  durations: readonly { upToMs: number; count: number }[]
}

/** What a service measured itself. Names are bounded in number. */
export interface ServiceMetricsSnapshot {
  counters: Record<string, number>
  gauges: Record<string, number>
  timers: Record<string, { count: number; avg_ms: number; min_ms: number; max_ms: number }>
}

/** What `/metrics` asks. */
export interface ServiceMetricsSource {
  methodMetrics(): MethodMetrics[]
  /** By service name; services that do not run are absent. */
  serviceMetrics(): ReadonlyMap<string, ServiceMetricsSnapshot>
}

/** Who sends a `POST /rpc` body and how long it is waited for. */
export interface RpcRequest {
  caller: Principal
  traceId: string
  /** On the monotonic clock. */
  deadlineMs: number
  parentSpanId?: string | undefined
  signal?: AbortSignal
  target?: CallTarget
  /** A method that streams is answered item by item, in `lines`; else its items are gathered into one answer. */
  acceptsStream?: boolean
}

/** `body` is JSON; undefined (status 204) when nothing but notifications came. */
export interface RpcAnswer {
  status: number
  body: string | undefined
  /** Of a stream, instead of `body`: JSON texts with a line feed each (application/x-ndjson); to be read to the end or returned from. */
  lines?: AsyncIterable<string>
}

/** JSON-RPC 2.0 for `POST /rpc`. Never throws for what was sent. */
export interface RpcEndpoint {
  handleRpc(body: Uint8Array, request: RpcRequest): Promise<RpcAnswer>
}
