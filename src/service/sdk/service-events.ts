import type { Schema } from './schema.ts'

/** An event as its subscribers get it. */
export interface ServiceEvent {
  /** `orders.created`. */
  readonly topic: string
  /** The service that published it, and its node. */
  readonly from: { readonly nodeId: string; readonly service: string }
  /** 32 hex digits: the trace of the call during which it was published, else its own. */
  readonly traceId: string
}

export interface SubscribeOptions<Data = unknown> {
  /** Checks the data; the handler gets the parsed value. What it forbids is logged and not handled. */
  data?: Schema<unknown, Data>
  /**
   * `balanced` (default): of all instances of this service in the cluster that subscribe, one gets each event. `all`: every
   * instance gets it.
   */
  delivery?: 'balanced' | 'all'
}

/**
 * Tells other services, wherever they run, what has happened. An event arrives at most once: it is lost when its subscriber
 * ends, cannot be reached, or has too much waiting; who must not miss it calls a method instead.
 */
export interface ServiceEvents {
  /**
   * @param topic words of letters, digits, `_` and `-`, with dots between them; at most 128 characters
   * @param data JSON, at most 1 MiB
   * @throws {RpcError} P2P_RPC_INVALID_PARAMS
   */
  publish(topic: string, data?: unknown): void
  /**
   * Calls `handler` for each event, one after the other. What it throws is logged.
   * @param pattern a topic, or the beginning of topics: `orders.*`; `*` is every topic
   * @returns a function that unsubscribes; at the stop of the service that happens by itself
   * @throws {RpcError} P2P_RPC_INVALID_PARAMS; P2P_RPC_OVERLOADED: too many subscriptions
   */
  subscribe<Data = unknown>(
    pattern: string,
    handler: (data: Data, event: ServiceEvent) => void | Promise<void>,
    options?: SubscribeOptions<Data>,
  ): () => void
}
