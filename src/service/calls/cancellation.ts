type Listener = (reason: Error) => void

/** A way to give calls up: what an AbortSignal does, at a tenth of the cost. */
export class Cancellation {
  #reason: Error | undefined
  /** Most have one listener in all their life. */
  #first: Listener | undefined
  #others: Set<Listener> | undefined

  get reason(): Error | undefined {
    return this.#reason
  }

  /** Idempotent. */
  cancel(reason: Error): void {
    if (this.#reason) return
    this.#reason = reason
    this.#first?.(reason)
    for (const listener of this.#others ?? []) listener(reason)
  }

  /** Calls back when it is cancelled, at once when it was already. */
  listen(listener: Listener): void {
    if (this.#first === undefined) this.#first = listener
    else (this.#others ??= new Set()).add(listener)
    if (this.#reason) listener(this.#reason)
  }

  unlisten(listener: Listener): void {
    if (this.#first === listener) this.#first = undefined
    else this.#others?.delete(listener)
  }
}
