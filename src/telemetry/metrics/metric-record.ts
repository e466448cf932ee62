import { crc32 } from 'node:zlib'
import type { OpenFile } from '../../base/files.ts'
import type { MetricFields, MetricValues } from './metric-ring.ts'

/*
 * Rows of metrics as they are appended to a file, many at a time:
 *   u32 bytes of the rows | u32 CRC-32 of them | rows
 * A row: u8 bytes of the name | the name | f64 begin of its period, Unix milliseconds | an f32 for each value
 * Numbers are big-endian. A record that does not verify ends the file: it was being written when the power failed.
 */

/** Rows of one record at most: 50 kB where all names are as long as they may be. */
export const RECORD_ROWS_MAX = 500
/** What is read at once: the longest record and more, and decoded within a millisecond or two. */
const CHUNK_BYTES = 64 * 1_024

const HEADER_BYTES = 8
const TIME_BYTES = 8
const VALUE_BYTES = 4

/** What was measured of one node or service in one period. */
export interface NamedRow {
  name: string
  /** Begin of the period, Unix milliseconds. */
  timeMs: number
  values: MetricValues
}

/** @param rows at most RECORD_ROWS_MAX, whose names are ASCII of at most 63 characters, as all of nodes and services are */
export function encodeRows(rows: readonly NamedRow[]): Uint8Array {
  const names = rows.map(({ name }) => Buffer.from(name, 'latin1'))
  const bytes = rows.reduce(
    (sum, { values }, index) =>
      sum + 1 + (names[index] as Buffer).byteLength + TIME_BYTES + VALUE_BYTES * values.length,
    0,
  )
  const record = Buffer.allocUnsafe(HEADER_BYTES + bytes)
  let at = HEADER_BYTES
  rows.forEach(({ timeMs, values }, index) => {
    const name = names[index] as Buffer
    at = record.writeUInt8(name.byteLength, at)
    at += name.copy(record, at)
    at = record.writeDoubleBE(timeMs, at)
    for (const value of values) at = record.writeFloatBE(value, at)
  })
  record.writeUInt32BE(bytes, 0)
  record.writeUInt32BE(crc32(record.subarray(HEADER_BYTES)), 4)
  return record
}

/**
 * Reads all sound records of a file, in order, a chunk at a time: other work comes in between.
 * @param fields what its rows were written with
 * @returns how many bytes they take
 */
export async function readRows(
  file: Pick<OpenFile, 'read'>,
  fields: MetricFields,
  onRow: (row: NamedRow) => void,
): Promise<number> {
  for (let at = 0; ; ) {
    const bytes = decodeRows(await file.read(at, CHUNK_BYTES), fields, onRow)
    if (bytes === 0) return at
    at += bytes
  }
}

/**
 * Reads the sound records that bytes begin with, in order.
 * @returns how many bytes they take
 */
function decodeRows(chunk: Uint8Array, fields: MetricFields, onRow: (row: NamedRow) => void): number {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  let at = 0
  while (at + HEADER_BYTES <= bytes.byteLength) {
    const end = at + HEADER_BYTES + bytes.readUInt32BE(at)
    if (end > bytes.byteLength) break
    if (crc32(bytes.subarray(at + HEADER_BYTES, end)) !== bytes.readUInt32BE(at + 4)) break
    for (let rowAt = at + HEADER_BYTES; rowAt < end; ) rowAt = decodeRow(bytes, rowAt, fields, onRow)
    at = end
  }
  return at
}

function decodeRow(bytes: Buffer, at: number, { count }: MetricFields, onRow: (row: NamedRow) => void): number {
  const nameEnd = at + 1 + bytes.readUInt8(at)
  const valuesAt = nameEnd + TIME_BYTES
  const end = valuesAt + VALUE_BYTES * count
  const values: number[] = []
  for (let valueAt = valuesAt; valueAt < end; valueAt += VALUE_BYTES) values.push(bytes.readFloatBE(valueAt))
  onRow({ name: bytes.toString('latin1', at + 1, nameEnd), timeMs: bytes.readDoubleBE(nameEnd), values })
  return end
}
