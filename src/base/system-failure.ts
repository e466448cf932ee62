import { P2PError, StorageError } from './errors.ts'

/** The `code` of a failure of the operating system: ENOSPC, ENOENT …; undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** No room on the device, or none left of the user's quota there. */
export function isDiskFull(error: unknown): boolean {
  const code = systemCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/**
 * The same error, but ours with the remedy where it is the machine that refuses: a full disk, a place that may not be
 * written, too many open files, a failing disk. For the edges of the program, where a bare `EROFS` would be all that is said.
 * @param place what is named where the error names no path, as those of an open file
 */
export function explained(error: unknown, place: string): unknown {
  if (error instanceof P2PError) return error
  const named = error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : undefined
  const path = named ?? place
  const because = { cause: error }
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StorageError('P2P_STORAGE_FULL', `No room on the disk of ${path}. Free some space`, { path }, because)
    case 'EROFS':
      return new StorageError(
        'P2P_STORAGE_PERMISSIONS',
        `${path} is on a disk that can only be read. Mount it for writing, or choose another place`,
        { path },
        because,
      )
    case 'EACCES':
    case 'EPERM':
      // Of something else than a file: a signal, a port.
      if (named === undefined) return error
      return new StorageError(
        'P2P_STORAGE_PERMISSIONS',
        `This user may not use ${path}. Give it to the user (chown, chmod), or choose another place`,
        { path },
        because,
      )
    case 'EMFILE':
    case 'ENFILE':
      return new StorageError(
        'P2P_STORAGE_FAILED',
        `No more files may be open: ${path} could not be. Raise the limit (ulimit -n, or LimitNOFILE= of the systemd unit)`,
        { path },
        because,
      )
    case 'EIO':
      return new StorageError(
        'P2P_STORAGE_FAILED',
        `The disk of ${path} fails (EIO). Look at the system's log, and move the files to a sound disk`,
        { path },
        because,
      )
    case undefined:
    default:
      return error
  }
}
