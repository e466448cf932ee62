import type { ServerResponse } from 'node:http'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { ChangeFeed } from './change-feed.ts'

/** Longest time a request waits for a change: proxies and clients give up soon after. */
export const WATCH_MS_MAX = 600_000

/** Many that began to wait together must not all come back together: so much of their time is cut off at random. */
const JITTER_RATIO = 1 / 16

/** `waitMs`, or up to a sixteenth less. */
export function jittered(waitMs: number, random: Random): number {
  return waitMs * (1 - JITTER_RATIO * random.float())
}

/**
 * Waits while `index` is the number of the latest change: resolves when another one came, after `waitMs`, when the client
 * has gone, or when the node stops. A number that is not the latest, lower or from elsewhere, is not waited for.
 */
export async function untilChanged(
  { feed, clock }: { feed: ChangeFeed; clock: Clock },
  { index, waitMs, response }: { index: number; waitMs: number; response: Pick<ServerResponse, 'once' | 'off'> },
): Promise<void> {
  if (index !== feed.index || feed.stopped.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const onEnd = (): void => resolve()
  const timer = clock.after(waitMs, onEnd)
  const unlisten = feed.onChange(onEnd)
  feed.stopped.addEventListener('abort', onEnd)
  response.once('close', onEnd)
  await promise
  timer.cancel()
  unlisten()
  feed.stopped.removeEventListener('abort', onEnd)
  response.off('close', onEnd)
}
