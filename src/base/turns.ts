/** Runs pieces of work one after the other, in the order in which they are asked for. */
export class Turns {
  /** Never rejects. */
  #last: Promise<void> = Promise.resolve()

  /** Resolves when all that was asked for so far is over. */
  get settled(): Promise<void> {
    return this.#last
  }

  /** Begins when all that was asked for before is over, whatever became of it. @throws what `work` throws */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work)
    this.#last = mine.then(over, over)
    return mine
  }
}

function over(): void {}
