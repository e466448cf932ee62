import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import { formatBytes, toHex } from '../base/bytes.ts'
import type { Component } from '../base/component.ts'
import type { ControlStore } from '../base/control-store.ts'
import { codeOf, messageOf, StorageError } from '../base/errors.ts'
import type { Files, OpenFile } from '../base/files.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'
import { CommitQueue } from './commit-queue.ts'
import { Journal } from './journal.ts'
import { makeSlot, type UnlockKey } from './key-derivation.ts'
import { ChangeHistory } from './vault/change-history.ts'
import { nextPath } from './vault/damage.ts'
import { MASTER_KEY_BYTES, type SlotKind, STORAGE_ID_BYTES, type VaultHeader } from './vault/header.ts'
import { JOURNAL_BYTES_MAX } from './vault/limits.ts'
import { formatRecoveryKey, RECOVERY_KEY_BYTES } from './vault/recovery-key.ts'
import { VaultState } from './vault/state.ts'
import {
  checkVaultMode,
  failed,
  type LoadedVault,
  loadVault,
  lockVault,
  notFound,
  promoteNext,
  settleGenerations,
  syncOrFail,
  vaultExists,
  writeBackup,
  writeVault,
} from './vault-file.ts'
import { VaultStore } from './vault-store.ts'

/** The Python program's "auto-save every 60 seconds": how long a journal may grow before it is compacted. */
const SNAPSHOT_PERIOD_MS = 60_000

export interface VaultNeeds {
  files: Files
  clock: Clock
  random: Random
  log: Logger
}

export interface VaultOptions {
  /** The vault's file. Beside it lie `.lock`, `.previous` (the generation before) and for moments `.new`. */
  path: string
  unlock: UnlockKey
  /** Make a new vault, opened by `unlock` and a new recovery key, when there is none. */
  createIfMissing: boolean
  /** Default {@link SNAPSHOT_PERIOD_MS}. */
  snapshotPeriodMs?: number
}

export interface VaultStatus {
  path: string
  /** Made once with the vault, hex. */
  storageId: string
  /** Rises by one with every snapshot. */
  generation: number
  bytes: number
  /** Records in the file, the snapshot's included. */
  records: number
  entries: number
  revision: number
  /** What the vault can be opened with. */
  slots: SlotKind[]
  /** Wall time of the last snapshot this process made. */
  lastSnapshotMs: number | undefined
  /** The journal holds changes that are not yet in a snapshot. They are durable all the same. */
  dirty: boolean
}

/** The encrypted storage of a node: see docs/protocol/vault.md. */
export interface Vault {
  /** Usable from the end of `start` to the beginning of `stop`. */
  readonly store: ControlStore
  /**
   * Aborted, with the P2P_STORAGE_FAILED error as reason, when the disk failed: nothing is acknowledged any more and
   * the node must exit.
   */
  readonly failed: AbortSignal
  /** @throws {StorageError} P2P_STORAGE_CLOSED */
  status(): VaultStatus
  /** The recovery key, only in the process that has just made the vault: to be shown once. */
  recoveryKey(): string | undefined
  /** Compacts the journal into a new generation, if anything changed. @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_FAILED, P2P_STORAGE_CLOSED */
  snapshot(): Promise<void>
  /** Writes the state as it is now into a new, verified vault file. @throws {StorageError} P2P_STORAGE_EXISTS, P2P_STORAGE_FULL, P2P_STORAGE_CLOSED */
  backup(targetPath: string): Promise<void>
}

/** What is there while the vault is open. */
interface OpenVault {
  header: VaultHeader
  masterKey: Uint8Array
  queue: CommitQueue
  release: () => Promise<void>
  snapshotRevision: number
  /** Length of the file at which it is compacted before its time; Infinity while, and after, that is tried. */
  compactAtBytes: number
}

/**
 * Creates the vault; `start` opens it or makes it, and holds its lock until `stop`.
 *
 * `start` throws {StorageError} P2P_STORAGE_LOCKED, P2P_STORAGE_NOT_FOUND, P2P_STORAGE_PERMISSIONS,
 * P2P_STORAGE_UNLOCK_FAILED, P2P_STORAGE_PASSWORD_INVALID, P2P_STORAGE_DAMAGED, P2P_STORAGE_UNSUPPORTED,
 * P2P_STORAGE_FULL or P2P_STORAGE_FAILED.
 */
