/**
 * What is taken of one peer in a turn of the event loop; the rest waits for the next turn, and when it is more than the window
 * of its channel, with the peer. The shortest call has 35 bytes: 1,900 calls, or some 300 of the usual ones.
 */
export const TURN_BYTES = 64 * 1024

/**
 * One peer's share of this node's attention, whatever number of channels it has. It is counted in turns and not in time: a peer
 * that is alone gets one turn after the other, as many as there are, and one among others waits for no more than a share of each
 * of them.
 */
export class TurnShare {
  readonly #nextTurn: (callback: () => void) => void
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(nextTurn: (callback: () => void) => void = setImmediate) {
    this.#nextTurn = nextTurn
  }

  /**
   * Counts what was taken since this node last looked at its other peers. It need not have come in one turn: a peer that sends
   * little reaches the end of its share now and then too, and to wait for the turn that comes anyway costs it nothing.
   * @returns whether more may be taken in this turn
   */
  take(bytes: number): boolean {
    this.#bytes += bytes
    return this.#bytes < TURN_BYTES
  }

  /** Calls back in the next turn, in which there is a whole share again. */
  whenRenewed(callback: () => void): void {
    this.#waiting.push(callback)
    if (this.#waiting.length === 1) this.#nextTurn(() => this.#renew())
  }

  #renew(): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    for (const callback of waiting) callback()
  }
}
