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
      this.#passOn()
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>()
    let isTaken = false
    const take = (): void => {
      isTaken = true
      this.#waiting.delete(take)
      turn.resolve()
    }
    this.#waiting.add(take)
    try {
      await untilAborted(turn.promise, signal)
    } catch (error) {
      this.#waiting.delete(take)
      // It was given up and given a slot at the same moment.
      if (isTaken) this.#passOn()
      throw error
    }
  }

  #passOn(): void {
    const [next] = this.#waiting
    if (next) next()
    else this.#free++
  }
}
