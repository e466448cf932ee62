import { join } from 'node:path'
import type { Files, OpenFile } from '../../base/files.ts'
import { foldersOf } from './entry-name.ts'

/** Files whose sync is awaited at once: a disk does many in the time of one. */
const SYNCS_MAX = 16

const MODE = 0o400
const EXECUTABLE_MODE = 0o500

/** Writes files below a folder that it makes: each is new, read-only and on the disk once {@link finish} has resolved. */
export class FolderWriter {
  readonly #files: Files
  readonly #folder: string
  readonly #directories = new Set<string>()
  #syncs: Promise<void>[] = []

  constructor(files: Files, folder: string) {
    this.#files = files
    this.#folder = folder
  }

  /** Makes all folders that these files need. */
  async makeFolders(paths: readonly string[]): Promise<void> {
    for (const path of paths) for (const folder of foldersOf(path)) this.#directories.add(folder)
    await this.#files.makeDirectory(this.#folder)
    for (const directory of this.#directories) await this.#files.makeDirectory(join(this.#folder, directory))
  }

  async write(path: string, content: AsyncIterable<Uint8Array>, isExecutable: boolean): Promise<void> {
    const absolute = join(this.#folder, path)
    const file = await this.#files.open(absolute, 'wx')
    try {
      let offset = 0
      for await (const part of content) {
        await file.write(offset, part)
        offset += part.byteLength
      }
    } catch (error) {
      await file.close()
      throw error
    }
    const sync = this.#seal(absolute, file, isExecutable ? EXECUTABLE_MODE : MODE)
    // A failure is told by whoever awaits them all; until then it must not count as unhandled.
    sync.catch(() => {})
    this.#syncs.push(sync)
    if (this.#syncs.length >= SYNCS_MAX) await this.#awaitSyncs()
  }

  /** Resolves when everything is on the disk. */
  async finish(): Promise<void> {
    await this.#awaitSyncs()
    for (const directory of this.#directories) await this.#files.syncDirectory(join(this.#folder, directory))
    await this.#files.syncDirectory(this.#folder)
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    await Promise.allSettled(this.#syncs)
    await this.#files.removeTree(this.#folder)
  }

  async #awaitSyncs(): Promise<void> {
    const syncs = this.#syncs
    this.#syncs = []
    const failed = (await Promise.allSettled(syncs)).find((result) => result.status === 'rejected')
    if (failed) throw failed.reason
  }

  async #seal(path: string, file: OpenFile, mode: number): Promise<void> {
    try {
      await file.sync()
      await this.#files.setMode(path, mode)
    } finally {
      await file.close()
    }
  }
}
