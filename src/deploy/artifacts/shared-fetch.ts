import { untilAborted } from './until-aborted.ts'

/** One piece of work that several callers wait for: it goes on as long as one of them does. */
export class SharedFetch<T> {
  readonly #abandoned = new AbortController()
  readonly #result: Promise<T>
  #waiting = 0

  constructor(run: (signal: AbortSignal) => Promise<T>) {
    this.#result = run(this.#abandoned.signal)
    // Whoever waits is told; with nobody waiting a failure concerns nobody.
    this.#result.catch(() => {})
  }

  /** All callers have gone: it is ending. */
  get isAbandoned(): boolean {
    return this.#abandoned.signal.aborted
  }

  /** Resolves when it has ended, whatever came of it. */
  async ended(): Promise<void> {
    await this.#result.catch(() => {})
  }

  /** @throws the signal's reason when it is aborted first */
  async join(signal: AbortSignal): Promise<T> {
    this.#waiting++
    try {
      return await untilAborted(this.#result, signal)
    } finally {
      if (--this.#waiting === 0) this.#abandoned.abort(new Error('Nobody waits for it any more.'))
    }
  }
}
