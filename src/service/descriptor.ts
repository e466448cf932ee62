import type { NodeId, Principal } from '../base/identity.ts'

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** What is known of one callable method; made from its definition, published, and asked before every call. */
export interface MethodDescriptor {
  service: string
  name: string
  description: string
  /** Callable by people and other nodes; others only by services on the same node. */
  isPublic: boolean
  /** Schema of `params`; undefined: anything is taken. */
  params?: JsonSchema
  result?: JsonSchema
  /** Longest run time; a caller's earlier deadline wins. */
  timeoutMs: number
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

/** Runs calls, here or on another node. */
export interface Caller {
  /** @throws {RpcError} with the code that names what went wrong */
  call(
    method: string,
    params: unknown,
    context: Omit<CallContext, 'signal'> & { signal?: AbortSignal },
    target?: CallTarget,
  ): Promise<unknown>
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
  signal?: AbortSignal
  target?: CallTarget
}

/** `body` is JSON; undefined (status 204) when nothing but notifications came. */
export interface RpcAnswer {
  status: number
  body: string | undefined
}

/** JSON-RPC 2.0 for `POST /rpc`. Never throws for what was sent. */
export interface RpcEndpoint {
  handleRpc(body: Uint8Array, request: RpcRequest): Promise<RpcAnswer>
}
