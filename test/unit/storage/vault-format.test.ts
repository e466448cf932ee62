import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ByteReader } from '../../../src/storage/vault/byte-reader.ts'
import { ByteWriter } from '../../../src/storage/vault/byte-writer.ts'
import { containsFrame, decodeFrameHeader } from '../../../src/storage/vault/frame.ts'
import {
  decodeHeader,
  encodeHeader,
  type KeySlot,
  PASSWORD_ITERATIONS_MAX,
  verifyHeader,
} from '../../../src/storage/vault/header.ts'
import { decodeCommits, decodeEntries, decodeSnapshotHead, encodeCommits } from '../../../src/storage/vault/records.ts'
import { SegmentOpener, SegmentSealer } from '../../../src/storage/vault/segment.ts'
import { compareKeys, SortedKeys } from '../../../src/storage/vault/sorted-keys.ts'
import { SimulatedRandom } from '../../../src/testing/simulated-random.ts'
import { bytesOf, refusal, textOf } from './support.ts'

const random = new SimulatedRandom(1)
const masterKey = random.bytes(32)
const storageId = random.bytes(16)
const keys = { masterKey, storageId }
const start = { seq: 1, link: random.bytes(32) }

test('numbers, texts and bytes come back as they were written', () => {
  const property = fc.property(
    fc.maxSafeNat(),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.uint8Array({ maxLength: 3000 }),
    (number, text, bytes) => {
      const written = new ByteWriter()
        .u64(number)
        .text(text)
        .bytes(bytes)
        .u8(7)
        .u16(65535)
        .u32(2 ** 32 - 1)
        .take()
      const reader = new ByteReader(written)
      assert.deepEqual(
        [reader.u64(), reader.text(), reader.bytes(), reader.u8(), reader.u16(), reader.u32(), reader.remaining],
        [number, text, bytes, 7, 65535, 2 ** 32 - 1, 0],
      )
    },
  )
  fc.assert(property, { numRuns: 100 })
})

test('a length that claims more than there is is refused before anything is allocated', () => {
  assert.throws(() => new ByteReader(new ByteWriter().u32(2 ** 32 - 1).take()).bytes(), RangeError)
  assert.throws(() => new ByteReader(new ByteWriter().u16(9).take()).text(), RangeError)
  assert.throws(
    () =>
      new ByteReader(
        new ByteWriter()
          .u32(2 ** 32 - 1)
          .u32(0)
          .take(),
      ).u64(),
    RangeError,
  )
  assert.throws(() => decodeCommits(new ByteWriter().u32(2 ** 32 - 1).take()), RangeError)
  assert.throws(
    () =>
      decodeSnapshotHead(
        new ByteWriter()
          .u64(1)
          .u32(1)
          .u32(2 ** 32 - 1)
          .take(),
      ),
    RangeError,
  )
})

test('no bytes make the record decoders do anything but decode or refuse', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (const decode of [decodeCommits, decodeSnapshotHead, decodeEntries]) {
      try {
        decode(bytes)
      } catch (error) {
        assert.ok(error instanceof RangeError)
      }
    }
    assert.equal(decodeFrameHeader(bytes), undefined)
    assert.ok(!containsFrame(bytes))
  })
  fc.assert(property, { numRuns: 500 })
})

test('keys stay sorted by their UTF-8 bytes, however they come and go', () => {
  const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 })
  const property = fc.property(
    fc.array(fc.tuple(key, fc.boolean()), { maxLength: 200 }),
    fc.string({ unit: 'binary', maxLength: 2 }),
    (steps, prefix) => {
      const sorted = new SortedKeys()
      const model = new Set<string>()
      for (const [text, isAdded] of steps) {
        if (!isAdded) sorted.delete(text)
        else if (!model.has(text)) sorted.add(text)
        if (isAdded) model.add(text)
        else model.delete(text)
      }
      const expected = [...model]
        .filter((text) => text.startsWith(prefix))
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      assert.deepEqual([...sorted.withPrefix(prefix)], expected)
    },
  )
  fc.assert(property, { numRuns: 200 })
})

test('thousands of keys are split into buckets and stay in order', () => {
  const sorted = new SortedKeys()
  const numbers = Array.from({ length: 3000 }, (_, i) => String((i * 7919) % 3000).padStart(5, '0'))
  for (const number of numbers) sorted.add(number)
  for (const number of numbers.slice(0, 2500)) sorted.delete(number)
  assert.deepEqual([...sorted.withPrefix('')], numbers.slice(2500).sort(compareKeys))
})

