import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { jittered, WATCH_MS_MAX } from './until-changed.ts'

export interface StreamLifeNeeds {
  clock: Clock
  random: Random
  feed: { readonly stopped: AbortSignal }
}

/** A comment at least so often keeps connections through proxies open, and tells the reader that the node is there. */
const HEARTBEAT_MS = 15_000

/** First words of a stream: how long its reader waits before it connects again. */
export const RETRY_FIELD = 'retry: 2000\n\n'
export const COMMENT = ':\n\n'

/**
 * What all streams of server-sent events share (HTML standard, section 9.2): each ends after ten minutes, so that a withdrawn
 * credential is noticed, and when the node stops; the reader then comes back.
 */
export class StreamLife {
  readonly #release: (() => void)[]

  constructor({ clock, random, feed }: StreamLifeNeeds, on: { beat: () => void; end: () => void }) {
    const { stopped } = feed
    const life = clock.after(jittered(WATCH_MS_MAX, random), on.end)
    const heartbeat = clock.every(HEARTBEAT_MS, on.beat)
    stopped.addEventListener('abort', on.end)
    this.#release = [() => life.cancel(), () => heartbeat.cancel(), () => stopped.removeEventListener('abort', on.end)]
  }

  /** The stream is over, or its reader gone. */
  release(): void {
    for (const release of this.#release.splice(0)) release()
  }
}
