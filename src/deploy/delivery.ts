import { messageOf } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'

const RETRY_MS_MIN = 250
const RETRY_MS_MAX = 30_000

export interface DeliveryNeeds {
  clock: Clock
  random: Random
  /** Brings the state as it is now to its receiver. Rejects when that should be tried again. */
  deliver(signal: AbortSignal): Promise<void>
  /** Told of the first failure in a row. */
  onFailure(reason: string): void
}

/**
 * Keeps one receiver up to date with something that changes: never two deliveries at once, changes during a delivery are one
 * more, and a failed one is repeated after a growing pause with jitter.
 */
export class Delivery {
  readonly #needs: DeliveryNeeds
  readonly #stopped = new AbortController()
  #isDue = false
  #running: Promise<void> | undefined
  #retry: Timer | undefined
  #failures = 0
  #failure: string | undefined

  constructor(needs: DeliveryNeeds) {
    this.#needs = needs
  }

  /** Why the last delivery failed; undefined when it did not, or none was made. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** There is something new to tell, or the receiver is back: delivers at once. */
  request(): void {
    if (this.#stopped.signal.aborted) return
    this.#isDue = true
    this.#failures = 0
    this.#retry?.cancel()
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('stopping'))
    this.#retry?.cancel()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    try {
      while (this.#isDue && !signal.aborted) {
        this.#isDue = false
        await this.#needs.deliver(signal)
        this.#failures = 0
        this.#failure = undefined
      }
    } catch (error) {
      if (!signal.aborted) this.#failed(error)
    } finally {
      this.#running = undefined
    }
  }

  #failed(error: unknown): void {
    this.#failure = messageOf(error)
    if (this.#failures++ === 0) this.#needs.onFailure(this.#failure)
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 10))
    // What was asked for during the failed delivery waits with it: the receiver is not there.
    this.#retry = this.#needs.clock.after(pauseMs * (0.5 + this.#needs.random.float() / 2), () => {
      this.#isDue = true
      this.#running ??= this.#run()
    })
  }
}
