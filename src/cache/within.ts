import type { Clock } from '../base/time.ts'

/**
 * The promise's outcome, or a rejection after `limitMs`. The limit passes in two halves: after a stall of this
 * process the first timer fires before the answers that already wait in the sockets are read, the second does not.
 */
export async function within<T>(clock: Clock, limitMs: number, promise: Promise<T>): Promise<T> {
  const { promise: overdue, reject } = Promise.withResolvers<never>()
  let timer = clock.after(limitMs / 2, () => {
    timer = clock.after(limitMs / 2, () => reject(new Error(`no answer within ${limitMs} ms`)))
  })
  try {
    return await Promise.race([promise, overdue])
  } finally {
    timer.cancel()
  }
}
