import type { Clock } from '../base/time.ts'

/** No system tells Node of a changed interface, so it is looked at; DHCP changes are rare and cheap to see. */
const LOOK_EVERY_MS = 5_000

/**
 * Calls `onChange` when the addresses of this host are no longer what they were.
 * @returns a function that ends the watch
 */
export function watchAddresses(clock: Clock, addresses: () => string[], onChange: (now: string[]) => void): () => void {
  let known = addresses().join()
  const timer = clock.every(LOOK_EVERY_MS, () => {
    const now = addresses()
    if (now.join() === known) return
    known = now.join()
    onChange(now)
  })
  return () => timer.cancel()
}
