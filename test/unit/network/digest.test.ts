import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingFrom, replyDigests, wholeDigest } from '../../../src/network/swim/digest.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import type { DigestEntry } from '../../../src/network/swim/message.ts'

const entries = (count: number): DigestEntry[] =>
  Array.from({ length: count }, (_, i) => ({
    nodeId: `n${String(i).padStart(5, '0')}`,
    incarnation: 1,
    status: 'alive',
    recordVersion: 1,
  }))

test('digests of a large view are bounded and together cover every id there is', () => {
  const digests = wholeDigest(entries(LIMITS.digestEntriesMax * 2 + 5))
  assert.deepEqual(
    digests.map((digest) => digest.entries.length),
    [512, 512, 5],
  )
  assert.deepEqual([digests[0]?.after, digests.at(-1)?.upTo], ['', ''])
  for (const [i, digest] of digests.entries()) if (i > 0) assert.equal(digest.after, digests[i - 1]?.upTo)
})

test('an empty view is a digest of everything, an empty reply none at all', () => {
  assert.equal(wholeDigest([]).length, 1)
  assert.equal(replyDigests([]).length, 0)
})

test('what lies in another range is not missing', () => {
  const own = entries(10)
  const [first] = wholeDigest(own.slice(0, 5))
  assert.ok(first)
  const ranged = { ...first, upTo: 'n00004' }
  assert.deepEqual(
    missingFrom(ranged, own, () => false),
    [],
  )
  assert.deepEqual(missingFrom({ ...ranged, entries: [] }, own, () => false).length, 5)
})
