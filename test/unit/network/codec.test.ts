import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { compress, decompress } from '../../../src/network/compression.ts'
import { decodeFrame, encodeFrames, encodeMessage, PROTOCOL_VERSION } from '../../../src/network/swim/codec.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import type { Message } from '../../../src/network/swim/message.ts'
import { BUCKET_BITS_MAX } from '../../../src/network/swim/view-hash.ts'

const plain = (): undefined => undefined
const nodeId = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
const number = fc.maxSafeNat()
const status = fc.constantFrom('alive' as const, 'suspect' as const, 'dead' as const, 'left' as const)
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Uint8Array.from(array))
const entries = fc.array(fc.record({ nodeId, incarnation: number, status, recordVersion: number }), { maxLength: 5 })
const sortedSet = (bound: number): fc.Arbitrary<number[]> =>
  fc.uniqueArray(fc.nat(bound - 1), { maxLength: 20 }).map((numbers) => numbers.sort((a, b) => a - b))
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constantFrom('ping' as const, 'ack' as const, 'nack' as const), seq: number }),
  fc.record({ type: fc.constant('ping-req' as const), seq: number, target: nodeId }),
  fc.record({
    type: fc.constant('suspect' as const),
    nodeId,
    incarnation: number,
    from: nodeId,
    isRefused: fc.boolean(),
  }),
  fc.record({ type: fc.constant('alive' as const), nodeId, incarnation: number, recordVersion: number }),
  fc.record({ type: fc.constant('dead' as const), nodeId, incarnation: number, from: nodeId }),
  fc.record({ type: fc.constant('sync' as const), hash: fc.string({ maxLength: 20 }) }),
  fc.record({ type: fc.constant('pull' as const), nodeIds: fc.array(nodeId, { maxLength: 5 }) }),
  fc.nat(4).chain((bits) =>
    fc.record({
      type: fc.constant('summary' as const),
      bits: fc.constant(bits),
      hashes: fc.uint8Array({ minLength: 8 * 2 ** bits, maxLength: 8 * 2 ** bits }),
    }),
  ),
  fc.record({ type: fc.constant('digest' as const), entries }),
  fc.nat(BUCKET_BITS_MAX).chain((bits) =>
    fc.record({
      type: fc.constant('digest' as const),
      covers: fc.record({ bits: fc.constant(bits), buckets: sortedSet(2 ** bits) }),
      entries,
    }),
  ),
  fc.record({
    type: fc.constant('record' as const),
    incarnation: number,
    status,
    envelope: fc.record({ bytes, signature: bytes, certificateChainPem: fc.string({ maxLength: 200 }) }),
  }),
)

function decoded(frame: Uint8Array): Message[] {
  const result = decodeFrame('prod', frame, decompress)
  assert.ok('messages' in result, JSON.stringify(result))
  return result.messages
}

/** Buffers read as plain arrays, to compare by content. */
function comparable(messages: readonly Message[]): unknown {
  return JSON.parse(
    JSON.stringify(messages, (_, value) => (value instanceof Uint8Array ? [...value] : value)),
    (_, value) => (value?.type === 'Buffer' ? value.data : value),
  )
}

test('messages come out of a frame as they went in, compressed or not', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20 }), fc.boolean(), (messages, isCompressed) => {
      const frames = encodeFrames('prod', messages, isCompressed ? compress : plain)
      assert.deepEqual(comparable(frames.flatMap(decoded)), comparable(messages))
    }),
  )
})

test('many messages are spread over frames of at most 64 KiB', () => {
  const envelope = {
    bytes: new Uint8Array(30_000),
    signature: new Uint8Array(64),
    certificateChainPem: 'x'.repeat(2_000),
  }
  const records = Array.from(
    { length: 5 },
    (_, i): Message => ({ type: 'record', incarnation: i, status: 'alive', envelope }),
  )
  const frames = encodeFrames('prod', records, plain)
  assert.equal(frames.length, 3)
  assert.ok(frames.every((frame) => frame.length <= LIMITS.frameBytesMax))
  assert.equal(frames.flatMap(decoded).length, 5)
})

test('a ping is a few bytes', () => {
  const [frame] = encodeFrames('prod', [{ type: 'ping', seq: 77 }], plain)
  assert.equal(frame?.length, 10)
})

