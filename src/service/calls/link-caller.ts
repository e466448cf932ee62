import type { CallRequest, Caller, CallTarget } from '../definition/descriptor.ts'
import type { CallLink } from '../link/call-link.ts'
import { readResult } from './raw-json.ts'

/** The calls of a service in a process of its own: they go to its node, which knows where they run and who makes them. */
export class LinkCaller implements Caller {
  readonly #link: CallLink

  constructor(link: CallLink) {
    this.#link = link
  }

  call(method: string, params: unknown, request: CallRequest, target?: CallTarget): Promise<unknown> {
    const { traceId, parentSpanId: spanId, hops, retries, deadlineMs, signal, cancellation } = request
    const context = { traceId, spanId, hops, retries, target }
    return this.#link
      .call({ method, params, deadlineMs, context, signal, cancellation })
      .then((result) => readResult(method, result))
  }
}
