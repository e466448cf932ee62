import type { Unlock } from '../context/index.ts'

/** Which vault, and what opens it. Paths are absolute. */
export interface StorageAccess {
  storagePath: string
  plotFile: string
  unlock: Unlock
}

/** What a check of every record found. */
export interface StorageCheck {
  /** Sequence number of the last whole commit. */
  sequence: number
  entries: number
  sizeBytes: number
  /** Bytes of a commit that was being written when the process died; cut off at the next start, nothing acknowledged is lost. */
  tornBytes: number
}

export interface StorageEntry {
  key: string
  sizeBytes: number
  revision: number
}

/** What an archive of the Python program gave. */
export interface ImportReport {
  imported: { from: string; to: string; sizeBytes: number }[]
  /** Of a vault that was made for it. */
  recoveryKey: string | undefined
}

export interface PlotFacts {
  path: string
  sizeBytes: number
  /** Who may read it, for instance `0600`. */
  mode: string
  /** Of the plot's pattern: tells two plots apart without telling anything of them. SHA-256, 16 hex digits. */
  fingerprint: string
}

/** What a backup holds. */
export interface BackupFacts {
  /** The last commit in it. */
  revision: number
  entries: number
  sizeBytes: number
  /** Wall time: whatever the node acknowledged until then is in it. */
  asOfMs: number
}

/** Work on a vault or plot. `verify`, `list` and `backup` work beside a running node, the rest is refused then. All methods throw StorageError. */
export interface StorageTools {
  verify(access: StorageAccess): Promise<StorageCheck>
  /** Cuts everything after the commit `toSequence`. */
  repair(access: StorageAccess, toSequence: number): Promise<StorageCheck>
  list(access: StorageAccess, prefix: string): Promise<StorageEntry[]>
  /** Writes a copy, as encrypted as the vault, to a new file. */
  backup(access: StorageAccess, file: string): Promise<BackupFacts>
  /** Makes the vault from a backup; refuses where one exists. */
  restore(access: StorageAccess, file: string): Promise<StorageCheck>
  /** Changes what opens the vault; no data is re-encrypted. @returns the new recovery key when one was asked for */
  rekey(access: StorageAccess, next: NewKey): Promise<string | undefined>
  /** Reads an archive of the Python program into the vault, which is made where there is none. */
  importArchive(
    access: StorageAccess,
    archive: { file: string; unlock: Unlock; plotFile: string },
  ): Promise<ImportReport>
  /** Makes a plot; refuses where there is one. `onProgress` gets 0 to 1. */
  generatePlot(
    file: string,
    onProgress: (fraction: number, text: string) => void,
    signal: AbortSignal,
  ): Promise<PlotFacts>
  plotInfo(file: string): Promise<PlotFacts>
}

/** What opens the vault from now on: another plot, another password, or a new recovery key beside what there is. */
export type NewKey = { kind: 'plot'; plotFile: string } | { kind: 'password'; password: string } | { kind: 'recovery' }
