import type { NodeId } from '../../base/identity.ts'
import { type Random, randomInt, shuffle } from '../../base/random.ts'

/**
 * Round robin in an order that is shuffled anew each round: every member is probed within `2n - 1` periods (SWIM section
 * 4.3). A new member gets a place at random in the running round.
 */
export class ProbeOrder {
  readonly #random: Random
  #round: NodeId[] = []
  #next = 0

  constructor(random: Random) {
    this.#random = random
  }

  insert(nodeId: NodeId): void {
    const place = this.#next + randomInt(this.#random, this.#round.length - this.#next + 1)
    this.#round.splice(place, 0, nodeId)
  }

  /** @param living asked for at the start of a round; @param fits whether a member is to be probed now */
  next(living: () => NodeId[], fits: (nodeId: NodeId) => boolean): NodeId | undefined {
    for (let rounds = 0; rounds < 2; rounds++) {
      while (this.#next < this.#round.length) {
        const nodeId = this.#round[this.#next++] as NodeId
        if (fits(nodeId)) return nodeId
      }
      this.#round = shuffle(this.#random, living())
      this.#next = 0
    }
    return undefined
  }
}
