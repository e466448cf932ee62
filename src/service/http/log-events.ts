import { Readable } from 'node:stream'
import type { LogFilter, LogLine, LogReader } from '../../base/log-line.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { logLineText } from './log-wire.ts'
import type { MemberFeed } from './member-feed.ts'
import { jittered, WATCH_MS_MAX } from './until-changed.ts'

export interface LogEventsNeeds {
  clock: Clock
  random: Random
  logs: LogReader
  feed: Pick<MemberFeed, 'stopped'>
}

/** As of the membership's events. */
const HEARTBEAT_MS = 15_000
const RETRY_MS = 2_000

/**
 * Lines as server-sent events (HTML standard, section 9.2): `lines` with an array of them, oldest first, its id the cursor
 * of the last one. It ends by itself after ten minutes, so that a withdrawn credential is noticed, and when the node stops;
 * the reader then comes back and goes on after that cursor. A slow reader is read for at its own pace.
 */
export function logEvents(needs: LogEventsNeeds, filter: LogFilter, after: number | undefined): Readable {
  return new LogEvents(needs, filter, after)
}

class LogEvents extends Readable {
  readonly #clock: Clock
  readonly #ended = new AbortController()
  readonly #groups: AsyncIterator<readonly LogLine[]>
  readonly #cleanUp: (() => void)[] = []
  #heartbeat: Timer | undefined
  #isReading = false
  #isWanted = false

  constructor({ clock, random, logs, feed }: LogEventsNeeds, filter: LogFilter, after: number | undefined) {
    super()
    this.#clock = clock
    const { signal } = this.#ended
    this.#groups = logs.subscribe(filter, { ...(after !== undefined && { after }), signal })[Symbol.asyncIterator]()
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
        this.#isWanted = this.push(eventText(group.value))
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

/** JSON has no line breaks, so one data line is enough. */
function eventText(lines: readonly LogLine[]): string {
  return `event: lines\nid: ${lines.at(-1)?.cursor}\ndata: [${lines.map(logLineText).join()}]\n\n`
}
