import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { compressSync } from 'lz4-napi'
import { canonicalJson } from '../../../src/network/canonical-json.ts'
import { compress, decompress } from '../../../src/network/compression.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import { nodeRecord } from './swim-fixture.ts'

test('what was compressed comes back', () => {
  const body = Buffer.from('gossip '.repeat(500))
  const block = compress(body)
  assert.ok(block && block.length < body.length / 10)
  assert.deepEqual(decompress(block), body)
})

test('what does not get smaller is sent as it is', () => {
  assert.equal(compress(randomBytes(1_000)), undefined)
})

test('twenty records of a cluster shrink by 40 % and more', () => {
  const bodies = Array.from({ length: 20 }, (_, i) =>
    canonicalJson(nodeRecord(`worker-${i}`, 1_770_000_000_000 + i * 997)),
  )
  const body = Buffer.from(bodies.join(''))
  const block = compress(body)
  assert.ok(block && block.length < body.length * 0.6)
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
