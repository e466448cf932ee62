import { createHash } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RpcError } from '../../base/errors.ts'

/** A file system in memory: what is written there is on no disk. */
const MEMORY_DIRECTORY = '/dev/shm'

/** Files of a program, made of its manifest's `exec.files`: in memory, read by the node's user alone, and gone with the run. */
export class ProgramFiles {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** @throws {RpcError} P2P_SERVICE_LOAD_FAILED: this machine has no file system in memory */
  static async create(stateDirectory: string): Promise<ProgramFiles> {
    try {
      accessSync(MEMORY_DIRECTORY, constants.W_OK)
    } catch {
      const message = `exec.files: this machine has no ${MEMORY_DIRECTORY} to keep them in memory: use exec.env, without "reload": "signal"`
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', message)
    }
    return new ProgramFiles(await mkdtemp(join(MEMORY_DIRECTORY, prefixOf(stateDirectory))))
  }

  /** Ends what an earlier life of this node has left. */
  static async sweep(stateDirectory: string): Promise<void> {
    const names = await readdir(MEMORY_DIRECTORY).catch(() => [])
    const left = names.filter((name) => name.startsWith(prefixOf(stateDirectory)))
    // Whoever else makes such a name keeps it: only one's own can be removed there.
    await Promise.allSettled(left.map((name) => rm(join(MEMORY_DIRECTORY, name), { recursive: true, force: true })))
  }

  pathOf(name: string): string {
    return join(this.directory, name)
  }

  /** Each file is replaced in one step. */
  async write(texts: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(texts)) {
      const fresh = this.pathOf(`.${name}.new`)
      await writeFile(fresh, text, { mode: 0o600 })
      await rename(fresh, this.pathOf(name))
    }
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}

function prefixOf(stateDirectory: string): string {
  return `p2p-core-${createHash('sha256').update(stateDirectory).digest('hex').slice(0, 16)}-`
}
