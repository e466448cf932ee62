import type { Clock } from '../base/time.ts'

/**
 * Runs `work` with a signal that is aborted with `tooLate` after `timeoutMs`, or with the outer signal's reason.
 * `work` must end soon after that.
 */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  tooLate: Error,
  work: (inTime: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController()
  const timer = clock.after(timeoutMs, () => deadline.abort(tooLate))
  try {
    return await work(AbortSignal.any([signal, deadline.signal]))
  } finally {
    timer.cancel()
  }
}
