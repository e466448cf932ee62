import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import { toHex } from '../base/bytes.ts'
import { codeOf, StorageError } from '../base/errors.ts'
import type { Files, OpenFile } from '../base/files.ts'
import type { Random } from '../base/random.ts'
import { isDiskFull, systemCode } from '../base/system-failure.ts'
import { openSlot, type UnlockKey } from './key-derivation.ts'
import { ByteWriter } from './vault/byte-writer.ts'
import { damaged, nextPath, previousPath } from './vault/damage.ts'
import {
  chainStart,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES_MAX,
  type ReadHeader,
  type VaultHeader,
  verifyHeader,
} from './vault/header.ts'
import { SNAPSHOT_RECORD_BYTES } from './vault/limits.ts'
import { type ReplayListener, VaultLoader } from './vault/loader.ts'
import { encodeSnapshotHead, writeEntry } from './vault/records.ts'
import { type ChainPosition, SEGMENT_ID_BYTES, SegmentSealer } from './vault/segment.ts'
import type { VaultState } from './vault/state.ts'

/** Read ahead: a journal of many small records costs few system calls, and the event loop is never held for long. */
const READ_BYTES = 256 * 1024
/** A generation lies between two names for moments only, once a minute. */
const OPEN_ATTEMPTS_MAX = 5

export interface VaultFileNeeds {
  files: Files
  random: Random
}

/** Everything a vault file says. */
export interface LoadedVault {
  header: ReadHeader
  masterKey: Uint8Array
  state: VaultState
  /** Length of the file as found. */
  fileBytes: number
  /** End of the last whole record: what follows is the rest of an append that a crash cut short. */
  end: number
  snapshotEnd: number
  position: ChainPosition
  segmentCount: number
}

/** Whether a vault is there, complete or between two names. */
export async function vaultExists(files: Files, path: string): Promise<boolean> {
  return (await files.facts(path)) !== undefined || (await files.facts(previousPath(path))) !== undefined
}

/**
 * Reads and checks a whole vault, through one descriptor; changes nothing. Works beside the node that writes it: what
 * was acknowledged before the call is in what is read, commits of meanwhile may be, each wholly or not at all.
 * @param untilSeq stop after this record; damage beyond it is not looked at
 * @throws {StorageError} P2P_STORAGE_NOT_FOUND, P2P_STORAGE_UNSUPPORTED, P2P_STORAGE_UNLOCK_FAILED, P2P_STORAGE_DAMAGED
 */
export async function loadVault(
  files: Files,
  path: string,
  unlock: UnlockKey,
  options: { onReplay?: ReplayListener; untilSeq?: number } = {},
): Promise<LoadedVault> {
  const file = await openGeneration(files, path)
  try {
    const header = decodeHeader(path, await file.read(0, HEADER_BYTES_MAX))
    const masterKey = await openSlot(path, header.slots, header.storageId, unlock)
    verifyHeader(header, masterKey)
    return await loadRecords(file, header, masterKey, options)
  } finally {
    await file.close()
  }
}

/**
 * Opens what a start would read. A generation is only ever appended to, so that what is open stays readable when a
 * running node gives its name to the next one. Between the two renames ({@link promoteNext}) the vault has no name:
 * then the next one, complete and durable, is the vault.
 */
async function openGeneration(files: Files, path: string): Promise<OpenFile> {
  for (let attempts = 0; attempts < OPEN_ATTEMPTS_MAX; attempts++) {
    const current = await openIfThere(files, path)
    if (current) return current
    if ((await files.facts(previousPath(path))) === undefined) break
    const next = await openIfThere(files, nextPath(path))
    if (next) return next
  }
  throw notFound(path, await vaultExists(files, path))
}

