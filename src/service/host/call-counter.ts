import { isStream } from '../raw-json.ts'

/** Counts what is under way, streams until they have been read, and tells when nothing is. */
export class CallCounter {
  #count = 0
  #waiting: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** Counts until `work` is settled; a stream it gives until that has ended. */
  track(work: Promise<unknown>): Promise<unknown> {
    this.#count++
    return work.then(this.#onValue, this.#onError)
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  // Made once: a call through here costs one promise and nothing else.
  readonly #onValue = (value: unknown): unknown => {
    if (isStream(value)) return this.#followed(value)
    this.#ended()
    return value
  }

  readonly #onError = (error: unknown): never => {
    this.#ended()
    throw error
  }

  #ended(): void {
    this.#count--
    if (this.#count > 0) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #followed(stream: AsyncIterable<unknown>): AsyncIterable<unknown> {
    const items = stream[Symbol.asyncIterator]()
    let isOpen = true
    const end = (): void => {
      if (isOpen) this.#ended()
      isOpen = false
    }
    const followed = async (step: Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> => {
      try {
        const result = await step
        if (result.done) end()
        return result
      } catch (error) {
        end()
        throw error
      }
    }
    const iterator = {
      next: () => followed(items.next()),
      return: (value?: unknown) => followed(items.return?.(value) ?? Promise.resolve({ done: true, value })),
    }
    return { [Symbol.asyncIterator]: () => iterator }
  }
}
