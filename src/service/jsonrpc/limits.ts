/** What one JSON-RPC body may hold. */
export const RPC_LIMITS = {
  /** Bytes of a body: 1 MiB. */
  bodyBytesMax: 1_048_576,
  /** Objects and arrays inside one another. */
  depthMax: 32,
  /** Entries of a batch. */
  batchMax: 50,
} as const
