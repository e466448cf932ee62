import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { codeOf } from '../../../src/base/errors.ts'
import { encodeFrames, FRAME_HEADER_BYTES, type Frame, FrameParser } from '../../../src/base/frames.ts'

function encode(frames: Frame[]): Buffer {
  const total = frames.reduce((sum, { payload }) => sum + FRAME_HEADER_BYTES + payload.length, 0)
  return encodeFrames(frames, total)
}

function collector(frameBytesMax = 1024): { parser: FrameParser; frames: Frame[] } {
  const frames: Frame[] = []
  const parser = new FrameParser(frameBytesMax, (kind, payload) => frames.push({ kind, payload: Buffer.from(payload) }))
  return { parser, frames }
}

test('a frame is its length, its kind and its payload', () => {
  assert.equal(encode([{ kind: 2, payload: Buffer.from('abc') }]).toString('hex'), '0000000302616263')
})

test('frames come out whole and in order however the bytes are cut', () => {
  const frame = fc.record({ kind: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 300 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 400 })), (frames, cuts) => {
      const bytes = encode(frames)
      const { parser, frames: received } = collector()
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        parser.push(bytes.subarray(at, at + cut))
        at += cut
        if (at >= bytes.length) break
      }
      assert.deepEqual(
        received,
        frames.map(({ kind, payload }) => ({ kind, payload: Buffer.from(payload) })),
      )
    }),
  )
})

test('frames come out when every byte arrives alone', () => {
  const frames = [
    { kind: 1, payload: Buffer.from('first') },
    { kind: 2, payload: Buffer.alloc(0) },
    { kind: 1, payload: Buffer.alloc(1024, 7) },
  ]
  const { parser, frames: received } = collector()
  for (const byte of encode(frames)) parser.push(Buffer.from([byte]))
  assert.deepEqual(received, frames)
})

test('a frame in one chunk is not copied', () => {
  const bytes = encode([{ kind: 1, payload: Buffer.from('in place') }])
  let seen: Uint8Array | undefined
  new FrameParser(1024, (_kind, payload) => {
    seen = payload
  }).push(bytes)
  assert.equal(seen?.buffer, bytes.buffer)
})

test('the largest allowed frame passes, one byte more is refused before it has come, split header or not', () => {
  const { parser, frames } = collector(16)
  parser.push(encode([{ kind: 1, payload: Buffer.alloc(16) }]))
  assert.equal(frames.length, 1)
  const header = Buffer.from([0, 0, 0, 17, 1])
  const isTooLarge = (error: unknown): boolean => codeOf(error) === 'P2P_TRANSPORT_TOO_LARGE'
  assert.throws(() => collector(16).parser.push(header), isTooLarge)
  const { parser: split } = collector(16)
  split.push(header.subarray(0, 4))
  assert.throws(() => split.push(header.subarray(4)), isTooLarge)
  assert.throws(() => collector(16).parser.push(Buffer.from([255, 255, 255, 255, 1])), isTooLarge)
})
