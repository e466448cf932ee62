/** A way to give one call up: what an AbortSignal does for many listeners, for one and at a tenth of the cost. */
export class Cancellation {
  #reason: Error | undefined
  #listener: ((reason: Error) => void) | undefined

  get reason(): Error | undefined {
    return this.#reason
  }

  /** Idempotent. */
  cancel(reason: Error): void {
    if (this.#reason) return
    this.#reason = reason
    this.#listener?.(reason)
  }

  /** In place of the listener before it: a call that is tried again is cancelled where it is now. Called at once when it is cancelled already. */
  listen(listener: (reason: Error) => void): void {
    this.#listener = listener
    if (this.#reason) listener(this.#reason)
  }
}
