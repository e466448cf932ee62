import type { NodeId, NodeRole } from '../../base/identity.ts'
import type { LogLevel } from '../../base/log.ts'
import type { MethodDescriptor, ServiceMetricsSnapshot } from '../definition/descriptor.ts'

/*
 * What a node and the host of a service tell each other beside the calls. The node gives orders, the host reports:
 *
 *   node   load ────────────► initialize ─────────► ping … ─► reconfigure ───────────────► stop
 *   host          loaded ───►             ready ───► pong …                reconfigured ───► stopped
 *
 * Of code of which only the methods are asked, `describe` takes the place of `initialize`, and it ends when it has told them.
 */

/** What the host needs to bring a service to life. Comes over the link, so that no other process ever sees it. */
export interface LoadOrder {
  type: 'load'
  nodeId: NodeId
  role: NodeRole
  /** Real path. */
  folder: string
  /** Absolute path of `main.ts` or `main.js`. */
  main: string
  manifest: { name?: string | undefined; version?: string | undefined; description?: string | undefined }
  /** Module that `p2p-core/service` stands for. */
  sdkUrl: string
  /** Files of the service that Node cannot run as they are: path → path of its translation. */
  translated: Readonly<Record<string, string>>
  config: Readonly<Record<string, unknown>>
  secrets: Readonly<Record<string, string>>
  dataDirectory: string
  /** How long a call through the proxy waits when it does not say. */
  callTimeoutMs: number
  startTimeoutMs: number
  stopTimeoutMs: number
}

/** From now on these. The answer has the same number. */
export interface ReconfigureOrder extends Settings {
  type: 'reconfigure'
  number: number
}

export type HostOrder =
  | LoadOrder
  /** The name is free: begin. */
  | { type: 'initialize' }
  /** Only tell which methods there are, by `ready`: nothing is initialized. */
  | { type: 'describe' }
  | ReconfigureOrder
  | { type: 'stop' }
  | { type: 'ping' }

/** What whoever deployed a service gives it, and may change while it runs. */
export interface Settings {
  config: Readonly<Record<string, unknown>>
  secrets: Readonly<Record<string, string>>
}

/** What is known of a service that runs. */
export interface ReadyReport {
  type: 'ready'
  version: string
  description: string
  methods: MethodDescriptor[]
}

/** Sent at each ping: the heartbeat, and what has to be told from time to time. */
export interface PongReport {
  type: 'pong'
  memoryBytes: number
  /** Processor time since its start. */
  cpuMs: number
  metrics: ServiceMetricsSnapshot
}

export type HostReport =
  | { type: 'loaded'; name: string }
  | ReadyReport
  /** It cannot start. `isHopeless`: not later either, for its code is wrong. `isUnparsable`: where is not known. */
  | { type: 'failed'; reason: string; isHopeless: boolean; isUnparsable: boolean }
  /** `reason`: why it does not take them; it has what it had. */
  | { type: 'reconfigured'; number: number; reason?: string | undefined }
  | { type: 'health'; health: 'healthy' | 'failing'; reason?: string | undefined }
  /** `traceId`: of the call or event it was written in. */
  | {
      type: 'log'
      level: LogLevel
      message: string
      fields?: Record<string, unknown> | undefined
      traceId?: string | undefined
    }
  | PongReport
  /** Something was thrown outside any call; it ends now. */
  | { type: 'crashed'; reason: string }
  /** It has cleaned up and ends now. */
  | { type: 'stopped' }
