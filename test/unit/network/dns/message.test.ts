import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer, OptAnswer } from 'dns-packet'
import fc from 'fast-check'
import {
  type DnsQuery,
  QUERY_BYTES_MAX,
  readQuery,
  refusal,
  type Resolution,
  TCP_BYTES_MAX,
  writeReply,
  writeTruncated,
} from '../../../../src/network/dns/message.ts'
import { framed, MessageSplitter } from '../../../../src/network/dns/message-splitter.ts'
import { decodeReply, queryBytes, queryOf, type Reply } from './fixture.ts'

function address(i: number): Answer {
  return { type: 'A', name: 'inventory.service.c', ttl: 2, class: 'IN', data: `10.0.${i >> 8}.${i & 255}` }
}

function answering(answers: number, more: Partial<Resolution> = {}): Resolution {
  const records = Array.from({ length: answers }, (_, i) => address(i))
  return { ...refusal('NOERROR'), isAuthoritative: true, answers: records, ...more }
}

function write(query: DnsQuery, resolution: Resolution, bytesMax: number) {
  const { bytes, isTruncated } = writeReply(query, resolution, bytesMax)
  const reply = decodeReply(bytes)
  assert.equal(reply.flag_tc, isTruncated)
  assert.ok(bytes.length <= bytesMax, `${bytes.length} bytes`)
  return reply
}

function optOf({ additionals = [] }: Reply): OptAnswer {
  return additionals.find(({ type }) => type === 'OPT') as OptAnswer
}

test('a query is read: name with its capitals, type, class, EDNS', () => {
  const query = queryOf('InVentory.c', 'SRV', { udpPayloadSize: 1_400, flags: 1 << 8 })
  assert.deepEqual(query.question, { name: 'InVentory.c', type: 'SRV', class: 'IN' })
  assert.deepEqual(query.edns, { version: 0, udpBytesMax: 1_400, isDnssecOk: false })
  assert.deepEqual([query.id, query.isRecursionDesired], [4_711, true])
  assert.equal(queryOf('c').edns, undefined)
})

test('an answer repeats id, question byte by byte, RD and EDNS, and offers no recursion', () => {
  const asked = queryBytes('InVenTory.c', 'A', { udpPayloadSize: 4_096, flags: 1 << 8 })
  const { bytes } = writeReply(
    queryOf('InVenTory.c', 'A', { udpPayloadSize: 4_096, flags: 1 << 8 }),
    answering(1),
    1_232,
  )
  const questionLength = asked.length - 12 - 11
  assert.deepEqual(bytes.subarray(12, 12 + questionLength), asked.subarray(12, 12 + questionLength))
  const reply = decodeReply(bytes)
  assert.deepEqual(
    [reply.id, reply.flag_qr, reply.flag_aa, reply.flag_rd, reply.flag_ra, reply.rcode],
    [4_711, true, true, true, false, 'NOERROR'],
  )
  assert.equal(optOf(reply).udpPayloadSize, 1_232)
  assert.deepEqual(write(queryOf('c'), answering(1), 512).additionals, [])
})

test('a code beyond four bits goes into EDNS', () => {
  const reply = write(queryOf('c', 'A', { udpPayloadSize: 512, ednsVersion: 1 }), refusal('BADVERS'), 512)
  assert.deepEqual([reply.rcode, optOf(reply).extendedRcode], ['NOERROR', 1])
})

test('answers that do not fit are left out and the asker sent to TCP, where they do', () => {
  const query = queryOf('inventory.service.c', 'A', { udpPayloadSize: 1_232 })
  const all = write(query, answering(200), TCP_BYTES_MAX)
  assert.deepEqual([all.answers?.length, all.flag_tc], [200, false])
  const some = write(query, answering(200), 1_232)
  assert.equal(some.flag_tc, true)
  assert.ok((some.answers?.length ?? 0) > 30, `${some.answers?.length} fit`)
})

test('additional records that do not fit are left out without a word', () => {
  const additionals = Array.from({ length: 20 }, (_, i) => address(i))
  const reply = write(queryOf('inventory.service.c'), answering(5, { additionals }), 512)
  assert.deepEqual([reply.flag_tc, reply.answers?.length], [false, 5])
  assert.ok((reply.additionals?.length ?? 0) > 0 && (reply.additionals?.length ?? 0) < 20)
})

test('an answer that only sends to TCP is no longer than the query', () => {
  for (const asked of [{}, { udpPayloadSize: 4_096 }]) {
    const bytes = writeTruncated(queryOf('inventory.service.c', 'SRV', asked))
    assert.ok(bytes.length <= queryBytes('inventory.service.c', 'SRV', asked).length)
    assert.deepEqual([decodeReply(bytes).flag_tc, decodeReply(bytes).answers], [true, []])
  }
})

/** A query's bytes with some of them changed. */
function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = queryBytes('inventory.c', 'A', { udpPayloadSize: 1_232 })
  change(bytes)
  return bytes
}

