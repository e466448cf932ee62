/**
 * Work that several callers wait for together: started once, ended when the last of them has given up, or early when
 * its result turns up elsewhere.
 */
export class SharedTask<T> {
  readonly #controller = new AbortController()
  readonly #result = Promise.withResolvers<T>()
  #waiting = 0
  #isOver = false

  constructor(run: (signal: AbortSignal) => Promise<T>) {
    // A failure is told to whoever waits; with nobody waiting it concerns nobody.
    this.#result.promise.catch(() => {})
    run(this.#controller.signal).then(this.#result.resolve, this.#result.reject)
  }

  /** It has been cancelled or fulfilled: nobody should join any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Settles with the result, whatever it is. */
  get settled(): Promise<T> {
    return this.#result.promise
  }

  /** @throws the signal's reason when it is aborted first; the work goes on as long as another caller waits */
  join(signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    this.#waiting++
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal?.reason)
        if (--this.#waiting === 0) this.cancel(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#result.promise
        .then(resolve, reject)
        .finally(() => signal?.removeEventListener('abort', onAbort))
        .catch(() => {})
    })
  }

  /** Ends the work because its result is already there. */
  fulfil(value: T): void {
    this.#isOver = true
    this.#result.resolve(value)
    this.#controller.abort(new Error('The result came from elsewhere.'))
  }

  cancel(reason: unknown): void {
    this.#isOver = true
    this.#result.reject(reason)
    this.#controller.abort(reason)
  }
}
