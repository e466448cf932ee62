/** A text that a store holds, and how much longer it may be used. */
export interface StoredText {
  text: string
  ttlMs: number
}

/**
 * Where a cache keeps its texts. No method rejects: a store that cannot reach its server knows nothing and sees to
 * it that what it could not write or remove is not seen again.
 */
export interface Store {
  readonly kind: 'memory' | 'redis' | 'two-level'
  start(): Promise<void>
  stop(): Promise<void>
  read(address: string): Promise<StoredText | undefined> | StoredText | undefined
  write(address: string, text: string, ttlMs: number): Promise<void> | void
  remove(address: string): Promise<void> | void
  /** Removes every entry whose address begins with `prefix` (no glob characters). */
  removeAll(prefix: string): Promise<void> | void
  /** What this node holds in memory. */
  size(): { entries: number; bytes: number }
  /** The server behind it, if there is one. */
  server(): { server: string; isReady: boolean } | undefined
}
