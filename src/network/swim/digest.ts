import { LIMITS } from './limits.ts'
import type { Digest, DigestEntry } from './message.ts'

/** Digest messages that cover these buckets whole, as few as hold their entries. */
export function coveringDigests(bits: number, entriesByBucket: ReadonlyMap<number, DigestEntry[]>): Digest[] {
  const digests: Digest[] = []
  let buckets: number[] = []
  let entries: DigestEntry[] = []
  const finish = (): void => {
    if (buckets.length > 0) digests.push({ type: 'digest', covers: { bits, buckets }, entries })
    buckets = []
    entries = []
  }
  for (const [bucket, members] of entriesByBucket) {
    if (entries.length + members.length > LIMITS.digestEntriesMax) finish()
    // A bucket that does not fit one message is said to be covered by several: what the others hold is then sent needlessly.
    for (let start = 0; start === 0 || start < members.length; start += LIMITS.digestEntriesMax) {
      if (start > 0) finish()
      buckets.push(bucket)
      entries.push(...members.slice(start, start + LIMITS.digestEntriesMax))
    }
  }
  finish()
  return digests
}

/** What the sender of a digest lacks of `own`, all that this node holds in the buckets it covers. */
export function missingFrom(digest: Digest, own: readonly DigestEntry[], isNewer: IsNewer): DigestEntry[] {
  const theirs = new Map(digest.entries.map((entry) => [entry.nodeId, entry]))
  return own.filter((entry) => {
    const other = theirs.get(entry.nodeId)
    return !other || isNewer(entry, other)
  })
}

export type IsNewer = (own: DigestEntry, theirs: DigestEntry) => boolean

/** Answers to a digest, in bounded messages. */
export function replyDigests(entries: readonly DigestEntry[]): Digest[] {
  const digests: Digest[] = []
  for (let start = 0; start < entries.length; start += LIMITS.digestEntriesMax) {
    digests.push({ type: 'digest', entries: entries.slice(start, start + LIMITS.digestEntriesMax) })
  }
  return digests
}