test('sealed records are opened in order, with the bytes they were made of', () => {
  const sealer = new SegmentSealer(keys, random.bytes(32), start)
  const frames = [sealer.seal('snapshot', bytesOf('a')), sealer.seal('entries', bytesOf(''), true)]
  const next = new SegmentSealer(keys, random.bytes(32), sealer.position)
  frames.push(next.seal('commits', bytesOf('c')))
  const opener = new SegmentOpener(keys, start.link)
  assert.deepEqual(
    frames.map((frame) => textOf(open(opener, frame))),
    ['a', '', 'c'],
  )
  assert.equal(opener.segmentCount, 2)
  assert.deepEqual(opener.position, next.position)
})

test('a record that is changed, moved, repeated, left out, made in another vault or after the end does not open', () => {
  const frames = sealThree()
  const [first, second, third] = frames
  const otherVault = new SegmentSealer({ masterKey, storageId: random.bytes(16) }, random.bytes(32), start)
  const otherHistory = sealThree()[1] as Uint8Array
  const changed = (second as Uint8Array).slice()
  changed[40] = (changed[40] as number) ^ 1
  const sequences: Uint8Array[][] = [
    [second as Uint8Array],
    [first, third] as Uint8Array[],
    [first, first] as Uint8Array[],
    [first as Uint8Array, changed],
    [first as Uint8Array, otherHistory],
    [otherVault.seal('snapshot', bytesOf('x'))],
  ]
  for (const sequence of sequences) {
    const opener = new SegmentOpener(keys, start.link)
    for (const frame of sequence.slice(0, -1)) open(opener, frame)
    assert.throws(() => open(opener, sequence.at(-1) as Uint8Array), RangeError)
  }
  const sealed = new SegmentSealer(keys, random.bytes(32), start)
  sealed.seal('snapshot', bytesOf('a'), true)
  assert.throws(() => sealed.seal('entries', bytesOf('b')), /nothing follows/)
})

test('equal records are never encrypted to equal bytes', () => {
  const bodies = [...sealThree('same'), ...sealThree('same')].map((frame) =>
    Buffer.from(frame.slice(-20)).toString('hex'),
  )
  assert.equal(new Set(bodies).size, bodies.length)
})

test('commits of every kind come back as they were', () => {
  const commits = [
    { revision: 1, changes: [{ type: 'grant' as const, leaseId: 'ab', ttlMs: 5 }] },
    {
      revision: 2,
      changes: [
        { type: 'put' as const, key: 'k', value: bytesOf('v'), leaseId: 'ab' },
        { type: 'put' as const, key: 'é', value: bytesOf('') },
        { type: 'delete' as const, key: 'x' },
      ],
    },
    { revision: 3, changes: [{ type: 'end' as const, leaseId: 'ab' }] },
  ]
  assert.deepEqual(decodeCommits(encodeCommits(commits)), commits)
})

test('a header from the disk is checked against its bounds before any work is done for it', () => {
  const slot = (fields: Partial<KeySlot>): KeySlot => ({
    kind: 'password',
    iterations: 600_000,
    salt: random.bytes(32),
    hint: new Uint8Array(8),
    wrappedKey: random.bytes(48),
    ...fields,
  })
  const encode = (...slots: KeySlot[]): Uint8Array => encodeHeader({ generation: 1, storageId, slots }, masterKey)
  const good = decodeHeader('v', encode(slot({})))
  verifyHeader(good, masterKey)
  assert.throws(() => verifyHeader(good, random.bytes(32)), refusal('P2P_STORAGE_DAMAGED', 'changed by someone'))
  for (const iterations of [0, 1, 599_999, PASSWORD_ITERATIONS_MAX + 1, 2 ** 32 - 1]) {
    assert.throws(() => decodeHeader('v', encode(slot({ iterations }))), refusal('P2P_STORAGE_DAMAGED', 'bounds'))
  }
  assert.throws(() => decodeHeader('v', encode(slot({ kind: 'plot' }))), refusal('P2P_STORAGE_DAMAGED', 'bounds'))
  assert.throws(() => decodeHeader('v', encode()), refusal('P2P_STORAGE_DAMAGED', 'key slots'))
  assert.throws(() => decodeHeader('v', new Uint8Array(0)), refusal('P2P_STORAGE_DAMAGED'))
  assert.throws(() => decodeHeader('v', random.bytes(500)), refusal('P2P_STORAGE_UNSUPPORTED', 'storage import'))
  const later = encode(slot({}))
  later[9] = 2
  assert.throws(() => decodeHeader('v', later), refusal('P2P_STORAGE_UNSUPPORTED', 'format version 2'))
})

function sealThree(text = ''): Uint8Array[] {
  const sealer = new SegmentSealer(keys, random.bytes(32), start)
  return ['snapshot' as const, 'entries' as const, 'entries' as const].map((kind, i) =>
    sealer.seal(kind, bytesOf(text || `record ${i}`)),
  )
}

function open(opener: SegmentOpener, frame: Uint8Array): Uint8Array {
  const header = decodeFrameHeader(frame)
  assert.ok(header)
  return opener.open(header, frame)
}
