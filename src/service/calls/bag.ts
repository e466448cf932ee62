/** Where something is in its {@link Bag}; -1: in none. */
export interface Placed {
  place: number
}

/**
 * Things in no order, each of which knows its place. The array behind it never shrinks: a Set, or an array that grows and shrinks,
 * is made anew again and again when things come and go by the thousand, and what is left of it keeps them all from the young
 * generation's collector.
 */
export class Bag<Thing extends Placed> {
  readonly #things: (Thing | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  add(thing: Thing): void {
    thing.place = this.#size++
    this.#things[thing.place] = thing
  }

  /** @returns whether it was there */
  delete(thing: Thing): boolean {
    const { place } = thing
    if (place < 0) return false
    thing.place = -1
    const last = this.#things[--this.#size] as Thing
    this.#things[this.#size] = undefined
    if (last !== thing) {
      this.#things[place] = last
      last.place = place
    }
    return true
  }

  /** Of this moment. */
  list(): Thing[] {
    return this.#things.slice(0, this.#size) as Thing[]
  }
}
