import type { Random } from '../../base/random.ts'
import { readResult } from '../calls/raw-json.ts'
import type { ServiceEvent, ServiceEvents, SubscribeOptions } from '../sdk/service-events.ts'
import { checkedHandler } from './event-handler.ts'
import type { EventHub } from './event-hub.ts'
import { causeOf, eventScope } from './event-scope.ts'

/** The events of one service in the node's own process. */
export class OwnEvents implements ServiceEvents {
  readonly #hub: EventHub
  readonly #random: Random
  readonly #service: string
  readonly #unsubscribe = new Set<() => void>()

  constructor(hub: EventHub, random: Random, service: string) {
    this.#hub = hub
    this.#random = random
    this.#service = service
  }

  publish(topic: string, data?: unknown): void {
    this.#hub.publish(this.#service, topic, data, causeOf(this.#random))
  }

  subscribe<Data>(
    pattern: string,
    handler: (data: Data, event: ServiceEvent) => void | Promise<void>,
    { delivery = 'balanced', data: schema }: SubscribeOptions<Data> = {},
  ): () => void {
    const handle = checkedHandler(handler, schema)
    const unsubscribe = this.#hub.subscribe({
      service: this.#service,
      pattern,
      delivery,
      atOnce: 1,
      take: async ({ data, hops, ...event }) => {
        const value = readResult(event.topic, data)
        await eventScope.run({ traceId: event.traceId, hops }, () => handle(value, event))
      },
    })
    this.#unsubscribe.add(unsubscribe)
    return () => {
      unsubscribe()
      this.#unsubscribe.delete(unsubscribe)
    }
  }

  /** The service has stopped. */
  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#unsubscribe.clear()
  }
}