async function openIfThere(files: Files, path: string): Promise<OpenFile | undefined> {
  try {
    return await files.open(path, 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function loadRecords(
  file: OpenFile,
  header: ReadHeader,
  masterKey: Uint8Array,
  { onReplay, untilSeq = Infinity }: { onReplay?: ReplayListener; untilSeq?: number },
): Promise<LoadedVault> {
  let fileBytes = await file.size()
  const loader = new VaultLoader(header, masterKey, onReplay)
  let window: Uint8Array = new Uint8Array(0)
  while (loader.position.seq <= untilSeq) {
    const step = loader.step(window, fileBytes)
    if (step.type === 'end' || step.type === 'torn') break
    if (step.type === 'record') {
      window = window.subarray(step.bytes)
      continue
    }
    const had = window.length
    window = await file.read(loader.offset, Math.max(step.bytes, READ_BYTES))
    if (window.length > had) continue
    // A node whose disk is full takes a partial append back.
    const nowBytes = await file.size()
    if (nowBytes >= fileBytes || nowBytes < loader.offset) {
      throw damaged({ path: header.path, offset: loader.offset }, 'the file became shorter while it was read')
    }
    fileBytes = nowBytes
  }
  if (!loader.isSnapshotComplete) {
    throw damaged({ path: header.path, offset: loader.offset }, 'the records asked for end inside the snapshot')
  }
  const { state, offset: end, snapshotEnd, position, segmentCount } = loader
  return { header, masterKey, state, fileBytes, end, snapshotEnd, position, segmentCount }
}

/**
 * Writes a whole vault holding `state` into a new file at `path`, makes it durable and reads it back. On failure
 * the file is removed as far as possible. The directory entry is not yet durable.
 * @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_EXISTS; P2P_STORAGE_FAILED: the disk lost or changed what was written
 */
export async function writeVault(
  { files, random }: VaultFileNeeds,
  path: string,
  header: VaultHeader,
  masterKey: Uint8Array,
  state: VaultState,
): Promise<{ bytes: number; position: ChainPosition }> {
  const file = await createFile(files, path)
  try {
    const written = await writeRecords(file, random, header, masterKey, state)
    await syncOrFail(file, path)
    await verifyWritten(file, path, masterKey, state)
    await file.close()
    return written
  } catch (error) {
    await file.close().catch(() => {})
    await files.remove(path).catch(() => {})
    throw isDiskFull(error) ? diskFull(path, error) : error
  }
}

async function writeRecords(
  file: OpenFile,
  random: Random,
  header: VaultHeader,
  masterKey: Uint8Array,
  state: VaultState,
): Promise<{ bytes: number; position: ChainPosition }> {
  const headerBytes = encodeHeader(header, masterKey)
  const start: ChainPosition = { seq: 1, link: chainStart(headerBytes) }
  const keys = { masterKey, storageId: header.storageId }
  const sealer = new SegmentSealer(keys, random.bytes(SEGMENT_ID_BYTES), start)
  let bytes = 0
  const append = async (part: Uint8Array): Promise<void> => {
    await file.write(bytes, part)
    bytes += part.byteLength
  }
  await append(headerBytes)
  const head = { revision: state.revision, entryCount: state.size, leases: state.leases() }
  await append(sealer.seal('snapshot', encodeSnapshotHead(head), state.size === 0))
  let record = new ByteWriter()
  let left = state.size
  for (const entry of state.range('')) {
    writeEntry(record, entry)
    left--
    if (record.length < SNAPSHOT_RECORD_BYTES && left > 0) continue
    await append(sealer.seal('entries', record.take(), left === 0))
    record = new ByteWriter()
  }
  return { bytes, position: sealer.position }
}

async function verifyWritten(file: OpenFile, path: string, masterKey: Uint8Array, state: VaultState): Promise<void> {
  try {
    const header = decodeHeader(path, await file.read(0, HEADER_BYTES_MAX))
    verifyHeader(header, masterKey)
    const { state: readBack } = await loadRecords(file, header, masterKey, {})
    assert(readBack.revision === state.revision, 'a snapshot has the revision it was made at')
    assert(readBack.size === state.size, 'a snapshot has the entries it was made of')
  } catch (cause) {
    throw failed(path, 'The disk does not give back what was written to', cause)
  }
}

/**
 * Writes a copy of a vault: under a name of its own first, and under `path` once it is whole, read back and durable.
 * @throws {StorageError} P2P_STORAGE_EXISTS, P2P_STORAGE_FULL, P2P_STORAGE_FAILED; P2P_STORAGE_NOT_FOUND: its folder is not
 *   there; P2P_STORAGE_PERMISSIONS
 */
export async function writeBackup(
  needs: VaultFileNeeds,
  path: string,
  header: VaultHeader,
  masterKey: Uint8Array,
  state: VaultState,
): Promise<void> {
  const { files, random } = needs
  const partialPath = `${path}.${toHex(random.bytes(4))}.partial`
  try {
    await refuseExisting(files, path)
    await writeVault(needs, partialPath, header, masterKey, state)
  } catch (error) {
    throw unwritable(path, error)
  }
  try {
    await refuseExisting(files, path)
    await files.rename(partialPath, path)
  } catch (error) {
    await files.remove(partialPath).catch(() => {})
    throw error
  }
  await files.syncDirectory(dirname(path))
}

const NO_FOLDER: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR'])
const NOT_ALLOWED: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EROFS'])

/** Why nothing can be written at a path that somebody chose, in words for that person. */
function unwritable(path: string, cause: unknown): unknown {
  if (codeOf(cause) === 'P2P_STORAGE_FULL') return diskFull(path, cause)
  const code = systemCode(cause)
  const folder = dirname(path)
  if (NO_FOLDER.has(code)) {
    const message = `There is no folder ${folder}; make it first`
    return new StorageError('P2P_STORAGE_NOT_FOUND', message, { path }, { cause })
  }
  if (NOT_ALLOWED.has(code)) {
    const message = `Nothing may be written in ${folder}; choose another place, or make it writable for this user`
    return new StorageError('P2P_STORAGE_PERMISSIONS', message, { path }, { cause })
  }
  return cause
}

async function refuseExisting(files: Files, path: string): Promise<void> {
  if ((await files.facts(path)) !== undefined) throw exists(path)
}

/**
 * Gives the durable file `<path>.new` the vault's name; the vault there before becomes `<path>.previous`. Durable
 * when it resolves.
 * @throws {StorageError} P2P_STORAGE_FAILED: which generation a crash would leave is unknown
 */
export async function promoteNext(files: Files, path: string): Promise<void> {
  try {
    // The new file's own entry must be durable before the old one loses its name.
    await files.syncDirectory(dirname(path))
    if ((await files.facts(path)) !== undefined) await files.rename(path, previousPath(path))
    await files.rename(nextPath(path), path)
    await files.syncDirectory(dirname(path))
  } catch (cause) {
    throw failed(path, 'Cannot put the new generation in the place of', cause)
  }
}

/**
 * Puts right what a crash in the middle of a snapshot left; the vault's lock must be held. A process that was killed
 * may have renamed without syncing the directory: that is done first.
 *
 * A next generation beside the vault is incomplete and goes; one beside only the previous generation is complete and
 * durable ({@link promoteNext}) and takes its place.
 */
export async function settleGenerations(files: Files, path: string): Promise<void> {
  await files.syncDirectory(dirname(path))
  if ((await files.facts(nextPath(path))) === undefined) return
  const hasVault = (await files.facts(path)) !== undefined
  const hasPrevious = (await files.facts(previousPath(path))) !== undefined
  if (hasVault || !hasPrevious) await files.remove(nextPath(path))
  else await promoteNext(files, path)
}

/** @throws {StorageError} P2P_STORAGE_FAILED: never to be retried, for the kernel may have dropped what was not written */
export async function syncOrFail(file: OpenFile, path: string): Promise<void> {
  try {
    await file.sync()
  } catch (cause) {
    throw failed(path, 'The disk did not confirm a write to', cause)
  }
}

/**
 * The vault's lock.
 * @returns its release
 * @throws {StorageError} P2P_STORAGE_LOCKED
 */
export async function lockVault(files: Files, path: string): Promise<() => Promise<void>> {
  const lockPath = `${path}.lock`
  const release = await files.lock(lockPath)
  if (release) return release
  const message = `${path} is in use by another process (lock: ${lockPath}). Stop that node first, or give this one a storage of its own`
  throw new StorageError('P2P_STORAGE_LOCKED', message, { path, lockPath })
}

/** @throws {StorageError} P2P_STORAGE_PERMISSIONS: other users can read or write the file */
export async function checkVaultMode(files: Files, path: string): Promise<void> {
  const facts = await files.facts(path)
  if (!facts || (facts.mode & 0o077) === 0) return
  const mode = facts.mode.toString(8)
  const message = `${path} is open to other users (mode ${mode}). Close it: chmod 600 ${path}`
  throw new StorageError('P2P_STORAGE_PERMISSIONS', message, { path, mode })
}

export function diskFull(path: string, cause: unknown): StorageError {
  const message = `No room on the disk of ${path}: nothing was changed. Free some space; the same write then succeeds`
  return new StorageError('P2P_STORAGE_FULL', message, { path }, { cause })
}

export function failed(path: string, what: string, cause: unknown): StorageError {
  const message = `${what} ${path}: nothing more is written. Check the disk, then start again`
  return new StorageError('P2P_STORAGE_FAILED', message, { path }, { cause })
}

export function notFound(path: string, hasPrevious: boolean): StorageError {
  const remedy = hasPrevious
    ? `its previous generation is there: p2p storage restore ${previousPath(path)}`
    : 'check the path, or restore a backup'
  return new StorageError('P2P_STORAGE_NOT_FOUND', `There is no vault at ${path}; ${remedy}`, { path })
}

async function createFile(files: Files, path: string): Promise<OpenFile> {
  try {
    return await files.open(path, 'wx')
  } catch (error) {
    if (isDiskFull(error)) throw diskFull(path, error)
    throw systemCode(error) === 'EEXIST' ? exists(path) : error
  }
}

function exists(path: string): StorageError {
  return new StorageError('P2P_STORAGE_EXISTS', `${path} exists already; choose another name or remove it`, { path })
}
