import { isNodeId, type NodeId } from '../../base/identity.ts'
import type { MemberStatus } from '../../base/member.ts'
import { LIMITS } from './limits.ts'
import type { Digest, DigestEntry, Message, Summary } from './message.ts'
import { BUCKET_BITS_MAX, BUCKET_HASH_BYTES } from './view-hash.ts'
import { WireError, WireReader, WireWriter } from './wire.ts'

/** Nodes of another protocol version are not understood; within a version, unknown message types are skipped. */
export const PROTOCOL_VERSION = 1

const PLAIN = 0
const COMPRESSED = 1

/** Numbers are part of the protocol: never reused (docs/protocol/gossip.md). */
const TYPE_CODES = {
  ping: 1,
  'ping-req': 2,
  ack: 3,
  nack: 4,
  suspect: 5,
  alive: 6,
  dead: 7,
  sync: 8,
  digest: 9,
  pull: 10,
  record: 11,
  summary: 12,
} as const satisfies Record<Message['type'], number>

const STATUS_CODES = { alive: 0, suspect: 1, dead: 2, left: 3 } as const satisfies Record<MemberStatus, number>
const STATUSES = ['alive', 'suspect', 'dead', 'left'] as const

/** Why a frame was dropped. */
export type FrameFault = 'malformed' | 'oversized' | 'version' | 'cluster'
export type DecodedFrame = { messages: Message[] } | { fault: FrameFault }

/**
 * Encodes messages into as few frames as hold them, each at most 64 KiB.
 * @param compress returns the body compressed, or undefined to send it as it is
 */
export function encodeFrames(
  cluster: string,
  messages: readonly Message[],
  compress: (body: Uint8Array) => Uint8Array | undefined,
): Uint8Array[] {
  const frames: Uint8Array[] = []
  const header = encodeHeader(cluster)
  let body = new WireWriter(1_024)
  for (const message of messages) {
    const encoded = encodeMessage(message)
    if (body.length > 0 && header.length + body.length + encoded.length > LIMITS.frameBytesMax) {
      frames.push(frame(header, body.finish(), compress))
      body = new WireWriter(1_024)
    }
    body.raw(encoded)
  }
  if (body.length > 0) frames.push(frame(header, body.finish(), compress))
  return frames
}

/**
 * Decodes a frame; nothing in it is trusted and nothing it holds makes this throw. Byte fields of the messages are
 * views into `bytes`.
 * @param decompress returns undefined when the body is damaged or larger than its bound
 */
export function decodeFrame(
  cluster: string,
  bytes: Uint8Array,
  decompress: (body: Uint8Array) => Uint8Array | undefined,
): DecodedFrame {
  if (bytes.length > LIMITS.frameBytesMax) return { fault: 'oversized' }
  try {
    const reader = new WireReader(bytes)
    if (reader.byte() !== PROTOCOL_VERSION) return { fault: 'version' }
    const encoding = reader.byte()
    if (reader.string(LIMITS.clusterLabelBytesMax) !== cluster) return { fault: 'cluster' }
    if (encoding === PLAIN) return { messages: decodeMessages(reader.rest()) }
    const body = encoding === COMPRESSED ? decompress(reader.rest()) : undefined
    return body ? { messages: decodeMessages(body) } : { fault: 'malformed' }
  } catch (error) {
    if (error instanceof WireError) return { fault: 'malformed' }
    throw error
  }
}

/** One message as it stands in a frame: type, length, body. */
export function encodeMessage(message: Message): Uint8Array {
  const body = new WireWriter(64)
  writeBody(body, message)
  const writer = new WireWriter(body.length + 4)
  writer.byte(TYPE_CODES[message.type])
  writer.bytes(body.finish())
  return writer.finish()
}

function encodeHeader(cluster: string): Uint8Array {
  const writer = new WireWriter(80)
  writer.byte(PROTOCOL_VERSION)
  writer.byte(PLAIN)
  writer.string(cluster)
  return writer.finish()
}

function frame(
  header: Uint8Array,
  body: Uint8Array,
  compress: (body: Uint8Array) => Uint8Array | undefined,
): Uint8Array {
  const compressed = compress(body)
  const sent = compressed ?? body
  const bytes = new Uint8Array(header.length + sent.length)
  bytes.set(header)
  bytes[1] = compressed ? COMPRESSED : PLAIN
  bytes.set(sent, header.length)
  return bytes
}

function writeBody(writer: WireWriter, message: Message): void {
  switch (message.type) {
    case 'ping':
    case 'ack':
    case 'nack':
      writer.number(message.seq)
      return
    case 'ping-req':
      writer.number(message.seq)
      writer.string(message.target)
      return
    case 'suspect':
      writer.string(message.nodeId)
      writer.number(message.incarnation)
      writer.string(message.from)
      writer.byte(message.isRefused ? 1 : 0)
      return
    case 'alive':
      writer.string(message.nodeId)
      writer.number(message.incarnation)
      writer.number(message.recordVersion)
      return
    case 'dead':
      writer.string(message.nodeId)
      writer.number(message.incarnation)
      writer.string(message.from)
      return
    case 'sync':
      writer.string(message.hash)
      return
    case 'summary':
      writer.byte(message.bits)
      writer.raw(message.hashes)
      return
    case 'digest':
      writeDigest(writer, message)
      return
    case 'pull':
      writer.number(message.nodeIds.length)
      for (const nodeId of message.nodeIds) writer.string(nodeId)
      return
    case 'record':
      writer.number(message.incarnation)
      writer.byte(STATUS_CODES[message.status])
      writer.bytes(message.envelope.bytes)
      writer.bytes(message.envelope.signature)
      writer.string(message.envelope.certificateChainPem)
  }
}

