import { StorageError } from '../../base/errors.ts'

/** Where in which file something is not as it was written. */
export interface DamagePlace {
  path: string
  /** Bytes from the start of the file. */
  offset: number
}

/** The last commit point before a damage in the journal: what a repair can keep. */
export interface LastGood {
  lastGoodSeq: number
  lastGoodRevision: number
}

/**
 * The vault is damaged or was tampered with; says where, and names the ways back.
 * @param lastGood absent when there is no commit point before the damage
 */
export function damaged(place: DamagePlace, what: string, lastGood?: LastGood, cause?: unknown): StorageError {
  const { path, offset } = place
  const repair = lastGood
    ? `, or "p2p storage repair --to-seq ${lastGood.lastGoodSeq}" keeps what precedes it, up to revision ${lastGood.lastGoodRevision}`
    : ''
  const message =
    `${path} is damaged at byte ${offset}: ${what}. Nothing was changed. ` +
    `Ways back: "p2p storage restore" from a backup or from the generation before (.previous)${repair}`
  return new StorageError('P2P_STORAGE_DAMAGED', message, { path, offset, ...lastGood }, { cause })
}

/** The generation before the current one: kept until the next snapshot replaces it. */
export function previousPath(path: string): string {
  return `${path}.previous`
}

/** A generation being written; it takes the vault's place once it is complete, verified and durable. */
export function nextPath(path: string): string {
  return `${path}.new`
}
