import type { NodeId, Principal } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import type { RawJson } from '../raw-json.ts'
import type { LinkChannel } from './link-channel.ts'

/** What travels with a request beside method and parameters. */
export interface LinkContext {
  /** How long the caller still waits, at least 1. */
  timeoutMs: number
  /** 32 hex digits. */
  traceId: string
  /** Between a node and its own service process: the verified caller, as the node knows it. Between nodes: absent. */
  caller?: Principal | undefined
  relayedBy?: NodeId | undefined
  /** Between nodes: the calling service of the node at the other end. */
  service?: string | undefined
  /** Between nodes: the person whose call is passed on. */
  person?: { name: string; role: 'viewer' | 'operator' | 'admin' } | undefined
  /** From a service's process: where the call is to run (see CallTarget). */
  target?: string | undefined
}

/** A call that goes out. `signal` gives it up, also on the other side. */
export interface LinkCall {
  method: string
  /** Any JSON value, or a {@link RawJson} that is passed on unread. */
  params: unknown
  deadlineMs: number
  context: Omit<LinkContext, 'timeoutMs'>
  signal?: AbortSignal | undefined
}

/** A call that came in and is being answered. */
export interface ServedCall {
  /** Any JSON value, a {@link RawJson}, or an AsyncIterable: then every item is sent as the other end asks for more. */
  readonly result: Promise<unknown>
  /** Its caller went away. */
  cancel(reason: Error): void
}

export interface CallLinkNeeds {
  clock: Clock
  log: Logger
  channel: LinkChannel
  /** Starts a call that came in. @throws {RpcError} when it cannot be started */
  serve(method: string, params: RawJson | undefined, context: LinkContext): ServedCall
}

/**
 * Calls in both directions over one channel: JSON-RPC 2.0 with deadlines, cancellation and streams (docs/protocol/jsonrpc.md).
 * What is open is bounded in each direction.
 */
export interface CallLink {
  /** Calls that wait for their answers, streams included. */
  readonly pending: number
  readonly serving: number
  /**
   * @returns a {@link RawJson}; or for a method that streams an AsyncIterable of RawJson or Uint8Array items, which must be
   *   read to its end or returned from
   * @throws {RpcError} what the other end answered; P2P_RPC_DEADLINE_EXCEEDED, P2P_RPC_CANCELLED, P2P_RPC_OVERLOADED; {TransportError}
   */
  call(call: LinkCall): Promise<unknown>
  /** Takes one message from the channel. Never throws; the payload is only read during the call. */
  receive(payload: Uint8Array): void
}
