import { dirname } from 'node:path'
import { toHex } from '../base/bytes.ts'
import type { Files } from '../base/files.ts'
import type { Random } from '../base/random.ts'
import { makeSlot, type UnlockKey } from './key-derivation.ts'
import { nextPath, previousPath } from './vault/damage.ts'
import type { KeySlot, SlotKind, VaultHeader } from './vault/header.ts'
import { formatRecoveryKey, RECOVERY_KEY_BYTES } from './vault/recovery-key.ts'
import type { VaultState } from './vault/state.ts'
import {
  checkVaultMode,
  type LoadedVault,
  loadVault,
  lockVault,
  promoteNext,
  settleGenerations,
  writeBackup,
  writeVault,
} from './vault-file.ts'

export interface VaultToolNeeds {
  files: Files
  random: Random
}

/** What a whole reading of a vault found. */
export interface VaultReport {
  path: string
  storageId: string
  generation: number
  /** Length of the file. */
  bytes: number
  /** Bytes at its end that are the rest of an append cut short by a crash: removed at the next start. */
  tornBytes: number
  records: number
  segments: number
  revision: number
  entries: number
  slots: SlotKind[]
}

export interface ListedEntry {
  key: string
  bytes: number
  createRevision: number
  revision: number
  version: number
}

/**
 * Reads and authenticates every byte of a vault; changes nothing, and works beside a running node.
 * @throws {StorageError} P2P_STORAGE_DAMAGED (details: offset, lastGoodSeq, lastGoodRevision), P2P_STORAGE_NOT_FOUND,
 *   P2P_STORAGE_UNSUPPORTED, P2P_STORAGE_UNLOCK_FAILED
 */
export async function verifyVault(files: Files, path: string, unlock: UnlockKey): Promise<VaultReport> {
  return reportOf(await loadVault(files, path, unlock))
}

/** Keys, sizes and revisions, in key order; never values. @throws {StorageError} as {@link verifyVault} */
export async function listVault(files: Files, path: string, unlock: UnlockKey, prefix = ''): Promise<ListedEntry[]> {
  const { state } = await loadVault(files, path, unlock)
  return [...state.range(prefix)].map(({ key, value, createRevision, revision, version }) => {
    return { key, bytes: value.byteLength, createRevision, revision, version }
  })
}

/**
 * Writes a compact, verified copy of a vault, opened by the same secrets, into a new file (mode 0600), which has its
 * name only once it is whole and durable. Works beside a running node: what that acknowledged before the call is in it.
 * @throws {StorageError} P2P_STORAGE_EXISTS, P2P_STORAGE_FULL, P2P_STORAGE_PERMISSIONS, and as {@link verifyVault}
 */
export async function backupVault(
  needs: VaultToolNeeds,
  path: string,
  unlock: UnlockKey,
  targetPath: string,
): Promise<VaultReport> {
  const { header, masterKey, state } = await loadVault(needs.files, path, unlock)
  await writeBackup(needs, targetPath, header, masterKey, state)
  return verifyVault(needs.files, targetPath, unlock)
}

/**
 * Puts a backup in the place of the vault, which stays beside it as the previous generation.
 * @throws {StorageError} P2P_STORAGE_LOCKED: stop the node first; P2P_STORAGE_FULL, and as {@link verifyVault} for the backup
 */
export async function restoreVault(
  needs: VaultToolNeeds,
  backupPath: string,
  unlock: UnlockKey,
  path: string,
): Promise<VaultReport> {
  return replaceVault(needs, path, unlock, async () => {
    const { header, masterKey, state } = await loadVault(needs.files, backupPath, unlock)
    return { header: { ...header, generation: header.generation + 1 }, masterKey, state }
  })
}

/**
 * Keeps what a damaged vault holds up to and including record `toSeq`; the damaged file stays as the previous
 * generation. The journal after that record is given up: look at {@link verifyVault} first.
 * @throws {StorageError} P2P_STORAGE_LOCKED; P2P_STORAGE_DAMAGED: the damage lies before, or inside the snapshot
 */
export async function repairVault(
  needs: VaultToolNeeds,
  path: string,
  unlock: UnlockKey,
  toSeq: number,
): Promise<VaultReport> {
  return replaceVault(needs, path, unlock, async () =>
    nextGeneration(await loadVault(needs.files, path, unlock, { untilSeq: toSeq })),
  )
}

/**
 * Adds a slot or replaces the one of the same kind: a new plot, a new password, a new recovery key. Only the master
 * key is wrapped anew. The previous generation, which the old secret still opens, is removed; copies elsewhere are not.
 * @param replacement `recovery` without a secret: a new key is made and returned
 * @throws {StorageError} P2P_STORAGE_LOCKED, P2P_STORAGE_PASSWORD_INVALID, P2P_STORAGE_PERMISSIONS, and as {@link verifyVault}
 */
export async function rekeyVault(
  needs: VaultToolNeeds,
  path: string,
  unlock: UnlockKey,
  replacement: UnlockKey | { kind: 'recovery' },
): Promise<{ report: VaultReport; recoveryKey?: string }> {
  const { files, random } = needs
  const isNewKey = !('secret' in replacement)
  const secret = isNewKey ? formatRecoveryKey(random.bytes(RECOVERY_KEY_BYTES)) : replacement.secret
  const newUnlock: UnlockKey = { kind: replacement.kind, secret }
  const report = await replaceVault(
    needs,
    path,
    newUnlock,
    async () => {
      await checkVaultMode(files, path)
      const next = nextGeneration(await loadVault(files, path, unlock))
      const slot = await makeSlot(random, newUnlock, next.header.storageId, next.masterKey)
      return { ...next, header: { ...next.header, slots: withSlot(next.header.slots, slot) } }
    },
    async () => {
      await files.remove(previousPath(path))
      await files.syncDirectory(dirname(path))
    },
  )
  return isNewKey ? { report, recoveryKey: secret } : { report }
}

interface Generation {
  header: VaultHeader
  masterKey: Uint8Array
  state: VaultState
}

function nextGeneration({ header, masterKey, state }: LoadedVault): Generation {
  return { header: { ...header, generation: header.generation + 1 }, masterKey, state }
}

/** Under the vault's lock: writes what `make` gives as the next generation, and lets it take the vault's place. */
async function replaceVault(
  needs: VaultToolNeeds,
  path: string,
  unlock: UnlockKey,
  make: () => Promise<Generation>,
  afterwards: () => Promise<void> = async () => {},
): Promise<VaultReport> {
  const { files } = needs
  await files.makeDirectory(dirname(path))
  const release = await lockVault(files, path)
  try {
    await settleGenerations(files, path)
    const { header, masterKey, state } = await make()
    await writeVault(needs, nextPath(path), header, masterKey, state)
    await promoteNext(files, path)
    await afterwards()
    return await verifyVault(files, path, unlock)
  } finally {
    await release()
  }
}

function withSlot(slots: readonly KeySlot[], slot: KeySlot): KeySlot[] {
  return [...slots.filter(({ kind }) => kind !== slot.kind), slot]
}

function reportOf(loaded: LoadedVault): VaultReport {
  const { header, state, fileBytes, end, position, segmentCount } = loaded
  return {
    path: header.path,
    storageId: toHex(header.storageId),
    generation: header.generation,
    bytes: fileBytes,
    tornBytes: fileBytes - end,
    records: position.seq - 1,
    segments: segmentCount,
    revision: state.revision,
    entries: state.size,
    slots: header.slots.map(({ kind }) => kind),
  }
}
