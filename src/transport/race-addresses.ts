import type { Clock, Timer } from '../base/time.ts'

/**
 * Connects to one of several addresses of the same peer (RFC 8305 section 5, without its address sorting: the caller's
 * order is the preference). The next address is tried when the one before has failed or has had its head start; the
 * first that connects wins and the other attempts are aborted.
 * @param connect must end soon after its signal is aborted
 * @param discard gets what connects too late
 * @throws {AggregateError} every failure, in the order of the addresses
 */
export function raceAddresses<T>(
  clock: Clock,
  addresses: readonly string[],
  headStartMs: number,
  connect: (address: string, signal: AbortSignal) => Promise<T>,
  discard: (late: T) => void,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const losers = new AbortController()
    const failures: unknown[] = []
    let next = 0
    let failed = 0
    let isDone = false
    let headStart: Timer | undefined

    const finish = (): void => {
      isDone = true
      headStart?.cancel()
      signal.removeEventListener('abort', onAbort)
      losers.abort(new Error('Another address was faster, or nobody waits any more.'))
    }
    const onAbort = (): void => {
      finish()
      reject(signal.reason)
    }
    const tryNext = (): void => {
      headStart?.cancel()
      if (next === addresses.length) return
      const index = next++
      headStart = clock.after(headStartMs, tryNext)
      connect(addresses[index] as string, losers.signal).then(
        (connected) => {
          if (isDone) return discard(connected)
          finish()
          return resolve(connected)
        },
        (error: unknown) => {
          if (isDone) return
          failures[index] = error
          if (++failed === addresses.length) {
            finish()
            reject(new AggregateError(failures, 'No address could be reached.'))
          } else tryNext()
        },
      )
    }

    if (signal.aborted) reject(signal.reason)
    else {
      signal.addEventListener('abort', onAbort, { once: true })
      tryNext()
    }
  })
}
