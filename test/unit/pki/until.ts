import { setImmediate } from 'node:timers/promises'

/** Lets the event loop turn until the condition holds; the test runner's time limit ends what never does. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setImmediate()
}
