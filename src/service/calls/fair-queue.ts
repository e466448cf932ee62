/**
 * A queue with room for so many things of several owners, first in, first out. While there is room anybody's is taken; when it
 * is full, one more of an owner who has few in it takes the place of the last one of whoever has most: nobody can keep others
 * out by filling it.
 */
export class FairQueue<Thing> {
  readonly #max: number
  readonly #ownerOf: (thing: Thing) => string
  readonly #things: Thing[] = []
  readonly #counts = new Map<string, number>()

  constructor(max: number, ownerOf: (thing: Thing) => string) {
    this.#max = max
    this.#ownerOf = ownerOf
  }

  get isFull(): boolean {
    return this.#things.length >= this.#max
  }

  /** @returns what found no place: this thing, or another that had to give way; undefined: nothing */
  push(thing: Thing): Thing | undefined {
    const owner = this.#ownerOf(thing)
    const last = this.isFull ? this.#lastOfLargest(owner) : -1
    if (this.isFull && last < 0) return thing
    const [displaced] = last < 0 ? [] : this.#things.splice(last, 1)
    if (displaced !== undefined) this.#uncount(displaced)
    this.#things.push(thing)
    this.#counts.set(owner, (this.#counts.get(owner) ?? 0) + 1)
    return displaced
  }

  shift(): Thing | undefined {
    const thing = this.#things.shift()
    if (thing !== undefined) this.#uncount(thing)
    return thing
  }

  /** Takes out what is no longer wanted. */
  takeOut(isUnwanted: (thing: Thing) => boolean): Thing[] {
    const unwanted = this.#things.filter(isUnwanted)
    if (unwanted.length === 0) return unwanted
    const left = this.#things.filter((thing) => !isUnwanted(thing))
    this.#things.splice(0, this.#things.length, ...left)
    for (const thing of unwanted) this.#uncount(thing)
    return unwanted
  }

  /** @returns -1 when nobody has more than that owner would have with one more */
  #lastOfLargest(owner: string): number {
    let largest = owner
    let most = (this.#counts.get(owner) ?? 0) + 1
    for (const [other, count] of this.#counts) {
      if (count > most) [largest, most] = [other, count]
    }
    return largest === owner ? -1 : this.#things.findLastIndex((thing) => this.#ownerOf(thing) === largest)
  }

  #uncount(thing: Thing): void {
    const owner = this.#ownerOf(thing)
    const left = (this.#counts.get(owner) ?? 1) - 1
    if (left === 0) this.#counts.delete(owner)
    else this.#counts.set(owner, left)
  }
}
