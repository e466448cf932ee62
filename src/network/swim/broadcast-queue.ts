import type { NodeId } from '../../base/identity.ts'
import type { Rumour } from './message.ts'

interface Broadcast {
  rumour: Rumour
  bytes: number
  transmits: number
  /** Rises with every rumour: among equally often sent ones the newest goes first. */
  id: number
}

/** `mult * ceil(log10(members + 1))`: after so many transmissions a rumour has reached all but with tiny probability. */
export function retransmitLimit(mult: number, members: number): number {
  return mult * Math.ceil(Math.log10(members + 1))
}

/**
 * Rumours waiting to ride on other frames, the least often sent first (memberlist queue.go). One rumour a member: a
 * newer one replaces what was still waiting. Bounded: the most often sent makes room.
 */
export class BroadcastQueue {
  readonly #rumoursMax: number
  readonly #broadcasts = new Map<NodeId, Broadcast>()
  #sorted: Broadcast[] | undefined
  #nextId = 0
  #dropped = 0

  constructor(rumoursMax: number) {
    this.#rumoursMax = rumoursMax
  }

  get size(): number {
    return this.#broadcasts.size
  }

  /** Rumours that had to make room. */
  get dropped(): number {
    return this.#dropped
  }

  /** @param bytes the rumour's encoded size */
  enqueue(rumour: Rumour, bytes: number): void {
    this.#broadcasts.set(rumour.nodeId, { rumour, bytes, transmits: 0, id: this.#nextId++ })
    this.#sorted = undefined
    if (this.#broadcasts.size <= this.#rumoursMax) return
    const last = this.#order().pop()
    if (last) this.#broadcasts.delete(last.rumour.nodeId)
    this.#dropped++
  }

  /** The rumours for one frame. Each one taken has been sent once more and leaves after `transmitsMax` times. */
  take(bytesMax: number, transmitsMax: number): Rumour[] {
    if (this.#broadcasts.size === 0) return []
    const taken: Broadcast[] = []
    let bytes = 0
    for (const broadcast of this.#order()) {
      if (bytes + broadcast.bytes > bytesMax) continue
      bytes += broadcast.bytes
      taken.push(broadcast)
    }
    for (const broadcast of taken) {
      broadcast.transmits++
      if (broadcast.transmits >= transmitsMax) this.#broadcasts.delete(broadcast.rumour.nodeId)
    }
    if (taken.length > 0) this.#sorted = undefined
    return taken.map((broadcast) => broadcast.rumour)
  }

  #order(): Broadcast[] {
    this.#sorted ??= [...this.#broadcasts.values()].sort((a, b) => a.transmits - b.transmits || b.id - a.id)
    return this.#sorted
  }
}
