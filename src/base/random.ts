/** The source of chance: the system's generator in a node, a seeded one in the simulator. */
export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array
  /** A number in [0, 1). Not for secrets. */
  float(): number
}

/** A whole number in [0, bound). Not for secrets. */
export function randomInt(random: Random, bound: number): number {
  return Math.floor(random.float() * bound)
}

/** Shuffles in place (Fisher–Yates) and returns the same array. */
export function shuffle<T>(random: Random, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = randomInt(random, i + 1)
    const held = items[i] as T
    items[i] = items[j] as T
    items[j] = held
  }
  return items
}
