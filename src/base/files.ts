/** An open file. Offsets and lengths are bytes. */
export interface OpenFile {
  /** Reads up to `length` bytes at `offset`; fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Writes all of `bytes` at `offset`. Not durable before `sync`. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** Resolves when everything written is on stable storage (fdatasync). Must not be retried after a failure. */
  sync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** `rw` opens or creates (mode 0600); `wx` creates and fails with EEXIST when the file is there. */
export type OpenMode = 'r' | 'rw' | 'wx'

/** What a file's metadata tells. `mode` holds the permission bits; on Windows it is always 0o600. */
export interface FileFacts {
  sizeBytes: number
  mode: number
  modifiedMs: number
}

/**
 * The disk as the storage layer sees it; the simulator has one that loses what was not synced.
 * Failures are Node's system errors (`code` ENOENT, EEXIST, ENOSPC, EACCES …), unchanged.
 */
export interface Files {
  open(path: string, mode: OpenMode): Promise<OpenFile>
  readFile(path: string): Promise<Uint8Array>
  facts(path: string): Promise<FileFacts | undefined>
  list(directory: string): Promise<string[]>
  /** Creates the directory and its parents with mode 0700. */
  makeDirectory(path: string): Promise<void>
  /** A file, which takes the place of one that is there, or a directory with all that is in it. */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Removes the directory with all that is in it, or the file; nothing when it is not there. Not atomic. */
  removeTree(path: string): Promise<void>
  /** Sets a file's permission bits. Nothing on Windows. */
  setMode(path: string, mode: number): Promise<void>
  /** Makes creations, renames and removals inside the directory durable. */
  syncDirectory(path: string): Promise<void>
  /**
   * Takes the exclusive lock named by `path`, which dies with the process that holds it.
   * @returns a release function, or undefined when another live process (or another opener in this one) holds it
   */
  lock(path: string): Promise<(() => Promise<void>) | undefined>
}
