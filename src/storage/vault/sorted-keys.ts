/** A full bucket is split in two: inserting moves at most this many references. */
const BUCKET_KEYS_MAX = 512

/** Order of the keys' UTF-8 bytes, which is etcd's order; `<` on strings differs where surrogate pairs occur. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left === right) continue
    // A surrogate stands for a code point above U+FFFF, which comes after every single unit.
    if (isSurrogate(left) !== isSurrogate(right)) return isSurrogate(left) ? 1 : -1
    return left - right
  }
  return a.length - b.length
}

/** A set of keys in order, as a list of sorted buckets: insert and delete cost O(√n) moves at worst, not O(n). */
export class SortedKeys {
  /** Never contains an empty bucket. */
  readonly #buckets: string[][] = []

  /** The key must not be there yet. */
  add(key: string): void {
    const bucketIndex = Math.min(this.#bucketFor(key), this.#buckets.length - 1)
    const bucket = this.#buckets[bucketIndex]
    if (!bucket) {
      this.#buckets.push([key])
      return
    }
    bucket.splice(lowerBound(bucket, key), 0, key)
    if (bucket.length > BUCKET_KEYS_MAX) {
      this.#buckets.splice(bucketIndex + 1, 0, bucket.splice(BUCKET_KEYS_MAX / 2))
    }
  }

  /** Does nothing when the key is not there. */
  delete(key: string): void {
    const bucketIndex = this.#bucketFor(key)
    const bucket = this.#buckets[bucketIndex]
    if (!bucket) return
    const index = lowerBound(bucket, key)
    if (bucket[index] !== key) return
    bucket.splice(index, 1)
    if (bucket.length === 0) this.#buckets.splice(bucketIndex, 1)
  }

  /** The keys that begin with `prefix`, in order. The set must not change meanwhile. */
  *withPrefix(prefix: string): Generator<string, void, undefined> {
    let bucketIndex = this.#bucketFor(prefix)
    let index = lowerBound(this.#buckets[bucketIndex] ?? [], prefix)
    for (; bucketIndex < this.#buckets.length; bucketIndex++, index = 0) {
      const bucket = this.#buckets[bucketIndex] as string[]
      for (; index < bucket.length; index++) {
        const key = bucket[index] as string
        if (!key.startsWith(prefix)) return
        yield key
      }
    }
  }

  /** Index of the first bucket whose last key is not before `key`. */
  #bucketFor(key: string): number {
    let low = 0
    let high = this.#buckets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const bucket = this.#buckets[middle] as string[]
      if (compareKeys(bucket[bucket.length - 1] as string, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

function lowerBound(sorted: string[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(sorted[middle] as string, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
