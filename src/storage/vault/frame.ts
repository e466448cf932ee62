import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { FRAME_BODY_BYTES_MAX } from './limits.ts'
import { RECORD_KINDS, type RecordKind } from './records.ts'

/** The unencrypted part before each record's body. */
export interface FrameHeader {
  kind: RecordKind
  /** First record of a segment: its body begins with the segment's id. */
  isFirst: boolean
  /** Last record of a segment (the last flag of STREAM): nothing may follow in it. */
  isLast: boolean
  bodyBytes: number
  /** Counts the records of the file from 1. */
  seq: number
  bodyCrc: number
}

/** `marker 4 | flags 1 | kind 1 | zero 2 | body length 4 | seq 8 | CRC of body 4 | CRC of what precedes 4`. */
export const FRAME_HEADER_BYTES = 28
/** The part that is authenticated with the body: all but the two checksums. */
export const FRAME_CONTEXT_BYTES = 20
export const FRAME_BYTES_MAX = FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX

const MARKER = 0x50325052 // "P2PR"
const MARKER_BYTES = Buffer.from('P2PR')
const FLAG_FIRST = 1
const FLAG_LAST = 2
const KINDS = new Map<number, RecordKind>(
  Object.entries(RECORD_KINDS).map(([kind, byte]) => [byte, kind as RecordKind]),
)

/** The header's bytes with both checksums still zero: seal the body with the context in it, then {@link finishFrame}. */
export function beginFrame(header: Omit<FrameHeader, 'bodyCrc'>): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + header.bodyBytes)
  frame.writeUInt32BE(MARKER, 0)
  frame.writeUInt8((header.isFirst ? FLAG_FIRST : 0) | (header.isLast ? FLAG_LAST : 0), 4)
  frame.writeUInt8(RECORD_KINDS[header.kind], 5)
  frame.writeUInt32BE(header.bodyBytes, 8)
  frame.writeBigUInt64BE(BigInt(header.seq), 12)
  return frame
}

/** Writes the checksums of a frame whose body is complete. */
export function finishFrame(frame: Buffer): void {
  frame.writeUInt32BE(crc32(frame.subarray(FRAME_HEADER_BYTES)), 20)
  frame.writeUInt32BE(crc32(frame.subarray(0, 24)), 24)
}

/** @returns undefined when there is no frame header at the start of `bytes`: torn, overwritten or never written */
export function decodeFrameHeader(bytes: Uint8Array): FrameHeader | undefined {
  if (bytes.length < FRAME_HEADER_BYTES) return undefined
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES)
  if (view.readUInt32BE(0) !== MARKER) return undefined
  if (crc32(view.subarray(0, 24)) !== view.readUInt32BE(24)) return undefined
  const flags = view.readUInt8(4)
  const kind = KINDS.get(view.readUInt8(5))
  const bodyBytes = view.readUInt32BE(8)
  if (!kind || flags > (FLAG_FIRST | FLAG_LAST) || view.readUInt16BE(6) !== 0 || bodyBytes > FRAME_BODY_BYTES_MAX)
    return undefined
  return {
    kind,
    isFirst: (flags & FLAG_FIRST) !== 0,
    isLast: (flags & FLAG_LAST) !== 0,
    bodyBytes,
    seq: Number(view.readBigUInt64BE(12)),
    bodyCrc: view.readUInt32BE(20),
  }
}

/** Whether a whole frame header lies anywhere in `bytes`: after a torn write there is none. */
export function containsFrame(bytes: Uint8Array): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = view.indexOf(MARKER_BYTES); at >= 0; at = view.indexOf(MARKER_BYTES, at + 1)) {
    if (decodeFrameHeader(view.subarray(at))) return true
  }
  return false
}