test('a message that is no query is dropped, or told what is wrong where it can be', () => {
  const good = queryBytes('inventory.c')
  const cases: [what: string, packet: Buffer, expected: string][] = [
    ['empty', Buffer.alloc(0), 'dropped'],
    ['shorter than a header', good.subarray(0, 11), 'dropped'],
    ['cut inside the name', good.subarray(0, 15), 'dropped'],
    ['cut inside the type', good.subarray(0, -3), 'dropped'],
    ['oversized', Buffer.concat([good, Buffer.alloc(QUERY_BYTES_MAX)]), 'dropped'],
    ['something behind', Buffer.concat([good, Buffer.from([0])]), 'dropped'],
    ['an answer', changed((bytes) => bytes.writeUInt16BE(0x8000, 2)), 'dropped'],
    ['EDNS longer than the message', changed((bytes) => bytes.writeUInt16BE(500, bytes.length - 2)), 'dropped'],
    ['a bad label length', changed((bytes) => bytes.writeUInt8(0x80, 12)), 'dropped'],
    ['a name that points at itself', changed((bytes) => bytes.writeUInt16BE(0xc00c, 12)), 'dropped'],
    ['a header alone', changed((bytes) => bytes.writeUInt16BE(0, 4)), 'FORMERR'],
    ['two questions', changed((bytes) => bytes.writeUInt16BE(2, 4)), 'FORMERR'],
    ['an answer section', changed((bytes) => bytes.writeUInt16BE(1, 6)), 'FORMERR'],
    ['65,535 additional records', changed((bytes) => bytes.writeUInt16BE(65_535, 10)), 'FORMERR'],
    ['a dot inside a label', changed((bytes) => bytes.write('inv.ntory', 13, 'latin1')), 'FORMERR'],
    ['bytes that are not UTF-8', changed((bytes) => bytes.writeUInt8(0xff, 14)), 'FORMERR'],
    ['a status request', changed((bytes) => bytes.writeUInt16BE(0x1000, 2)), 'NOTIMP'],
    ['an update', changed((bytes) => bytes.writeUInt16BE(0x2800, 2)), 'NOTIMP'],
  ]
  for (const [what, packet, expected] of cases) {
    const received = readQuery(packet)
    if (received.kind !== 'refused') {
      assert.equal(received.kind, expected, what)
      continue
    }
    const reply = decodeReply(received.reply)
    assert.deepEqual([received.rcode, reply.rcode, reply.id, reply.flag_qr], [expected, expected, 4_711, true], what)
    assert.equal(received.reply.length, 12, what)
  }
})

test('two EDNS records are one too many', () => {
  const one = queryBytes('inventory.c', 'A', { udpPayloadSize: 1_232 })
  const two = Buffer.concat([one, one.subarray(-11)])
  two.writeUInt16BE(2, 10)
  const received = readQuery(two)
  assert.deepEqual([received.kind, received.kind === 'refused' && received.rcode], ['refused', 'FORMERR'])
})

test('no bytes make reading throw, and whatever is read can be answered within the bound', () => {
  const good = queryBytes('inventory.service.c', 'SRV', { udpPayloadSize: 1_232 })
  const damaged = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }).map((changes) => {
    const bytes = Buffer.from(good)
    for (const [at, value] of changes) bytes[at] = value
    return bytes
  })
  const any = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.oneof(damaged, any), (packet) => {
      const received = readQuery(packet)
      if (received.kind === 'query') {
        const { bytes } = writeReply(received.query, answering(40), 512)
        assert.ok(bytes.length <= 512)
        assert.deepEqual(bytes.subarray(0, 2), packet.subarray(0, 2))
      }
    }),
    { numRuns: 3_000 },
  )
})

test('a stream is cut into its messages, however it comes', () => {
  const messages = [queryBytes('a.c'), queryBytes('bb.c'), queryBytes('ccc.c')]
  const stream = Buffer.concat(messages.map(framed))
  for (const size of [1, 2, 3, 7, 20, stream.length]) {
    const splitter = new MessageSplitter()
    const got: Buffer[] = []
    for (let at = 0; at < stream.length; at += size) got.push(...(splitter.push(stream.subarray(at, at + size)) ?? []))
    assert.deepEqual(got, messages, `in pieces of ${size}`)
  }
})

test('a length that no query has loses the stream', () => {
  for (const length of [0, QUERY_BYTES_MAX + 1, 65_535]) {
    const head = Buffer.alloc(2)
    head.writeUInt16BE(length)
    assert.equal(new MessageSplitter().push(head), undefined, String(length))
  }
  const largest = Buffer.alloc(2 + QUERY_BYTES_MAX)
  largest.writeUInt16BE(QUERY_BYTES_MAX)
  assert.equal(new MessageSplitter().push(largest)?.[0]?.length, QUERY_BYTES_MAX)
})
