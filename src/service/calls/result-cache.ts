import { hash } from 'node:crypto'

/**
 * Keeps results of methods that allow it (`cache/` has one). Must never fail a call: where the cache is out of order
 * it computes. Concurrent callers of one key share one computation.
 */
export interface ResultCache {
  /** @param compute its value is JSON; a rejection is not kept and reaches every caller who waits for it */
  getOrCompute(scope: string, key: string, ttlMs: number, compute: () => Promise<unknown>): Promise<unknown>
}

export const RESULT_SCOPE = 'rpc'

/** Deeper parameters are not cached; also ends a cycle. */
const DEPTH_MAX = 32

/**
 * The key of one call: the node is part of it, because the same method answers differently elsewhere, and so is the
 * version of the service. No parameters are the same as none by name.
 * @returns undefined when the parameters are not plain JSON: such a call is not cached
 */
export function resultKey(nodeId: string, method: string, version: string, params: unknown): string | undefined {
  const json = canonicalJson(params ?? {}, 0)
  return json === undefined ? undefined : `${nodeId}/${method}@${version}?${hash('sha256', json, 'base64url')}`
}

/** JSON with sorted keys, so that equal parameters give equal texts. */
function canonicalJson(value: unknown, depth: number): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : undefined
  if (typeof value !== 'object' || depth > DEPTH_MAX) return undefined
  if (Array.isArray(value))
    return joined(
      '[',
      value.map((item: unknown) => canonicalJson(item, depth + 1)),
      ']',
    )
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return undefined
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => {
      const json = canonicalJson(item, depth + 1)
      return json && `${JSON.stringify(key)}:${json}`
    })
  return joined('{', members, '}')
}

function joined(open: string, parts: (string | undefined)[], close: string): string | undefined {
  return parts.includes(undefined) ? undefined : `${open}${parts.join(',')}${close}`
}
