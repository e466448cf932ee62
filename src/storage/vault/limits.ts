/** Longest key, in UTF-8 bytes (base/control-store.ts). */
export const KEY_BYTES_MAX = 512
/** Longest value (base/control-store.ts). */
export const VALUE_BYTES_MAX = 1024 * 1024
/** Operations and compares of one transaction, as many as etcd takes by default (its `--max-txn-ops`). */
export const TRANSACTION_OPERATIONS_MAX = 128
/** All keys and values of one transaction; also how much one group commit writes at most. */
export const TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
/** All keys and values together. They are held in memory, so this bounds the process too. */
export const STATE_BYTES_MAX = 256 * 1024 * 1024
/** Leases alive at once. */
export const LEASES_MAX = 10_000
/** Transactions waiting for the disk; beyond it writers are told to come back. */
export const QUEUED_TRANSACTIONS_MAX = 10_000
/** Bytes of the transactions waiting for the disk. */
export const QUEUED_BYTES_MAX = 64 * 1024 * 1024
/** Changes a late watcher can still catch up with. */
export const HISTORY_COMMITS_MAX = 10_000
/** Bytes of those changes. */
export const HISTORY_BYTES_MAX = 16 * 1024 * 1024
/** Body of one frame. A claim in a file is checked against it before anything is allocated. */
export const FRAME_BODY_BYTES_MAX = 8 * 1024 * 1024
/** Plaintext gathered into one record of a snapshot: small enough to encrypt within a millisecond or so. */
export const SNAPSHOT_RECORD_BYTES = 256 * 1024
/** A journal longer than this (and than the snapshot before it) is compacted before its time. */
export const JOURNAL_BYTES_MAX = 64 * 1024 * 1024
