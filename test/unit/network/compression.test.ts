import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { compressSync } from 'lz4-napi'
import { compress, decompress } from '../../../src/network/compression.ts'
import { encodeFrames } from '../../../src/network/swim/codec.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import type { RecordMessage } from '../../../src/network/swim/message.ts'
import { WALL_MS } from './certificate-fixture.ts'
import { realisticRecords } from './realistic-records.ts'

test('what was compressed comes back', () => {
  const body = Buffer.from('gossip '.repeat(500))
  const block = compress(body)
  assert.ok(block && block.length < body.length / 10)
  assert.deepEqual(decompress(block), body)
})

test('what does not get smaller is sent as it is', () => {
  assert.equal(compress(randomBytes(1_000)), undefined)
})

test('records of a cluster shrink by 40 to 60 % and more, with signatures and certificates', async () => {
  const cluster = 'a1b2c3d4e5f60718'
  const records = await realisticRecords(20)
  const savedShare = (count: number): number => {
    const messages = records.slice(0, count).map(
      ({ envelope }): RecordMessage => ({
        type: 'record',
        incarnation: WALL_MS,
        status: 'alive',
        envelope,
      }),
    )
    const bytes = (pack: (body: Uint8Array) => Uint8Array | undefined): number =>
      encodeFrames(cluster, messages, pack).reduce((sum, frame) => sum + frame.length, 0)
    return 1 - bytes(compress) / bytes(() => undefined)
  }
  // A certificate is as good as noise: what shrinks in a single record is its text.
  assert.ok(savedShare(1) > 0.15, `${savedShare(1)}`)
  assert.ok(savedShare(2) > 0.4, `${savedShare(2)}`)
  assert.ok(savedShare(3) > 0.5, `${savedShare(3)}`)
  assert.ok(savedShare(20) > 0.7, `${savedShare(20)}`)
})

test('a bomb costs at most its bound', () => {
  // Two MiB of zeros in 8 KiB: far above what a frame holds.
  assert.equal(decompress(compressSync(Buffer.alloc(2 * 2 ** 20))), undefined)
  // Within the frame's size, but denser than anything real.
  const dense = compressSync(Buffer.alloc(LIMITS.frameBytesMax))
  assert.ok(dense.length * LIMITS.compressionRatioMax < LIMITS.frameBytesMax)
  assert.equal(decompress(dense), undefined)
})

test('a wrong length and a damaged block give nothing', () => {
  const block = Buffer.from(compress(Buffer.from('abc '.repeat(100))) as Uint8Array)
  const lying = Buffer.from(block)
  lying.writeUInt32LE(12, 0)
  assert.equal(decompress(lying), undefined)
  assert.equal(decompress(block.subarray(0, block.length - 3)), undefined)
  assert.equal(decompress(Buffer.from([1, 2])), undefined)
  assert.equal(decompress(Buffer.alloc(0)), undefined)
})
