import type { Entry } from '../../base/control-store.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'

/** What a frame carries: the beginning of a snapshot, a part of its entries, or a group of commits. */
export const RECORD_KINDS = { snapshot: 1, entries: 2, commits: 3 } as const
export type RecordKind = keyof typeof RECORD_KINDS

export interface StoredEntry extends Entry {
  leaseId?: string
}

export interface StoredLease {
  leaseId: string
  ttlMs: number
}

/** One step of the state. `end` deletes the keys that hang on the lease; which these are follows from the state. */
export type Change =
  | { type: 'put'; key: string; value: Uint8Array; leaseId?: string }
  | { type: 'delete'; key: string }
  | { type: 'grant'; leaseId: string; ttlMs: number }
  | { type: 'end'; leaseId: string }

/** Changes that happen together, at one revision. */
export interface Commit {
  revision: number
  changes: Change[]
}

/** First record of every file: what follows must add up to it. */
export interface SnapshotHead {
  revision: number
  entryCount: number
  leases: StoredLease[]
}

const CHANGE_TYPES = { put: 1, delete: 2, grant: 3, end: 4 } as const
/** Type, two lengths, lease: what a change costs on disk beside its key and value. */
const CHANGE_OVERHEAD_BYTES = 64

/** Bytes that the change takes in a record, at most. */
export function changeBytes(change: Change): number {
  if (change.type === 'put') return CHANGE_OVERHEAD_BYTES + 3 * change.key.length + change.value.byteLength
  if (change.type === 'delete') return CHANGE_OVERHEAD_BYTES + 3 * change.key.length
  return CHANGE_OVERHEAD_BYTES
}

export function encodeCommits(commits: readonly Commit[]): Uint8Array {
  const writer = new ByteWriter().u32(commits.length)
  for (const commit of commits) {
    writer.u64(commit.revision).u16(commit.changes.length)
    for (const change of commit.changes) writeChange(writer, change)
  }
  return writer.take()
}

/** @throws {RangeError} the bytes are not what {@link encodeCommits} makes */
export function decodeCommits(bytes: Uint8Array): Commit[] {
  const reader = new ByteReader(bytes)
  const commits = readList(reader, reader.u32(), () => ({
    revision: reader.u64(),
    changes: readList(reader, reader.u16(), () => readChange(reader)),
  }))
  expectEnd(reader)
  return commits
}

export function encodeSnapshotHead(head: SnapshotHead): Uint8Array {
  const writer = new ByteWriter().u64(head.revision).u32(head.entryCount).u32(head.leases.length)
  for (const lease of head.leases) writer.text(lease.leaseId).u64(lease.ttlMs)
  return writer.take()
}

/** @throws {RangeError} the bytes are not what {@link encodeSnapshotHead} makes */
export function decodeSnapshotHead(bytes: Uint8Array): SnapshotHead {
  const reader = new ByteReader(bytes)
  const revision = reader.u64()
  const entryCount = reader.u32()
  const leases = readList(reader, reader.u32(), () => ({ leaseId: reader.text(), ttlMs: reader.u64() }))
  expectEnd(reader)
  return { revision, entryCount, leases }
}

export function writeEntry(writer: ByteWriter, entry: StoredEntry): void {
  writer.text(entry.key).bytes(entry.value)
  writer.u64(entry.createRevision).u64(entry.revision).u64(entry.version)
  writer.text(entry.leaseId ?? '')
}

/** @throws {RangeError} the bytes are not a sequence of what {@link writeEntry} writes */
export function decodeEntries(bytes: Uint8Array): StoredEntry[] {
  const reader = new ByteReader(bytes)
  const entries: StoredEntry[] = []
  while (reader.remaining > 0) entries.push(readEntry(reader))
  return entries
}

function readEntry(reader: ByteReader): StoredEntry {
  const entry: StoredEntry = {
    key: reader.text(),
    value: reader.bytes(),
    createRevision: reader.u64(),
    revision: reader.u64(),
    version: reader.u64(),
  }
  const leaseId = reader.text()
  if (leaseId) entry.leaseId = leaseId
  return entry
}

function writeChange(writer: ByteWriter, change: Change): void {
  writer.u8(CHANGE_TYPES[change.type])
  switch (change.type) {
    case 'put':
      writer
        .text(change.key)
        .bytes(change.value)
        .text(change.leaseId ?? '')
      break
    case 'delete':
      writer.text(change.key)
      break
    case 'grant':
      writer.text(change.leaseId).u64(change.ttlMs)
      break
    case 'end':
      writer.text(change.leaseId)
      break
  }
}

function readChange(reader: ByteReader): Change {
  const type = reader.u8()
  switch (type) {
    case CHANGE_TYPES.put: {
      const change: Change = { type: 'put', key: reader.text(), value: reader.bytes() }
      const leaseId = reader.text()
      if (leaseId) change.leaseId = leaseId
      return change
    }
    case CHANGE_TYPES.delete:
      return { type: 'delete', key: reader.text() }
    case CHANGE_TYPES.grant:
      return { type: 'grant', leaseId: reader.text(), ttlMs: reader.u64() }
    case CHANGE_TYPES.end:
      return { type: 'end', leaseId: reader.text() }
    default:
      throw new RangeError(`unknown change ${type}`)
  }
}

/** A count is a claim: nothing is allocated for it, and a false one runs into the end of the bytes. */
function readList<T>(reader: ByteReader, count: number, read: () => T): T[] {
  const items: T[] = []
  while (items.length < count) {
    if (reader.remaining === 0) throw new RangeError(`${count} items promised, ${items.length} there`)
    items.push(read())
  }
  return items
}

function expectEnd(reader: ByteReader): void {
  if (reader.remaining > 0) throw new RangeError(`${reader.remaining} bytes too many`)
}
