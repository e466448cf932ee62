import { LIMITS } from './limits.ts'
import type { Digest, DigestEntry } from './message.ts'

/** Splits a whole view, in node id order, into digest messages that together cover every id there is. */
export function wholeDigest(entries: readonly DigestEntry[]): Digest[] {
  const digests: Digest[] = []
  let after = ''
  let start = 0
  do {
    const chunk = entries.slice(start, start + LIMITS.digestEntriesMax)
    start += chunk.length
    const upTo = start < entries.length ? (chunk.at(-1) as DigestEntry).nodeId : ''
    digests.push({ type: 'digest', isReply: false, after, upTo, entries: chunk })
    after = upTo
  } while (start < entries.length)
  return digests
}

/** What the sender of `digest` lacks of `own`: members it does not list in its range, and those it knows less of. */
export function missingFrom(digest: Digest, own: readonly DigestEntry[], isNewer: IsNewer): DigestEntry[] {
  const theirs = new Map(digest.entries.map((entry) => [entry.nodeId, entry]))
  return own.filter((entry) => {
    if (entry.nodeId <= digest.after || (digest.upTo !== '' && entry.nodeId > digest.upTo)) return false
    const other = theirs.get(entry.nodeId)
    return !other || isNewer(entry, other)
  })
}

export type IsNewer = (own: DigestEntry, theirs: DigestEntry) => boolean

/** Answers to a digest, in bounded messages. */
export function replyDigests(entries: readonly DigestEntry[]): Digest[] {
  return wholeDigest(entries)
    .filter((digest) => digest.entries.length > 0)
    .map((digest) => ({ ...digest, isReply: true }))
}
