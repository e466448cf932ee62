/** Options of one call through the proxy. */
export interface CallOptions {
  /** Longest wait. The deadline of the call being served, if there is one, wins when it is earlier. Default 30,000. */
  timeoutMs?: number
  /** Abort it to give up: the called method's own signal is aborted too, on whatever node it runs. */
  signal?: AbortSignal
  /**
   * How often the call may be made again when it failed on the way and may have run: only for what may run twice. Default: 2
   * for methods that say they are idempotent, else 0. A call that surely did not run is made elsewhere in any case.
   */
  retries?: number
  /** What the call gives instead of an error: a value, or a function that is given the error and may throw. */
  fallback?: unknown
}

/**
 * Calls services, here or on other nodes.
 *
 * - `proxy.svc.method(params)`: on this node if the service runs here, else on the least busy healthy node that has it
 * - `proxy.svc.local.method(params)`, `.remote`, `.coordinator`, `.worker`: here, anywhere but here, on a node of that role
 * - `proxy.svc['worker-1'].method(params)`: on that node
 *
 * What is called is the method, what only stands in between is the target: a method named `coordinator` is
 * `proxy.svc.coordinator(params)`.
 *
 * A call takes the parameters and {@link CallOptions}, and gives a promise of the result: what the method returned, as
 * JSON when it came from another node. A method that streams gives a promise of an async iterable:
 * `for await (const line of await proxy.log.tail())`; leaving the loop ends the stream on the other side too. It rejects with an error whose `code` says why (docs/errors.md).
 *
 * Calls made while a method is being served carry on its deadline, trace id and cancellation.
 */
export interface ServiceProxy {
  // Which services and methods there are is known in the cluster, not here; a narrower type would make every call in
  // strict code prove that what it calls is there. `ServiceClient` gives the types of a service whose source is at hand.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly [service: string]: any
}
