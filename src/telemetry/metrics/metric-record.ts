import { crc32 } from 'node:zlib'
import type { OpenFile } from '../../base/files.ts'
import type { NodeId } from '../../base/identity.ts'
import { type MachineValues, VALUE_FIELDS } from './machine-values.ts'

/*
 * Rows of metrics as they are appended to a file, many at a time:
 *   u32 bytes of the rows | u32 CRC-32 of them | rows
 * A row: u8 bytes of the node's id | the id | f64 begin of its period, Unix milliseconds | an f32 for each value
 * Numbers are big-endian. A record that does not verify ends the file: it was being written when the power failed.
 */

/** Rows of one record at most: 50 kB where all names are as long as they may be. */
export const RECORD_ROWS_MAX = 500
/** What is read at once: the longest record and more, and decoded within a millisecond or two. */
const CHUNK_BYTES = 64 * 1_024

const HEADER_BYTES = 8
const TIME_BYTES = 8
const VALUES_BYTES = 4 * VALUE_FIELDS.length
const FIXED_BYTES = 1 + TIME_BYTES + VALUES_BYTES

/** What one node measured in one period. */
export interface NodeRow {
  nodeId: NodeId
  /** Begin of the period, Unix milliseconds. */
  timeMs: number
  values: MachineValues
}

/** @param rows at most RECORD_ROWS_MAX, whose node ids are ASCII of at most 63 characters, as all are */
export function encodeRows(rows: readonly NodeRow[]): Uint8Array {
  const ids = rows.map(({ nodeId }) => Buffer.from(nodeId, 'latin1'))
  const bytes = ids.reduce((sum, id) => sum + FIXED_BYTES + id.byteLength, 0)
  const record = Buffer.allocUnsafe(HEADER_BYTES + bytes)
  let at = HEADER_BYTES
  rows.forEach(({ timeMs, values }, index) => {
    const id = ids[index] as Buffer
    at = record.writeUInt8(id.byteLength, at)
    at += id.copy(record, at)
    at = record.writeDoubleBE(timeMs, at)
    for (const value of values) at = record.writeFloatBE(value, at)
  })
  record.writeUInt32BE(bytes, 0)
  record.writeUInt32BE(crc32(record.subarray(HEADER_BYTES)), 4)
  return record
}

/**
 * Reads all sound records of a file, in order, a chunk at a time: other work comes in between.
 * @returns how many bytes they take
 */
export async function readRows(file: Pick<OpenFile, 'read'>, onRow: (row: NodeRow) => void): Promise<number> {
  for (let at = 0; ; ) {
    const bytes = decodeRows(await file.read(at, CHUNK_BYTES), onRow)
    if (bytes === 0) return at
    at += bytes
  }
}

/**
 * Reads the sound records that bytes begin with, in order.
 * @returns how many bytes they take
 */
function decodeRows(chunk: Uint8Array, onRow: (row: NodeRow) => void): number {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  let at = 0
  while (at + HEADER_BYTES <= bytes.byteLength) {
    const end = at + HEADER_BYTES + bytes.readUInt32BE(at)
    if (end > bytes.byteLength) break
    if (crc32(bytes.subarray(at + HEADER_BYTES, end)) !== bytes.readUInt32BE(at + 4)) break
    for (let rowAt = at + HEADER_BYTES; rowAt < end; ) rowAt = decodeRow(bytes, rowAt, onRow)
    at = end
  }
  return at
}

function decodeRow(bytes: Buffer, at: number, onRow: (row: NodeRow) => void): number {
  const idEnd = at + 1 + bytes.readUInt8(at)
  const valuesAt = idEnd + TIME_BYTES
  const values: number[] = []
  for (let valueAt = valuesAt; valueAt < valuesAt + VALUES_BYTES; valueAt += 4) values.push(bytes.readFloatBE(valueAt))
  onRow({ nodeId: bytes.toString('latin1', at + 1, idEnd), timeMs: bytes.readDoubleBE(idEnd), values })
  return valuesAt + VALUES_BYTES
}
