import { Readable } from 'node:stream'
import { COMMENT, RETRY_FIELD, StreamLife, type StreamLifeNeeds } from './stream-life.ts'

/**
 * Groups of something as server-sent events, with the life of a {@link StreamLife}; the reader comes back with the id of its last
 * event. A slow reader is read for at its own pace.
 * @param follow begins to listen; ends when the signal aborts
 * @param textOf one event, without line breaks in its data
 */
export function groupStream<T>(
  needs: StreamLifeNeeds,
  follow: (signal: AbortSignal) => AsyncIterable<readonly T[]>,
  textOf: (group: readonly T[]) => string,
): Readable {
  return new GroupStream(needs, follow, textOf)
}

class GroupStream<T> extends Readable {
  readonly #textOf: (group: readonly T[]) => string
  readonly #ended = new AbortController()
  readonly #groups: AsyncIterator<readonly T[]>
  readonly #life: StreamLife
  #isReading = false
  #isWanted = false

  constructor(
    needs: StreamLifeNeeds,
    follow: (signal: AbortSignal) => AsyncIterable<readonly T[]>,
    textOf: (group: readonly T[]) => string,
  ) {
    super()
    this.#textOf = textOf
    this.#groups = follow(this.#ended.signal)[Symbol.asyncIterator]()
    this.#life = new StreamLife(needs, { beat: () => this.#beat(), end: () => this.#ended.abort() })
    if (needs.feed.stopped.aborted) this.#ended.abort()
    // The comment tells the reader at once that the connection stands.
    this.push(RETRY_FIELD + COMMENT)
  }

  override _read(): void {
    this.#isWanted = true
    if (!this.#isReading) void this.#handOn()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()
    done(error)
  }

  /** Never rejects. */
  async #handOn(): Promise<void> {
    this.#isReading = true
    try {
      while (this.#isWanted && !this.destroyed) {
        const group = await this.#groups.next()
        if (group.done) {
          this.#release()
          this.push(null)
          return
        }
        this.#isWanted = this.push(this.#textOf(group.value))
      }
    } catch (error) {
      this.destroy(error as Error)
    } finally {
      this.#isReading = false
    }
  }

  #beat(): void {
    if (this.#isWanted) this.#isWanted = this.push(COMMENT)
  }

  #release(): void {
    this.#ended.abort()
    this.#life.release()
  }
}