/** Which buckets it covers: how many bits number them, plus one (0: none), then a bit for each. */
function writeDigest(writer: WireWriter, { covers, entries }: Digest): void {
  writer.byte(covers ? covers.bits + 1 : 0)
  if (covers) {
    const bitmap = new Uint8Array(bitmapBytes(covers.bits))
    for (const bucket of covers.buckets) bitmap[bucket >> 3] = (bitmap[bucket >> 3] as number) | (1 << (bucket & 7))
    writer.raw(bitmap)
  }
  writer.number(entries.length)
  for (const entry of entries) {
    writer.string(entry.nodeId)
    writer.number(entry.incarnation)
    writer.byte(STATUS_CODES[entry.status])
    writer.number(entry.recordVersion)
  }
}

function bitmapBytes(bits: number): number {
  return Math.ceil(2 ** bits / 8)
}

function decodeMessages(body: Uint8Array): Message[] {
  const messages: Message[] = []
  const reader = new WireReader(body)
  for (let count = 0; !reader.isAtEnd; count++) {
    if (count >= LIMITS.messagesPerFrameMax) throw new WireError('too many messages')
    const type = reader.byte()
    const message = readBody(type, new WireReader(reader.bytes(LIMITS.frameBytesMax)))
    if (message) messages.push(message)
  }
  return messages
}

/** Fields that a later minor version appends to a body are left unread. */
function readBody(type: number, reader: WireReader): Message | undefined {
  switch (type) {
    case TYPE_CODES.ping:
      return { type: 'ping', seq: reader.number() }
    case TYPE_CODES.ack:
      return { type: 'ack', seq: reader.number() }
    case TYPE_CODES.nack:
      return { type: 'nack', seq: reader.number() }
    case TYPE_CODES['ping-req']:
      return { type: 'ping-req', seq: reader.number(), target: readNodeId(reader) }
    case TYPE_CODES.suspect:
      return {
        type: 'suspect',
        nodeId: readNodeId(reader),
        incarnation: reader.number(),
        from: readNodeId(reader),
        isRefused: reader.byte() === 1,
      }
    case TYPE_CODES.alive:
      return {
        type: 'alive',
        nodeId: readNodeId(reader),
        incarnation: reader.number(),
        recordVersion: reader.number(),
      }
    case TYPE_CODES.dead:
      return { type: 'dead', nodeId: readNodeId(reader), incarnation: reader.number(), from: readNodeId(reader) }
    case TYPE_CODES.sync:
      return { type: 'sync', hash: reader.string(64) }
    case TYPE_CODES.summary:
      return readSummary(reader)
    case TYPE_CODES.digest:
      return readDigest(reader)
    case TYPE_CODES.pull:
      return { type: 'pull', nodeIds: readList(reader, LIMITS.pullNodesMax, readNodeId) }
    case TYPE_CODES.record:
      return {
        type: 'record',
        incarnation: reader.number(),
        status: readStatus(reader),
        envelope: {
          bytes: reader.bytes(LIMITS.recordBytesMax),
          signature: reader.bytes(LIMITS.signatureBytesMax),
          certificateChainPem: reader.string(LIMITS.certificateChainBytesMax),
        },
      }
    default:
      return undefined
  }
}

function readSummary(reader: WireReader): Summary {
  const bits = readBits(reader.byte())
  return { type: 'summary', bits, hashes: reader.raw(BUCKET_HASH_BYTES * 2 ** bits) }
}

function readDigest(reader: WireReader): Digest {
  const coverage = reader.byte()
  const covers = coverage === 0 ? undefined : readCoverage(reader, readBits(coverage - 1))
  const entries = readList(reader, LIMITS.digestEntriesMax, readEntry)
  return covers ? { type: 'digest', covers, entries } : { type: 'digest', entries }
}

function readCoverage(reader: WireReader, bits: number): { bits: number; buckets: number[] } {
  const bitmap = reader.raw(bitmapBytes(bits))
  const buckets: number[] = []
  for (let bucket = 0; bucket < 2 ** bits; bucket++) {
    if (((bitmap[bucket >> 3] as number) & (1 << (bucket & 7))) !== 0) buckets.push(bucket)
  }
  return { bits, buckets }
}

function readBits(bits: number): number {
  if (bits > BUCKET_BITS_MAX) throw new WireError('too many buckets')
  return bits
}

function readEntry(reader: WireReader): DigestEntry {
  return {
    nodeId: readNodeId(reader),
    incarnation: reader.number(),
    status: readStatus(reader),
    recordVersion: reader.number(),
  }
}

function readList<T>(reader: WireReader, countMax: number, read: (reader: WireReader) => T): T[] {
  const count = reader.number()
  if (count > countMax) throw new WireError('list too long')
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read(reader))
  return items
}

function readNodeId(reader: WireReader): NodeId {
  const nodeId = reader.string(63)
  if (!isNodeId(nodeId)) throw new WireError('not a node id')
  return nodeId
}

function readStatus(reader: WireReader): MemberStatus {
  const status = STATUSES[reader.byte()]
  if (!status) throw new WireError('unknown status')
  return status
}