export function createVault(needs: VaultNeeds, options: VaultOptions): Vault & Component {
  return new FileVault(needs, options)
}

class FileVault implements Vault, Component {
  readonly name = 'vault'
  readonly #needs: VaultNeeds
  readonly #options: VaultOptions
  readonly #store: VaultStore
  readonly #failure = new AbortController()
  #open: OpenVault | undefined
  #timer: Timer | undefined
  #recoveryKey: string | undefined
  #lastSnapshotMs: number | undefined
  #background: Promise<void> = Promise.resolve()
  #isCompacting = false

  constructor(needs: VaultNeeds, options: VaultOptions) {
    this.#needs = needs
    this.#options = options
    this.#store = new VaultStore(needs, options.path)
  }

  get store(): ControlStore {
    return this.#store
  }

  get failed(): AbortSignal {
    return this.#failure.signal
  }

  async start(signal: AbortSignal): Promise<void> {
    assert(!this.#open, 'a vault is started once')
    const { files } = this.#needs
    const { path } = this.#options
    await files.makeDirectory(dirname(path))
    const release = await lockVault(files, path)
    try {
      signal.throwIfAborted()
      await settleGenerations(files, path)
      if (!(await vaultExists(files, path))) await this.#create()
      await checkVaultMode(files, path)
      this.#open = await this.#load(release)
    } catch (error) {
      await release()
      throw error
    }
    this.#store.open(this.#open.queue)
    const period = this.#options.snapshotPeriodMs ?? SNAPSHOT_PERIOD_MS
    this.#timer = this.#needs.clock.every(period, () => this.#compactInBackground())
  }

  async stop(): Promise<void> {
    const open = this.#open
    if (!open) return
    this.#open = undefined
    this.#timer?.cancel()
    await this.#store.close()
    await this.#background
    try {
      if (!this.failed.aborted) await this.#compact(open)
    } catch (error) {
      // Nothing is lost: the journal has it all, and is read at the next start.
      this.#needs.log.warning('The vault could not be compacted while stopping', { reason: messageOf(error) })
    } finally {
      await closeQuietly(open.queue.journal)
      await open.release()
    }
  }

  status(): VaultStatus {
    const { header, queue, snapshotRevision } = this.#opened()
    return {
      path: this.#options.path,
      storageId: toHex(header.storageId),
      generation: header.generation,
      bytes: queue.journal.end,
      records: queue.journal.recordCount,
      entries: queue.state.size,
      revision: queue.state.revision,
      slots: header.slots.map(({ kind }) => kind),
      lastSnapshotMs: this.#lastSnapshotMs,
      dirty: queue.state.revision !== snapshotRevision,
    }
  }

  recoveryKey(): string | undefined {
    return this.#recoveryKey
  }

  async snapshot(): Promise<void> {
    await this.#compact(this.#opened())
  }

  async backup(targetPath: string): Promise<void> {
    const { header, masterKey, queue } = this.#opened()
    await queue.exclusive(() => writeBackup(this.#needs, targetPath, header, masterKey, queue.state))
  }

  async #create(): Promise<void> {
    const { path, unlock, createIfMissing } = this.#options
    const { files, random, log } = this.#needs
    // A recovery key opens what exists; it is never what a vault is made with.
    if (!createIfMissing || unlock.kind === 'recovery') throw notFound(path, false)
    const masterKey = random.bytes(MASTER_KEY_BYTES)
    const storageId = random.bytes(STORAGE_ID_BYTES)
    const recoveryKey = formatRecoveryKey(random.bytes(RECOVERY_KEY_BYTES))
    const slots = [
      await makeSlot(random, unlock, storageId, masterKey),
      await makeSlot(random, { kind: 'recovery', secret: recoveryKey }, storageId, masterKey),
    ]
    await writeVault(this.#needs, nextPath(path), { generation: 1, storageId, slots }, masterKey, new VaultState())
    await promoteNext(files, path)
    this.#recoveryKey = recoveryKey
    log.info('A new vault was made', { path, storageId: toHex(storageId) })
  }

  async #load(release: () => Promise<void>): Promise<OpenVault> {
    const { files, random, log } = this.#needs
    const { path, unlock } = this.#options
    const replayed: Parameters<ChangeHistory['add']>[] = []
    const loaded = await loadVault(files, path, unlock, { onReplay: (...change) => replayed.push(change) })
    const file = await files.open(path, 'rw')
    try {
      if (loaded.end < loaded.fileBytes) await cutTornTail(log, file, path, loaded)
      // A process that was killed may have written records without syncing them: they are about to be served.
      await syncOrFail(file, path)
    } catch (error) {
      await file.close()
      throw error
    }
    const { header, masterKey, state, end, snapshotEnd, position } = loaded
    const snapshotRevision = state.revision - replayed.length
    const history = new ChangeHistory(snapshotRevision)
    for (const change of replayed) history.add(...change)
    const keys = { masterKey, storageId: header.storageId }
    const queue = new CommitQueue({
      state,
      history,
      journal: new Journal(random, keys, { path, file, end, position }),
      onCommit: () => this.#onCommit(),
      onFailure: (error) => this.#fail(error),
    })
    return { header, masterKey, queue, release, snapshotRevision, compactAtBytes: compactAtBytes(snapshotEnd) }
  }

  #onCommit(): void {
    this.#store.wake()
    const open = this.#open
    if (!open) return
    if (open.queue.journal.end <= open.compactAtBytes) return
    // If it fails (disk full), the next attempt is the timer's, not the next commit's.
    open.compactAtBytes = Infinity
    this.#compactInBackground()
  }

  #fail(error: StorageError): void {
    this.#needs.log.critical('The vault has failed: nothing more is stored', { path: this.#options.path, error })
    this.#failure.abort(error)
    this.#store.wake()
  }