test('frames of another version, another cluster or too large are told apart', () => {
  const [frame] = encodeFrames('prod', [{ type: 'ping', seq: 1 }], plain)
  assert.ok(frame)
  assert.deepEqual(decodeFrame('test', frame, decompress), { fault: 'cluster' })
  const future = Uint8Array.from(frame)
  future[0] = PROTOCOL_VERSION + 1
  assert.deepEqual(decodeFrame('prod', future, decompress), { fault: 'version' })
  assert.deepEqual(decodeFrame('prod', new Uint8Array(LIMITS.frameBytesMax + 1), decompress), { fault: 'oversized' })
  assert.deepEqual(decodeFrame('prod', new Uint8Array(0), decompress), { fault: 'malformed' })
})

test('unknown message types and fields appended to known ones are passed over', () => {
  const [frame] = encodeFrames('prod', [{ type: 'ping', seq: 1 }], plain)
  assert.ok(frame)
  const unknown = Buffer.from([200, 3, 1, 2, 3])
  const longer = Buffer.from([1, 4, 9, 99, 99, 99])
  assert.deepEqual(decoded(Buffer.concat([frame, unknown, longer])), [
    { type: 'ping', seq: 1 },
    { type: 'ping', seq: 9 },
  ])
})

test('names that are no node ids, unknown states and long lists are malformed', () => {
  const bad: Message[] = [
    { type: 'ping-req', seq: 1, target: '../etc' },
    { type: 'ping-req', seq: 1, target: 'x'.repeat(64) },
    { type: 'pull', nodeIds: Array.from({ length: 257 }, () => 'a') },
    { type: 'sync', hash: 'x'.repeat(65) },
    { type: 'summary', bits: 11, hashes: new Uint8Array(8 * 2 ** 11) },
    { type: 'summary', bits: 3, hashes: new Uint8Array(63) },
    { type: 'digest', covers: { bits: 11, buckets: [] }, entries: [] },
  ]
  for (const one of bad) {
    const [frame] = encodeFrames('prod', [one], plain)
    assert.deepEqual(decodeFrame('prod', frame as Uint8Array, decompress), { fault: 'malformed' }, one.type)
  }
  const record = encodeMessage({
    type: 'record',
    incarnation: 1,
    status: 'alive',
    envelope: { bytes: new Uint8Array(1), signature: new Uint8Array(1), certificateChainPem: '' },
  })
  record[3] = 9
  const [header] = encodeFrames('prod', [{ type: 'ack', seq: 1 }], plain)
  assert.deepEqual(decodeFrame('prod', Buffer.concat([header as Uint8Array, record]), decompress), {
    fault: 'malformed',
  })
})

test('a claimed length costs nothing', () => {
  const header = Buffer.from([PROTOCOL_VERSION, 0, 4, ...Buffer.from('prod')])
  // A pull that claims 2^53 - 1 node ids, and a record that claims as many bytes.
  const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]
  for (const body of [
    [10, 8, ...huge],
    [11, 10, 1, 0, ...huge],
    [1, ...huge],
  ]) {
    assert.deepEqual(decodeFrame('prod', Buffer.concat([header, Buffer.from(body)]), decompress), {
      fault: 'malformed',
    })
  }
})

test('whatever bytes come, decoding them does not throw', () => {
  const header = Buffer.from([PROTOCOL_VERSION, 0, 4, ...Buffer.from('prod')])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(0, 1, 2), (noise, encoding) => {
      decodeFrame('prod', noise, decompress)
      header[1] = encoding
      decodeFrame('prod', Buffer.concat([header, noise]), decompress)
    }),
    { numRuns: 2_000 },
  )
})

test('a frame cut short or with a bit flipped is decoded or dropped, never thrown over', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat(7),
      fc.boolean(),
      (messages, at, bit, isCompressed) => {
        const [frame] = encodeFrames('prod', messages, isCompressed ? compress : plain)
        assert.ok(frame)
        const damaged = Uint8Array.from(frame)
        const index = at % damaged.length
        damaged[index] = (damaged[index] as number) ^ (1 << bit)
        decodeFrame('prod', damaged, decompress)
        decodeFrame('prod', frame.subarray(0, index), decompress)
      },
    ),
    { numRuns: 500 },
  )
})
