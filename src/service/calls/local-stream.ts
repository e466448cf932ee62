import { AsyncLocalStorage } from 'node:async_hooks'
import { callScope, type Invocation } from './invocation.ts'

/** What a {@link LocalStream} asks of whoever runs the method. */
export interface StreamKeeper {
  /** Something has moved: the call is given time again. */
  moved(): void
  /** @returns the item as it may leave, or a promise of it. @throws why it may not */
  checked(item: unknown): unknown
  /** @returns what the reader may know of what the method threw */
  methodError(error: unknown): unknown
  /** The method has returned. */
  returned(isError: boolean): void
}

interface Reader {
  resolve: (result: IteratorResult<unknown, undefined>) => void
  reject: (error: unknown) => void
}

const END: IteratorResult<unknown, undefined> = { done: true, value: undefined }

/**
 * The items of a method of this node that streams: each is asked for when its reader asks, checked, and handed on. The call is
 * open until the stream has ended, failed, or was returned from or aborted; the method is then told to stop.
 */
export class LocalStream implements AsyncIterableIterator<unknown, undefined> {
  readonly #invocation: Invocation
  readonly #items: AsyncIterator<unknown>
  readonly #keeper: StreamKeeper
  /** Runs on behalf of the call: taken once, because making it anew costs more than most items. */
  readonly #inScope: <T>(work: () => T) => T
  #reader: Reader | undefined
  /** The method has been asked for an item and has not given it. */
  #isAsked = false
  #hasEnded = false
  #failure: { error: unknown } | undefined

  constructor(invocation: Invocation, items: AsyncIterable<unknown>, keeper: StreamKeeper) {
    this.#invocation = invocation
    this.#items = items[Symbol.asyncIterator]()
    this.#keeper = keeper
    this.#inScope = callScope.run(invocation, () => AsyncLocalStorage.snapshot())
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** One at a time: the next item is asked for when the one before has come. */
  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#hasEnded) return this.#end()
    if (this.#reader) return Promise.reject(new TypeError('A stream is asked for one item at a time'))
    this.#keeper.moved()
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
      this.#ask()
    })
  }

  return(): Promise<IteratorResult<unknown, undefined>> {
    if (!this.#hasEnded) {
      this.#hasEnded = true
      this.#takeReader()?.resolve(END)
      this.#stopMethod(false)
      this.#invocation.streamEnded()
    }
    return Promise.resolve(END)
  }

  /** Breaks it off: its reader gets the reason. */
  abort(reason: Error): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const reader = this.#takeReader()
    if (reader) reader.reject(reason)
    else this.#failure = { error: reason }
    this.#stopMethod(true)
  }

  #ask(): void {
    this.#isAsked = true
    let asked: Promise<IteratorResult<unknown>>
    try {
      asked = this.#inScope(() => this.#items.next())
    } catch (error) {
      asked = Promise.reject(error)
    }
    asked.then(this.#take, this.#failed)
  }

  readonly #take = (next: IteratorResult<unknown>): void => {
    this.#isAsked = false
    if (this.#hasEnded) return
    if (next.done) {
      this.#finish()
      return
    }
    try {
      const item = this.#keeper.checked(next.value)
      if (item instanceof Promise) item.then((value: unknown) => this.#give(value), this.#failed)
      else this.#give(item)
    } catch (error) {
      this.#failed(error)
    }
  }

  #give(value: unknown): void {
    if (this.#hasEnded) return
    this.#keeper.moved()
    this.#takeReader()?.resolve({ done: false, value })
  }

  readonly #failed = (error: unknown): void => {
    // What the method throws once nobody reads any more concerns nobody.
    if (this.#hasEnded) return
    const hasReturned = this.#isAsked
    this.#isAsked = false
    this.#hasEnded = true
    const reader = this.#takeReader()
    if (hasReturned) {
      reader?.reject(this.#keeper.methodError(error))
      this.#keeper.returned(true)
    } else {
      // The method is fine, its item was not.
      reader?.reject(error)
      this.#stopMethod(true)
    }
    this.#invocation.streamEnded()
  }

  #finish(): void {
    this.#hasEnded = true
    this.#takeReader()?.resolve(END)
    this.#keeper.returned(false)
    this.#invocation.streamEnded()
  }

  #end(): Promise<IteratorResult<unknown, undefined>> {
    const failure = this.#failure
    this.#failure = undefined
    return failure ? Promise.reject(failure.error) : Promise.resolve(END)
  }

  #takeReader(): Reader | undefined {
    const reader = this.#reader
    this.#reader = undefined
    return reader
  }

  /** A generator that hangs returns when it comes back to itself; until then it counts as running. */
  #stopMethod(isError: boolean): void {
    const returned = (): void => this.#keeper.returned(isError)
    try {
      const stopped = this.#inScope(() => this.#items.return?.())
      Promise.resolve(stopped).then(returned, returned)
    } catch {
      returned()
    }
  }
}
