import type { FileHandle } from 'node:fs/promises'
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { constants } from 'node:fs'
import { platform } from 'node:process'
import type { Files, OpenFile, OpenMode } from '../base/files.ts'
import { systemCode } from '../base/system-failure.ts'
import { acquireFileLock } from './file-lock.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

const OPEN_FLAGS: Record<OpenMode, number> = {
  r: constants.O_RDONLY,
  rw: constants.O_RDWR | constants.O_CREAT,
  wx: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
}

/** The real disk, by node:fs/promises. Errors are Node's, unchanged. Replaces nothing silently but on `rename`. */
export const systemFiles: Files = {
  open: async (path, mode) => new SystemFile(await open(path, OPEN_FLAGS[mode], FILE_MODE)),
  readFile: (path) => readFile(path),
  async facts(path) {
    try {
      const { size, mode, mtimeMs } = await stat(path)
      return { sizeBytes: size, mode: platform === 'win32' ? FILE_MODE : mode & 0o777, modifiedMs: mtimeMs }
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  },
  list: (directory) => readdir(directory),
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path),
  removeTree: (path) => rm(path, { recursive: true, force: true }),
  async setMode(path, mode) {
    if (platform !== 'win32') await chmod(path, mode)
  },
  async syncDirectory(path) {
    // Windows has no fsync of a directory; NTFS journals the entries itself.
    if (platform === 'win32') return
    const directory = await open(path, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  },
  lock: acquireFileLock,
}

class SystemFile implements OpenFile {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.alloc(length)
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(bytes, filled, length - filled, offset + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return bytes.subarray(0, filled)
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    let written = 0
    while (written < bytes.byteLength) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.byteLength - written, offset + written)
      written += bytesWritten
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length)
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}
