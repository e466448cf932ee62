import { Readable } from 'node:stream'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { MemberFeed } from './member-feed.ts'
import { jittered, WATCH_MS_MAX } from './until-changed.ts'

export interface GroupStreamNeeds {
  clock: Clock
  random: Random
  feed: Pick<MemberFeed, 'stopped'>
}

/** As of the membership's events. */
const HEARTBEAT_MS = 15_000
const RETRY_MS = 2_000

/**
 * Groups of something as server-sent events (HTML standard, section 9.2). It ends by itself after ten minutes, so that a
 * withdrawn credential is noticed, and when the node stops; the reader then comes back with the id of its last event. A slow
 * reader is read for at its own pace.
 * @param follow begins to listen; ends when the signal aborts
 * @param textOf one event, without line breaks in its data
 */
export function groupStream<T>(
  needs: GroupStreamNeeds,
  follow: (signal: AbortSignal) => AsyncIterable<readonly T[]>,
  textOf: (group: readonly T[]) => string,
): Readable {
  return new GroupStream(needs, follow, textOf)
}

class GroupStream<T> extends Readable {
  readonly #clock: Clock
  readonly #textOf: (group: readonly T[]) => string
  readonly #ended = new AbortController()
  readonly #groups: AsyncIterator<readonly T[]>
  readonly #cleanUp: (() => void)[] = []
  #heartbeat: Timer | undefined
  #isReading = false
  #isWanted = false

  constructor(
    { clock, random, feed }: GroupStreamNeeds,
    follow: (signal: AbortSignal) => AsyncIterable<readonly T[]>,
    textOf: (group: readonly T[]) => string,
  ) {
    super()
    this.#clock = clock
    this.#textOf = textOf
    this.#groups = follow(this.#ended.signal)[Symbol.asyncIterator]()
    const onEnd = (): void => this.#ended.abort()
    const life = clock.after(jittered(WATCH_MS_MAX, random), onEnd)
    feed.stopped.addEventListener('abort', onEnd)
    this.#cleanUp.push(
      () => life.cancel(),
      () => feed.stopped.removeEventListener('abort', onEnd),
      () => this.#heartbeat?.cancel(),
    )
    if (feed.stopped.aborted) onEnd()
    // The comment tells the reader at once that the connection stands.
    this.push(`retry: ${RETRY_MS}\n\n:\n\n`)
    this.#armHeartbeat()
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

  #armHeartbeat(): void {
    this.#heartbeat = this.#clock.after(HEARTBEAT_MS, () => {
      if (this.#isWanted) this.#isWanted = this.push(':\n\n')
      this.#armHeartbeat()
    })
  }

  #release(): void {
    this.#ended.abort()
    for (const release of this.#cleanUp.splice(0)) release()
  }
}
