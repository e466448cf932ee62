import type { Operation, Transaction, TransactionResult } from '../../base/control-store.ts'
import { StorageError } from '../../base/errors.ts'
import { formatBytes } from '../../base/bytes.ts'
import {
  KEY_BYTES_MAX,
  STATE_BYTES_MAX,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_OPERATIONS_MAX,
  VALUE_BYTES_MAX,
} from './limits.ts'
import { type Change, type Commit, changeBytes } from './records.ts'
import type { VaultState } from './state.ts'

/**
 * Decides transactions that will be written together, before any of them is applied: each sees the ones staged
 * before it. Nothing is changed in the state; the commits are applied to it once they are durable.
 */
export class Stage {
  readonly commits: Commit[] = []
  readonly #state: VaultState
  /** Revision of each key changed here; 0 for a key deleted here. */
  readonly #revisions = new Map<string, number>()
  #addedBytes = 0

  constructor(state: VaultState) {
    this.#state = state
  }

  /**
   * @returns succeeded false when a compare does not hold; a transaction that changes nothing makes no commit
   * @throws {StorageError} P2P_STORAGE_LEASE_UNKNOWN, P2P_STORAGE_FULL: this transaction is left out, the others stand
   */
  transact(transaction: Transaction): TransactionResult {
    const holds = (transaction.compares ?? []).every(({ key, revision }) => this.#revisionOf(key) === revision)
    if (!holds) return { succeeded: false, revision: this.#revision }
    const changes = transaction.operations.filter((operation) => !this.#isVain(operation)).map(toChange)
    if (changes.length === 0) return { succeeded: true, revision: this.#revision }
    this.#check(changes)
    return { succeeded: true, revision: this.change(changes) }
  }

  /** Stages changes without a condition. @returns the commit's revision */
  change(changes: Change[]): number {
    const commit: Commit = { revision: this.#revision + 1, changes }
    this.commits.push(commit)
    for (const change of changes) {
      if (change.type === 'put') this.#revisions.set(change.key, commit.revision)
      else if (change.type === 'delete') this.#revisions.set(change.key, 0)
    }
    return commit.revision
  }

  get #revision(): number {
    return this.#state.revision + this.commits.length
  }

  #revisionOf(key: string): number {
    return this.#revisions.get(key) ?? this.#state.get(key)?.revision ?? 0
  }

  #isVain(operation: Operation): boolean {
    return operation.type === 'delete' && this.#revisionOf(operation.key) === 0
  }

  #check(changes: Change[]): void {
    let addedBytes = 0
    for (const change of changes) {
      if (change.type !== 'put') continue
      addedBytes += change.key.length + change.value.byteLength
      if (change.leaseId !== undefined && !this.#state.hasLease(change.leaseId)) throw leaseUnknown(change.leaseId)
    }
    if (addedBytes > 0 && this.#state.bytes + this.#addedBytes + addedBytes > STATE_BYTES_MAX) {
      const message = `The vault holds ${formatBytes(this.#state.bytes)} of at most ${formatBytes(STATE_BYTES_MAX)}: delete what is no longer needed`
      throw new StorageError('P2P_STORAGE_FULL', message, { bytes: this.#state.bytes, bytesMax: STATE_BYTES_MAX })
    }
    this.#addedBytes += addedBytes
  }
}

export function leaseUnknown(leaseId: string): StorageError {
  return new StorageError('P2P_STORAGE_LEASE_UNKNOWN', `Lease ${leaseId} has ended; grant a new one`, { leaseId })
}

/**
 * The transaction as the vault's own copy: what the caller does to its arrays later does not matter.
 * @throws {StorageError} P2P_STORAGE_KEY_INVALID, P2P_STORAGE_VALUE_TOO_LARGE
 */
export function checkedTransaction(transaction: Transaction): { transaction: Transaction; bytes: number } {
  const compares = (transaction.compares ?? []).map(({ key, revision }) => ({ key, revision }))
  if (transaction.operations.length + compares.length > TRANSACTION_OPERATIONS_MAX) {
    throw tooLarge(`A transaction takes at most ${TRANSACTION_OPERATIONS_MAX} operations and compares`)
  }
  const keys = new Set<string>()
  for (const { key } of compares) checkKey(key)
  const operations = transaction.operations.map((operation): Operation => {
    checkKey(operation.key)
    if (keys.has(operation.key)) throw keyInvalid(operation.key, 'is changed twice in one transaction')
    keys.add(operation.key)
    if (operation.type === 'delete') return { type: 'delete', key: operation.key }
    if (operation.value.byteLength > VALUE_BYTES_MAX) {
      throw tooLarge(
        `${operation.key}: ${formatBytes(operation.value.byteLength)}, at most ${formatBytes(VALUE_BYTES_MAX)}`,
      )
    }
    return { ...operation, value: new Uint8Array(operation.value) }
  })
  const bytes = operations.reduce((sum, operation) => sum + changeBytes(toChange(operation)), 0)
  if (bytes > TRANSACTION_BYTES_MAX) {
    throw tooLarge(`A transaction takes at most ${formatBytes(TRANSACTION_BYTES_MAX)}: split it`)
  }
  return { transaction: { compares, operations }, bytes }
}

/** @throws {StorageError} P2P_STORAGE_KEY_INVALID */
function checkKey(key: string): void {
  if (key.length === 0) throw keyInvalid(key, 'is empty')
  if (!key.isWellFormed()) throw keyInvalid(key.toWellFormed(), 'is not valid Unicode')
  if (new TextEncoder().encode(key).byteLength > KEY_BYTES_MAX)
    throw keyInvalid(key, `is longer than ${KEY_BYTES_MAX} bytes`)
}

function keyInvalid(key: string, reason: string): StorageError {
  const shown = key.slice(0, 80)
  return new StorageError('P2P_STORAGE_KEY_INVALID', `Key "${shown}" ${reason}`, { key: shown })
}

function tooLarge(message: string): StorageError {
  return new StorageError('P2P_STORAGE_VALUE_TOO_LARGE', message)
}

function toChange(operation: Operation): Change {
  return operation
}
