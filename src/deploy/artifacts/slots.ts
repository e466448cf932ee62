import { untilAborted } from './until-aborted.ts'

/** So many at once; the others wait in line. */
export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** @throws the signal's reason while it waits; what `action` throws */
  async run<T>(signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    try {
      return await action()
    } finally {
      const [next] = this.#waiting
      if (next) next()
      else this.#free++
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>()
    const take = (): void => {
      this.#waiting.delete(take)
      turn.resolve()
    }
    this.#waiting.add(take)
    try {
      await untilAborted(turn.promise, signal)
    } finally {
      this.#waiting.delete(take)
    }
  }
}
