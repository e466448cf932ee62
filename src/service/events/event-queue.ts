import type { NodeId } from '../../base/identity.ts'
import { FairQueue } from '../calls/fair-queue.ts'

/** Events that wait for one subscriber; further ones are dropped. */
export const EVENTS_WAITING_MAX = 1_000

/**
 * Hands events to one subscriber in their order, so many at a time; what is too much for it is dropped: of the node that has most
 * of them waiting.
 */
export class EventQueue<Event> {
  readonly #atOnce: number
  readonly #take: (event: Event) => Promise<void>
  readonly #waiting: FairQueue<Event>
  #taking = 0
  #isClosed = false

  /** @param take never rejects */
  constructor(atOnce: number, take: (event: Event) => Promise<void>, publisherOf: (event: Event) => NodeId) {
    this.#atOnce = atOnce
    this.#waiting = new FairQueue(EVENTS_WAITING_MAX, publisherOf)
    this.#take = take
  }

  /** @returns an event that is lost: this one, or one that had to give way to it */
  push(event: Event): Event | undefined {
    if (this.#isClosed) return event
    const lost = this.#waiting.push(event)
    this.#next()
    return lost
  }

  /** What waits is forgotten. */
  close(): void {
    this.#isClosed = true
    this.#waiting.takeOut(() => true)
  }

  #next(): void {
    while (this.#taking < this.#atOnce) {
      const event = this.#waiting.shift()
      if (event === undefined) return
      this.#taking++
      void this.#take(event).then(() => {
        this.#taking--
        this.#next()
      })
    }
  }
}
