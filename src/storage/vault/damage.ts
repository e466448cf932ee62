import { StorageError } from '../../base/errors.ts'

/** Where in which file something is not as it was written. */
export interface DamagePlace {
  path: string
  /** Bytes from the start of the file. */
  offset: number
}

/** The vault is damaged or was tampered with; says where and names the ways back. */
export function damaged(
  place: DamagePlace,
  what: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): StorageError {
  const { path, offset } = place
  const message =
    `${path} is damaged at byte ${offset}: ${what}. Nothing was changed. ` +
    `Look with "p2p storage verify"; then "p2p storage restore" from a backup or from ${previousPath(path)}, ` +
    'or "p2p storage repair --to-seq" to keep what precedes the damage'
  return new StorageError('P2P_STORAGE_DAMAGED', message, { path, offset, ...details }, { cause })
}

/** The generation before the current one: kept until the next snapshot replaces it. */
export function previousPath(path: string): string {
  return `${path}.previous`
}

/** A generation being written; it takes the vault's place once it is complete, verified and durable. */
export function nextPath(path: string): string {
  return `${path}.new`
}
