import type { Timer } from '../base/time.ts'

interface Event {
  atMs: number
  /** Events of one moment fire in the order they were made. */
  order: number
  fn: () => void
  isCancelled: boolean
}

/** Events by time: a binary heap. Cancelled ones stay until their time comes. */
export class EventHeap {
  readonly #heap: Event[] = []
  #nextOrder = 0

  add(atMs: number, fn: () => void): Timer {
    const event: Event = { atMs, order: this.#nextOrder++, fn, isCancelled: false }
    this.#heap.push(event)
    this.#rise(this.#heap.length - 1)
    return {
      cancel: () => {
        event.isCancelled = true
      },
    }
  }

  /** Removes and returns the next event, if it is due by `endMs`. */
  takeUntil(endMs: number): { atMs: number; fn: () => void } | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (!first || first.atMs > endMs) return undefined
      this.#removeFirst()
      if (!first.isCancelled) return first
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop() as Event
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    this.#sink(0)
  }

  #rise(index: number): void {
    const event = this.#heap[index] as Event
    let at = index
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = this.#heap[parent] as Event
      if (!isBefore(event, above)) break
      this.#heap[at] = above
      at = parent
    }
    this.#heap[at] = event
  }

  #sink(index: number): void {
    const event = this.#heap[index] as Event
    let at = index
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.#heap.length) break
      const right = this.#heap[child + 1]
      if (right && isBefore(right, this.#heap[child] as Event)) child++
      const below = this.#heap[child] as Event
      if (!isBefore(below, event)) break
      this.#heap[at] = below
      at = child
    }
    this.#heap[at] = event
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
