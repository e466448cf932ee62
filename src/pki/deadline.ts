import type { Clock } from '../base/time.ts'

/**
 * Runs a task for at most `limitMs`, and no longer than `signal` lasts. A task that does not heed its
 * signal is left behind.
 * @param late what to throw when the time is up
 */
export async function withDeadline<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  late: () => Error,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const controller = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = (reason: unknown): void => {
    reject(reason)
    controller.abort(reason)
  }
  const onAbort = (): void => end(signal.reason)
  const timer = clock.after(limitMs, () => end(late()))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([ended, task(controller.signal)])
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', onAbort)
  }
}
