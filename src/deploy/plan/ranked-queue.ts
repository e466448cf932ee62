import type { NodeRoom } from './node-room.ts'

/** A node with what decides whether it gets the next instance. */
export interface Ranked {
  room: NodeRoom
  /** Instances of the service that it has. */
  count: number
  load: number
  tie: number
}

/** Below 0: the first is the better place for one more. */
export function compareRank(a: Ranked, b: Ranked): number {
  return a.count - b.count || a.load - b.load || a.tie - b.tie
}

/** Nodes with the best place first. */
export class RankedQueue {
  readonly #sorted: Ranked[]

  constructor(ranked: Ranked[]) {
    this.#sorted = ranked.sort(compareRank)
  }

  get best(): Ranked | undefined {
    return this.#sorted[0]
  }

  take(): Ranked | undefined {
    return this.#sorted.shift()
  }

  insert(ranked: Ranked): void {
    let [low, high] = [0, this.#sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareRank(this.#sorted[middle] as Ranked, ranked) < 0) low = middle + 1
      else high = middle
    }
    this.#sorted.splice(low, 0, ranked)
  }
}

/** Of two queues, which has the better place; one that is empty has none. */
export function compareBest(a: RankedQueue | undefined, b: RankedQueue | undefined): number {
  if (!a?.best || !b?.best) return Number(!a?.best) - Number(!b?.best)
  return compareRank(a.best, b.best)
}
