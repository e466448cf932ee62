import { codeOf, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { CallLink, LinkContext, Reply, ServedCall } from '../link/call-link.ts'
import { type RawJson, readParams } from '../calls/raw-json.ts'
import type { ServiceEvent, ServiceEvents, SubscribeOptions } from '../sdk/service-events.ts'
import { checkedHandler, type EventHandler } from './event-handler.ts'
import { EVENT_METHOD, PUBLISH_METHOD, SUBSCRIBE_METHOD, UNSUBSCRIBE_METHOD } from './event-methods.ts'
import { EventQueue } from './event-queue.ts'
import { causeOf, eventScope } from './event-scope.ts'
import { checkPattern, checkTopic } from './event-topic.ts'

const TIMEOUT_MS = 30_000

interface Handled {
  readonly data: unknown
  readonly event: ServiceEvent
  readonly hops: number
  readonly taken: () => void
}

/** The process's end: the events of the service that runs in it. */
export class LinkEvents implements ServiceEvents {
  readonly #needs: { link: CallLink; clock: Clock; random: Random; log: Logger }
  readonly #queues = new Map<number, EventQueue<Handled>>()
  #lastNumber = 0

  constructor(needs: { link: CallLink; clock: Clock; random: Random; log: Logger }) {
    this.#needs = needs
  }

  publish(topic: string, data?: unknown): void {
    checkTopic(topic)
    this.#tell(PUBLISH_METHOD, { topic, data }, causeOf(this.#needs.random))
  }

  subscribe<Data>(
    pattern: string,
    handler: (data: Data, event: ServiceEvent) => void | Promise<void>,
    { delivery = 'balanced', data }: SubscribeOptions<Data> = {},
  ): () => void {
    checkPattern(pattern)
    const number = ++this.#lastNumber
    const handle = checkedHandler(handler, data)
    const take = (handled: Handled): Promise<void> => this.#handle(handled, handle)
    this.#queues.set(number, new EventQueue(1, take, ({ event }) => event.from.nodeId))
    this.#tell(SUBSCRIBE_METHOD, { number, pattern, delivery }, causeOf(this.#needs.random))
    return () => {
      const queue = this.#queues.get(number)
      if (!queue) return
      queue.close()
      this.#queues.delete(number)
      this.#tell(UNSUBSCRIBE_METHOD, { number }, causeOf(this.#needs.random))
    }
  }

  /** An event for a subscription of this process. @returns undefined when the method is not that of events */
  serve(method: string, params: RawJson | undefined, context: LinkContext, reply: Reply): ServedCall | undefined {
    if (method !== EVENT_METHOD) return undefined
    const { number, topic, from, data } = readParams(method, params ?? {}) as Record<string, unknown>
    const { traceId, hops = 0 } = context
    const event = { topic, from, traceId } as ServiceEvent
    const taken = (): void => reply.resolve(null)
    // Nobody there any more, or too much waiting: it is lost, as events may be.
    const queue = this.#queues.get(number as number)
    if (queue) queue.push({ data, event, hops, taken })?.taken()
    else taken()
    return { cancel: () => {} }
  }

  /** The service has stopped. */
  close(): void {
    for (const [number, queue] of this.#queues) {
      queue.close()
      this.#tell(UNSUBSCRIBE_METHOD, { number }, causeOf(this.#needs.random))
    }
    this.#queues.clear()
  }

  /** Never rejects. */
  async #handle({ data, event, hops, taken }: Handled, handler: EventHandler): Promise<void> {
    try {
      await eventScope.run({ traceId: event.traceId, hops }, () => handler(data, event))
    } catch (error) {
      this.#needs.log.warning('An event could not be handled', { topic: event.topic, traceId: event.traceId, error })
    }
    taken()
  }

  #tell(method: string, params: object, context: { traceId: string; hops: number }): void {
    const deadlineMs = this.#needs.clock.nowMs() + TIMEOUT_MS
    this.#needs.link.call({ method, params, deadlineMs, context }).catch((error: unknown) => {
      if (codeOf(error) === 'P2P_TRANSPORT_CHANNEL_CLOSED') return
      this.#needs.log.warning('The node did not take what has to do with events', { method, reason: messageOf(error) })
    })
  }
}
