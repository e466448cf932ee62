import type { Principal } from '../base/identity.ts'

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
  isBuiltin: boolean
  methods: MethodDescriptor[]
  startedAtMs: number | undefined
}

/** What a method call carries besides its parameters. */
export interface CallContext {
  caller: Principal
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
