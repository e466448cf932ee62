import { RpcError } from '../../base/errors.ts'
import type { Clock } from '../../base/time.ts'
import type { CallLink, LinkContext, Reply, ServedCall } from '../link/call-link.ts'
import { RawJson, readParams } from '../calls/raw-json.ts'
import { EVENT_METHOD, PUBLISH_METHOD, SUBSCRIBE_METHOD, UNSUBSCRIBE_METHOD } from './event-methods.ts'
import type { EventHub } from './event-hub.ts'

/** Events on their way to one subscription of a process; the rest waits in the node. */
const AT_ONCE = 64
const TIMEOUT_MS = 30_000

/** The node's end of one process. */
export class ProcessEvents {
  readonly #hub: EventHub
  readonly #clock: Clock
  readonly #link: CallLink
  readonly #service: string
  readonly #unsubscribe = new Map<number, () => void>()

  constructor(needs: { hub: EventHub; clock: Clock; link: CallLink }, service: string) {
    this.#hub = needs.hub
    this.#clock = needs.clock
    this.#link = needs.link
    this.#service = service
  }

  /** @returns undefined when the method is none of the events' */
  serve(method: string, params: RawJson | undefined, context: LinkContext, reply: Reply): ServedCall | undefined {
    if (method !== SUBSCRIBE_METHOD && method !== UNSUBSCRIBE_METHOD && method !== PUBLISH_METHOD) return undefined
    const given = readParams(method, params ?? {}) as Record<string, unknown>
    if (method === PUBLISH_METHOD) this.#publish(given, context)
    else if (method === SUBSCRIBE_METHOD) this.#subscribe(given)
    else this.#end(given.number as number)
    reply.resolve(null)
    return { cancel: () => {} }
  }

  /** The process has ended. */
  close(): void {
    for (const number of this.#unsubscribe.keys()) this.#end(number)
  }

  #publish({ topic, data }: Record<string, unknown>, { traceId, hops = 0 }: LinkContext): void {
    this.#hub.publish(this.#service, text(topic), data ?? null, { traceId, hops })
  }

  #subscribe({ number, pattern, delivery }: Record<string, unknown>): void {
    if (typeof number !== 'number' || this.#unsubscribe.has(number)) {
      throw new RpcError('P2P_RPC_INVALID_PARAMS', `${SUBSCRIBE_METHOD} needs a number of its own`)
    }
    const unsubscribe = this.#hub.subscribe({
      service: this.#service,
      pattern: text(pattern),
      delivery: delivery === 'all' ? 'all' : 'balanced',
      atOnce: AT_ONCE,
      take: async ({ data, traceId, hops, ...event }) => {
        const head = JSON.stringify({ number, ...event })
        const params = new RawJson(`${head.slice(0, -1)},"data":${data.text}}`)
        const deadlineMs = this.#clock.nowMs() + TIMEOUT_MS
        await this.#link.call({ method: EVENT_METHOD, params, deadlineMs, context: { traceId, hops } })
      },
    })
    this.#unsubscribe.set(number, unsubscribe)
  }

  #end(number: number): void {
    this.#unsubscribe.get(number)?.()
    this.#unsubscribe.delete(number)
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
