import { RpcError } from '../base/errors.ts'
import type { Clock } from '../base/time.ts'

/**
 * Waits for `work`, at most `limitMs`. What is given up goes on by itself; its failure is then nobody's.
 * @param what named in the error, for example `initialize`
 * @param setting member of the manifest that sets the limit
 * @throws {RpcError} P2P_SERVICE_START_FAILED when the time is over; the signal's reason; what `work` throws
 */
export async function withinLimit<T>(
  clock: Clock,
  work: T | Promise<T>,
  { limitMs, what, setting, signal }: { limitMs: number; what: string; setting: string; signal?: AbortSignal },
): Promise<T> {
  const giveUp = Promise.withResolvers<never>()
  const timer = clock.after(limitMs, () => {
    const message = `${what} did not finish within ${limitMs} ms (${setting} in manifest.json)`
    giveUp.reject(new RpcError('P2P_SERVICE_START_FAILED', message))
  })
  const onAbort = (): void => giveUp.reject(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, giveUp.promise])
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}
