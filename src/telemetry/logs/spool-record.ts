import { crc32 } from 'node:zlib'

/*
 * A spool segment is a row of records; each holds the lines of one append:
 *   u32 payload bytes | u32 CRC-32 of what follows | u32 lines | u64 number of the first line | lines, LF between them
 * Integers are big-endian. A record that does not verify ends the segment: it was being written when the power failed.
 */

export const RECORD_HEADER_BYTES = 20
/** Larger lengths are damage. One line is at most some 300 kB, several are no more than an append. */
const RECORD_BYTES_MAX = 4 * 1_024 * 1_024

export interface SpoolRecord {
  /** Number of its first line; the others follow. */
  first: number
  lines: string[]
  /** Bytes it takes in the segment. */
  bytes: number
}

/** @param lines texts without line breaks, as JSON has none */
export function encodeRecord(first: number, lines: readonly string[]): Uint8Array {
  const payload = Buffer.from(lines.join('\n'), 'utf8')
  const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + payload.byteLength)
  record.writeUInt32BE(payload.byteLength, 0)
  record.writeUInt32BE(lines.length, 8)
  record.writeBigUInt64BE(BigInt(first), 12)
  record.set(payload, RECORD_HEADER_BYTES)
  record.writeUInt32BE(crc32(record.subarray(8)), 4)
  return record
}

/**
 * The record at `offset`.
 * @returns how many bytes it would take when `bytes` ends before it does; undefined when there is no sound record
 */
export function decodeRecord(bytes: Uint8Array, offset: number): SpoolRecord | { needsBytes: number } | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset + offset, bytes.byteLength - offset)
  if (buffer.byteLength < RECORD_HEADER_BYTES) return { needsBytes: RECORD_HEADER_BYTES }
  const payloadBytes = buffer.readUInt32BE(0)
  const recordBytes = RECORD_HEADER_BYTES + payloadBytes
  if (recordBytes > RECORD_BYTES_MAX) return undefined
  if (buffer.byteLength < recordBytes) return { needsBytes: recordBytes }
  if (crc32(buffer.subarray(8, recordBytes)) !== buffer.readUInt32BE(4)) return undefined
  const lines = buffer.toString('utf8', RECORD_HEADER_BYTES, recordBytes).split('\n')
  if (lines.length !== buffer.readUInt32BE(8)) return undefined
  return { first: Number(buffer.readBigUInt64BE(12)), lines, bytes: recordBytes }
}
