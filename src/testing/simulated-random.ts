import type { Random } from '../base/random.ts'

/** Chance that repeats: the same seed gives the same numbers (SplitMix32 seeding xoshiro128**; Blackman and Vigna 2018). */
export class SimulatedRandom implements Random {
  readonly #state: Uint32Array

  constructor(seed: number) {
    let mixed = seed >>> 0
    this.#state = Uint32Array.from({ length: 4 }, () => {
      mixed = (mixed + 0x9e3779b9) >>> 0
      let z = mixed
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    })
  }

  /** A generator of its own, for one node: what others draw does not change what it draws. */
  fork(): SimulatedRandom {
    return new SimulatedRandom(this.#next())
  }

  float(): number {
    return (this.#next() * 0x200000 + (this.#next() >>> 11)) / 2 ** 53
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#next() & 0xff)
  }

  #next(): number {
    const s = this.#state as unknown as [number, number, number, number]
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0
    const shifted = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = rotateLeft(s[3], 11)
    return result
  }
}

function rotateLeft(value: number, count: number): number {
  return (value << count) | (value >>> (32 - count))
}
