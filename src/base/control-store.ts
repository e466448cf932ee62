/** One stored value. `revision` is the store's revision at its last change, `version` counts changes of this key from 1. */
export interface Entry {
  key: string
  value: Uint8Array
  createRevision: number
  revision: number
  version: number
}

/** Holds when the key's last change has exactly this revision; 0 means the key must not exist. */
export interface Compare {
  key: string
  revision: number
}

export type Operation =
  | { type: 'put'; key: string; value: Uint8Array; leaseId?: string }
  | { type: 'delete'; key: string }

export interface Transaction {
  compares?: Compare[]
  operations: Operation[]
}

/** `succeeded` false: a compare did not hold and nothing was written; `revision` is then the current one. */
export interface TransactionResult {
  succeeded: boolean
  revision: number
}

export type ChangeEvent = { type: 'put'; entry: Entry } | { type: 'delete'; key: string; revision: number }

/**
 * What must not be lost: certificates issued, tokens, users, desired state. The vault implements it
 * for one coordinator; an external engine with the same semantics (etcd's) can take its place.
 * Keys are UTF-8 paths of at most 512 bytes such as `pki/issued/01ab…`, values at most 1 MiB.
 */
export interface ControlStore {
  /** The revision of the last commit; it only grows, by one a commit. */
  readonly revision: number
  get(key: string): Promise<Entry | undefined>
  /** All entries whose key begins with `prefix`, in key order. */
  range(prefix: string, limit?: number): Promise<Entry[]>
  /**
   * Applies all operations or none; resolves once they are durable.
   * @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_CLOSED, P2P_STORAGE_FAILED, P2P_STORAGE_VALUE_TOO_LARGE
   */
  transact(transaction: Transaction): Promise<TransactionResult>
  /**
   * Every change under `prefix` from `fromRevision` on (default: from now), in order, until the signal aborts.
   * @throws {StorageError} P2P_STORAGE_COMPACTED when `fromRevision` is older than what is kept
   */
  watch(prefix: string, options: { fromRevision?: number; signal: AbortSignal }): AsyncIterable<ChangeEvent>
  /** Keys put with this lease are deleted when it has not been kept alive for `ttlMs`. */
  grantLease(ttlMs: number): Promise<string>
  /** @throws {StorageError} P2P_STORAGE_LEASE_UNKNOWN when the lease has ended */
  keepAlive(leaseId: string): Promise<void>
  revokeLease(leaseId: string): Promise<void>
}

/** Puts without a condition. */
export async function put(store: ControlStore, key: string, value: Uint8Array): Promise<number> {
  return (await store.transact({ operations: [{ type: 'put', key, value }] })).revision
}

const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder()

/** The stored JSON under `key`, or undefined. What is in the store was written by us: it is trusted to have its type. */
export async function getJson<T>(store: ControlStore, key: string): Promise<T | undefined> {
  const entry = await store.get(key)
  return entry && (JSON.parse(utf8Decoder.decode(entry.value)) as T)
}

/** A value as the bytes {@link getJson} reads. */
export function jsonValue(value: unknown): Uint8Array {
  return utf8Encoder.encode(JSON.stringify(value))
}
