import { PkiError } from '../base/errors.ts'

/** Lets a limited number of tasks run at a time and a limited number wait, first come, first served. */
export class Gate {
  readonly #what: string
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** @param what named in the error, for example `certificate requests` */
  constructor(what: string, runningMax: number, waitingMax: number) {
    this.#what = what
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  /** @throws {PkiError} P2P_PKI_BUSY when too many wait already */
  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.#enter()
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      // The place is handed over, so that nobody can slip in between.
      if (next) next()
      else this.#running--
    }
  }

  #enter(): Promise<void> {
    if (this.#running < this.#runningMax) {
      this.#running++
      return Promise.resolve()
    }
    if (this.#waiting.length >= this.#waitingMax) {
      throw new PkiError('P2P_PKI_BUSY', `The coordinator has too many ${this.#what} to answer; try again in a moment`)
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
