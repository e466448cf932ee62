/** A pending call; `cancel` is idempotent. */
export interface Timer {
  cancel(): void
}

/**
 * The two clocks of a node, never mixed: monotonic for durations and deadlines, wall time for
 * certificates and log lines.
 */
export interface Clock {
  /** Monotonic milliseconds (with fraction) since an arbitrary moment: never jumps. */
  nowMs(): number
  /** Milliseconds since the Unix epoch: may jump when somebody sets the clock. */
  wallMs(): number
  /** Calls `fn` once, `delayMs` from now. The timer does not keep the process alive. */
  after(delayMs: number, fn: () => void): Timer
  /** Calls `fn` every `periodMs`. The timer does not keep the process alive. */
  every(periodMs: number, fn: () => void): Timer
}

/**
 * Resolves after `delayMs`.
 * @throws the signal's reason when it is aborted before that
 */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
