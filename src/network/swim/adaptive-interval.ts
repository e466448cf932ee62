/** Each quiet exchange stretches the interval by half, so 5 s become 30 s after five of them. */
const GROWTH = 1.5

/**
 * Time between two state exchanges (`gossip_interval_min`, `gossip_interval_max`): short while things change, long when
 * quiet. Rumours carry the news; the exchange repairs what they missed.
 */
export class AdaptiveInterval {
  readonly #minMs: number
  readonly #maxMs: number
  #intervalMs: number
  #quietExchanges = 0
  #hasChanged = true

  constructor(minMs: number, maxMs: number) {
    this.#minMs = minMs
    this.#maxMs = Math.max(minMs, maxMs)
    this.#intervalMs = minMs
  }

  get intervalMs(): number {
    return this.#intervalMs
  }

  /** Why the interval has its length, for people. */
  get reason(): string {
    if (this.#intervalMs === this.#minMs) return 'shortest: members or records changed since the last exchange'
    const quiet = `nothing changed for ${this.#quietExchanges} exchange${this.#quietExchanges === 1 ? '' : 's'}`
    return this.#intervalMs === this.#maxMs ? `longest: ${quiet}` : `growing: ${quiet}`
  }

  /** Something changed: @returns whether the interval became shorter by it. */
  onChange(): boolean {
    this.#hasChanged = true
    this.#quietExchanges = 0
    const wasLonger = this.#intervalMs > this.#minMs
    this.#intervalMs = this.#minMs
    return wasLonger
  }

  /** An exchange begins: @returns the time until the next one. */
  onExchange(): number {
    if (this.#hasChanged) this.#hasChanged = false
    else {
      this.#quietExchanges++
      this.#intervalMs = Math.min(this.#maxMs, this.#intervalMs * GROWTH)
    }
    return this.#intervalMs
  }
}
