import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coveringDigests, missingFrom, replyDigests } from '../../../src/network/swim/digest.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import type { DigestEntry } from '../../../src/network/swim/message.ts'

const entries = (count: number, from = 0): DigestEntry[] =>
  Array.from({ length: count }, (_, i) => ({
    nodeId: `n${String(from + i).padStart(5, '0')}`,
    incarnation: 1,
    status: 'alive',
    recordVersion: 1,
  }))

test('digests of many buckets are bounded, and each covers its buckets whole', () => {
  const buckets = new Map(Array.from({ length: 8 }, (_, bucket) => [bucket, entries(200, bucket * 200)]))
  const digests = coveringDigests(3, buckets)
  assert.deepEqual(
    digests.map(({ covers, entries: sent }) => [covers?.buckets, sent.length]),
    [
      [[0, 1], 400],
      [[2, 3], 400],
      [[4, 5], 400],
      [[6, 7], 400],
    ],
  )
})

test('a bucket that fits no message is spread over several', () => {
  const digests = coveringDigests(0, new Map([[0, entries(LIMITS.digestEntriesMax * 2 + 5)]]))
  assert.deepEqual(
    digests.map(({ covers, entries: sent }) => [covers?.buckets, sent.length]),
    [
      [[0], 512],
      [[0], 512],
      [[0], 5],
    ],
  )
})

test('of an empty bucket it is said that it is empty; an empty reply is none', () => {
  assert.deepEqual(coveringDigests(1, new Map([[1, []]])), [
    { type: 'digest', covers: { bits: 1, buckets: [1] }, entries: [] },
  ])
  assert.deepEqual(coveringDigests(1, new Map()), [])
  assert.deepEqual(replyDigests([]), [])
  assert.deepEqual(
    replyDigests(entries(600)).map((digest) => [digest.covers, digest.entries.length]),
    [
      [undefined, 512],
      [undefined, 88],
    ],
  )
})

test('what the sender of a digest lists as well as we know it is not missing', () => {
  const own = entries(10)
  const digest = { type: 'digest' as const, entries: own.slice(0, 5) }
  assert.deepEqual(
    missingFrom(digest, own, () => false),
    own.slice(5),
  )
  assert.equal(missingFrom(digest, own, () => true).length, 10)
})
