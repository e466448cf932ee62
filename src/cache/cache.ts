/** What a cache can hold: values that JSON can carry. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue }

/** A value longer than this, as UTF-8 JSON, is not kept. */
export const VALUE_BYTES_MAX = 1024 * 1024

export interface CacheStats {
  kind: 'memory' | 'redis' | 'two-level'
  hits: number
  misses: number
  /** What this node holds in memory. */
  entries: number
  bytes: number
  /** Absent when no Redis is configured. */
  redis?: { server: string; isReady: boolean }
}

/**
 * Remembers values for a time; may forget any of them earlier. Keys live in scopes, so that all of a scope can be
 * forgotten at once; scope and key may be any text. Values are copied on the way in and out (JSON). No operation
 * fails or waits long because a server is away: it then works with what this node has in memory.
 */
export interface Cache {
  /** @returns undefined when nothing is known (any more) */
  get(scope: string, key: string): Promise<JsonValue | undefined>
  /**
   * Keeps the value for `ttlMs`. A value of more than 1 MiB is not kept, and what the key held is forgotten.
   * @throws {TypeError} the value is not JSON (a cycle, a bigint)
   */
  set(scope: string, key: string, value: JsonValue, ttlMs: number): Promise<void>
  delete(scope: string, key: string): Promise<void>
  /** Forgets all that the scope held when the call began. */
  clear(scope: string): Promise<void>
  /**
   * The known value, or what `compute` returns, which is then kept for `ttlMs`. Concurrent calls on this node
   * share one computation; its `signal` is aborted when all of its callers have given up. A failure reaches every
   * caller that waits and is not kept; `undefined` is not kept either.
   * @param signal gives up this call's waiting
   * @throws what `compute` throws; the reason of `signal`
   */
  getOrCompute<T>(
    scope: string,
    key: string,
    ttlMs: number,
    compute: (signal: AbortSignal) => Promise<T> | T,
    signal?: AbortSignal,
  ): Promise<T>
  stats(): CacheStats
}
