import type { Reply } from '../link/call-link.ts'
import { isStream } from '../calls/raw-json.ts'

/** Counts what is under way, streams until they have been read, and tells when nothing is. */
export class CallCounter {
  #count = 0
  #waiting: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** Counts until the reply comes, which is passed on; a stream until that has ended. */
  begin(reply: Reply): Reply {
    this.#count++
    return {
      resolve: (value) => {
        const isOpen = isStream(value)
        if (!isOpen) this.#ended()
        reply.resolve(isOpen ? this.#followed(value) : value)
      },
      reject: (error) => {
        this.#ended()
        reply.reject(error)
      },
    }
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
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
