/** Events that wait for one subscriber; further ones are dropped. */
export const EVENTS_WAITING_MAX = 1_000

/** Hands events to one subscriber in their order, so many at a time; what is too much for it is dropped. */
export class EventQueue<Event> {
  readonly #atOnce: number
  readonly #take: (event: Event) => Promise<void>
  readonly #waiting: Event[] = []
  #taking = 0
  #isClosed = false

  /** @param take never rejects */
  constructor(atOnce: number, take: (event: Event) => Promise<void>) {
    this.#atOnce = atOnce
    this.#take = take
  }

  /** @returns whether there was room */
  push(event: Event): boolean {
    if (this.#isClosed || this.#waiting.length >= EVENTS_WAITING_MAX) return false
    this.#waiting.push(event)
    this.#next()
    return true
  }

  /** What waits is forgotten. */
  close(): void {
    this.#isClosed = true
    this.#waiting.length = 0
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