  #compactInBackground(): void {
    const open = this.#open
    if (!open || this.#isCompacting) return
    this.#isCompacting = true
    this.#background = this.#compact(open)
      .catch((error: unknown) => {
        this.#needs.log.error('The vault could not be compacted; the journal goes on', { reason: messageOf(error) })
      })
      .finally(() => {
        this.#isCompacting = false
      })
  }

  /** Commits wait meanwhile. */
  #compact(open: OpenVault): Promise<void> {
    return open.queue.exclusive(async () => {
      if (this.failed.aborted) throw this.failed.reason
      if (open.queue.state.revision === open.snapshotRevision) return
      try {
        await this.#nextGeneration(open)
      } catch (error) {
        if (codeOf(error) === 'P2P_STORAGE_FAILED') open.queue.fail(error as StorageError)
        throw error
      }
    })
  }

  async #nextGeneration(open: OpenVault): Promise<void> {
    const { files, random, clock, log } = this.#needs
    const { path } = this.#options
    const { masterKey, queue } = open
    const startedMs = clock.nowMs()
    const header = { ...open.header, generation: open.header.generation + 1 }
    const { bytes, position } = await writeVault(this.#needs, nextPath(path), header, masterKey, queue.state)
    await closeQuietly(queue.journal)
    await promoteNext(files, path)
    const file = await files.open(path, 'rw').catch((cause: unknown) => {
      throw failed(path, 'Cannot open the new generation of', cause)
    })
    queue.journal = new Journal(
      random,
      { masterKey, storageId: header.storageId },
      { path, file, end: bytes, position },
    )
    open.header = header
    open.snapshotRevision = queue.state.revision
    open.compactAtBytes = compactAtBytes(bytes)
    this.#lastSnapshotMs = clock.wallMs()
    log.debug('The vault was compacted', { generation: header.generation, bytes, tookMs: clock.nowMs() - startedMs })
  }

  #opened(): OpenVault {
    if (this.#open) return this.#open
    throw new StorageError('P2P_STORAGE_CLOSED', `The vault ${this.#options.path} is not open`)
  }
}

/** The journal may become as long as the snapshot before it, and {@link JOURNAL_BYTES_MAX} in any case. */
function compactAtBytes(snapshotBytes: number): number {
  return snapshotBytes + Math.max(JOURNAL_BYTES_MAX, snapshotBytes)
}

async function cutTornTail(log: Logger, file: OpenFile, path: string, { end, fileBytes }: LoadedVault): Promise<void> {
  const torn = formatBytes(fileBytes - end)
  log.warning('The last append to the vault is incomplete, as a crash leaves it, and is removed', {
    path,
    offset: end,
    removed: torn,
  })
  await file.truncate(end)
}

/** Everything acknowledged is synced already: a failing close loses nothing. */
async function closeQuietly(journal: Journal): Promise<void> {
  await journal.close().catch(() => {})
}
