import { RpcError } from '../../base/errors.ts'

/** Two hashes at a time leave half of the thread pool to the disk, and cost 40 MB at most. */
const RUNNING_MAX = 2
const WAITING_MAX = 64
/** Of one origin: so that whoever floods the queue fills his own place in it and not everybody's. */
const WAITING_PER_SOURCE_MAX = 8

/** Work that costs much memory and time, a little of it at once, and few that wait. */
export class HashQueue {
  #running = 0
  readonly #waiting: { source: string; start: () => void }[] = []

  /** @throws {RpcError} P2P_RPC_OVERLOADED: too many wait, of this origin or in all */
  async run<T>(source: string, work: () => Promise<T>): Promise<T> {
    if (this.#running >= RUNNING_MAX) await this.#turn(source)
    else this.#running++
    try {
      return await work()
    } finally {
      // Who waits takes over the place.
      const next = this.#waiting.shift()
      if (next) next.start()
      else this.#running--
    }
  }

  #turn(source: string): Promise<void> {
    const own = this.#waiting.filter((other) => other.source === source).length
    if (own >= WAITING_PER_SOURCE_MAX || this.#waiting.length >= WAITING_MAX) {
      throw new RpcError('P2P_RPC_OVERLOADED', 'Too many people sign in at this moment; try again in 1 s', {
        retry_after_s: 1,
      })
    }
    return new Promise((start) => {
      this.#waiting.push({ source, start })
    })
  }
}
