import { assertNever } from '../../base/assert.ts'
import type { ChangeEvent, Entry } from '../../base/control-store.ts'
import type { Change, Commit, SnapshotHead, StoredEntry, StoredLease } from './records.ts'
import { SortedKeys } from './sorted-keys.ts'

interface Lease {
  ttlMs: number
  keys: Set<string>
}

/**
 * The stored keys and leases at one revision, in memory. Commits are applied in order and always give the same
 * result, so that replaying the journal rebuilds exactly what was acknowledged.
 */
export class VaultState {
  readonly #entries = new Map<string, StoredEntry>()
  readonly #keys = new SortedKeys()
  readonly #leases = new Map<string, Lease>()
  #revision = 0
  #bytes = 0

  get revision(): number {
    return this.#revision
  }

  /** Number of keys. */
  get size(): number {
    return this.#entries.size
  }

  /** Bytes of all keys and values. */
  get bytes(): number {
    return this.#bytes
  }

  get leaseCount(): number {
    return this.#leases.size
  }

  get(key: string): StoredEntry | undefined {
    return this.#entries.get(key)
  }

  /** Entries whose key begins with `prefix`, in key order. The state must not change meanwhile. */
  *range(prefix: string): Generator<StoredEntry, void, undefined> {
    for (const key of this.#keys.withPrefix(prefix)) yield this.#entries.get(key) as StoredEntry
  }

  hasLease(leaseId: string): boolean {
    return this.#leases.has(leaseId)
  }

  leases(): StoredLease[] {
    return [...this.#leases].map(([leaseId, { ttlMs }]) => ({ leaseId, ttlMs }))
  }

  /** Begins from a snapshot: to be called once, on a fresh state, before its entries are restored. */
  restoreHead(head: SnapshotHead): void {
    this.#revision = head.revision
    for (const { leaseId, ttlMs } of head.leases) this.#leases.set(leaseId, { ttlMs, keys: new Set() })
  }

  /** @throws {RangeError} the entry contradicts what was restored before */
  restoreEntry(entry: StoredEntry): void {
    if (this.#entries.has(entry.key)) throw new RangeError('a key occurs twice in the snapshot')
    if (entry.revision > this.#revision) throw new RangeError('an entry is newer than its snapshot')
    this.#set(entry)
  }

  /**
   * Moves to the commit's revision.
   * @returns what watchers are told; a key deleted and never there makes no event
   * @throws {RangeError} the commit does not follow on this state
   */
  apply(commit: Commit): ChangeEvent[] {
    if (commit.revision !== this.#revision + 1) {
      throw new RangeError(`revision ${commit.revision} cannot follow ${this.#revision}`)
    }
    this.#revision = commit.revision
    return commit.changes.flatMap((change) => this.#change(change))
  }

  #change(change: Change): ChangeEvent[] {
    switch (change.type) {
      case 'put':
        return [{ type: 'put', entry: this.#put(change.key, change.value, change.leaseId) }]
      case 'delete':
        return this.#delete(change.key) ? [{ type: 'delete', key: change.key, revision: this.#revision }] : []
      case 'grant':
        this.#leases.set(change.leaseId, { ttlMs: change.ttlMs, keys: new Set() })
        return []
      case 'end':
        return this.#endLease(change.leaseId)
      default:
        return assertNever(change)
    }
  }

  #put(key: string, value: Uint8Array, leaseId: string | undefined): Entry {
    const previous = this.#entries.get(key)
    const entry: StoredEntry = {
      key,
      value,
      createRevision: previous?.createRevision ?? this.#revision,
      revision: this.#revision,
      version: (previous?.version ?? 0) + 1,
    }
    if (leaseId !== undefined) entry.leaseId = leaseId
    if (previous) this.#forget(previous)
    else this.#keys.add(key)
    this.#remember(entry)
    return entry
  }

  #set(entry: StoredEntry): void {
    this.#keys.add(entry.key)
    this.#remember(entry)
  }

  #delete(key: string): boolean {
    const entry = this.#entries.get(key)
    if (!entry) return false
    this.#forget(entry)
    this.#keys.delete(key)
    return true
  }

  #endLease(leaseId: string): ChangeEvent[] {
    const keys = this.#leases.get(leaseId)?.keys ?? []
    this.#leases.delete(leaseId)
    return [...keys].map((key) => {
      this.#delete(key)
      return { type: 'delete', key, revision: this.#revision }
    })
  }

  #remember(entry: StoredEntry): void {
    if (entry.leaseId !== undefined) {
      const lease = this.#leases.get(entry.leaseId)
      if (!lease) throw new RangeError('an entry hangs on a lease that does not exist')
      lease.keys.add(entry.key)
    }
    this.#entries.set(entry.key, entry)
    this.#bytes += entryBytes(entry)
  }

  #forget(entry: StoredEntry): void {
    if (entry.leaseId !== undefined) this.#leases.get(entry.leaseId)?.keys.delete(entry.key)
    this.#entries.delete(entry.key)
    this.#bytes -= entryBytes(entry)
  }
}

function entryBytes(entry: Entry): number {
  return entry.key.length + entry.value.byteLength
}
