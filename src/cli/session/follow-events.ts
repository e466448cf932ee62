import { messageOf, P2PError } from '../../base/errors.ts'
import type { Session } from './connect.ts'
import type { ServerEvent } from './server-events.ts'

/** Before a connection is opened again. */
const RETRY_MS = 2_000

export interface FollowOptions {
  /** Ends following, without an error. */
  signal: AbortSignal
  /** Waits; rejects when the signal is aborted. */
  pause: (durationMs: number, signal: AbortSignal) => Promise<void>
  /** Told when a connection was lost or cannot be opened again, once for each reason; the next event says that there is one. */
  onLost: (why: string) => void
}

/**
 * The events at `path` for as long as anybody wants them: a connection that ends or breaks is opened again, going on
 * after the last event.
 * @throws {P2PError} what the first connection fails with, and later whatever trying again would not mend
 */
export async function* followEvents(
  session: Session,
  path: string,
  options: FollowOptions,
): AsyncGenerator<ServerEvent> {
  const { signal, pause, onLost } = options
  let lastEventId: string | undefined
  let wasOpen = false
  let told: string | undefined
  for (;;) {
    try {
      for await (const event of session.events({ path, lastEventId, signal })) {
        wasOpen = true
        told = undefined
        lastEventId = event.id ?? lastEventId
        yield event
      }
    } catch (error) {
      if (signal.aborted) return
      const mayMend = error instanceof P2PError && error.facts.retryable
      if (!wasOpen || !mayMend) throw error
      const why = messageOf(error)
      if (why !== told) onLost(why)
      told = why
    }
    await pause(RETRY_MS, signal).catch(() => {})
    if (signal.aborted) return
  }
}
