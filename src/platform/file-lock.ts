import { closeSync, openSync } from 'node:fs'
import { systemCode } from '../base/system-failure.ts'

/** SQLITE_BUSY: "another connection holds a conflicting lock" (sqlite.org/rescode.html#busy). */
const SQLITE_BUSY = 5

/**
 * Takes an exclusive lock on the file at `path`, creating it empty (mode 0600). The file serves only as a lock: it
 * stays empty, and stays behind.
 *
 * Node offers no file lock, but the SQLite inside it does: an exclusive transaction on an empty database holds the
 * operating system's own lock on the file (fcntl on POSIX, LockFileEx on Windows), which the kernel drops when the
 * process ends in any way, so that there is never a stale lock to judge. SQLite also keeps the openers inside one
 * process apart, which fcntl alone does not. Unlike a socket's name the lock reaches across network namespaces and
 * containers that share the volume, and no other user can take it without write access to the file.
 *
 * Nothing else in the process may open this file: closing any descriptor of it would drop the lock (POSIX fcntl).
 * @returns a release function (idempotent), or undefined when another live process or another opener here holds it
 * @throws Node's system errors when the file cannot be created; an Error of node:sqlite when it cannot be locked
 */
export async function acquireFileLock(path: string): Promise<(() => Promise<void>) | undefined> {
  // Loaded late: most commands never lock anything.
  const { DatabaseSync } = await import('node:sqlite')
  createPrivately(path)
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return undefined
    throw error
  }
  return async () => {
    if (database.isOpen) database.close()
  }
}

/** Opens only a file that it makes, and closes it in the same breath: see above for what closing can do. */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
}
