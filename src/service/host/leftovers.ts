import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { utf8 } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import { processesWith, statOf } from './linux-processes.ts'

/** In the environment of every process of a service: which instance of which node it belongs to. */
export const MARK_VARIABLE = 'P2P_SERVICE_INSTANCE'
const FILE = 'processes.json'

interface NotedProcess {
  pid: number
  /** When it began, in the system's own words: another process with the same id has another one. */
  began: string
  service: string
}

export interface LeftoversNeeds {
  files: Files
  log: Logger
}

/**
 * Notes on the disk which processes run, so that a node that comes back after it was killed finds what it left behind, and ends
 * it before it starts anything. Where the processes of an instance are killed with the node anyway this finds nothing.
 */
export class Leftovers {
  readonly #needs: LeftoversNeeds
  readonly #directory: string
  readonly #running = new Map<number, NotedProcess>()
  /** Not noted yet. */
  readonly #beginning = new Set<number>()
  #writing: Promise<void> = Promise.resolve()
  #isWriteDue = false

  /** @param directory of this node alone; it names the owner of the processes */
  constructor(needs: LeftoversNeeds, directory: string) {
    this.#needs = needs
    this.#directory = directory
  }

  /** What the processes of an instance have in {@link MARK_VARIABLE}. */
  markOf(instance: string): string {
    return `${this.#directory}#${instance}`
  }

  /** Kills what an earlier life of this node left running. */
  async endAll(): Promise<void> {
    const noted = await this.#read()
    const alive = await Promise.all(noted.map(async (process) => (await beganAt(process.pid)) === process.began))
    for (const { pid, service } of noted.filter((_, i) => alive[i])) this.#kill(-pid, service)
    // A daemon that left the group still has the mark.
    if (process.platform === 'linux') {
      const isOurs = (mark: string): boolean => mark.startsWith(this.markOf(''))
      for (const pid of await processesWith(MARK_VARIABLE, isOurs)) this.#kill(pid, undefined)
    }
    await this.#write()
  }

  /** Kills what an instance left behind: daemons that went out of its group. Only on Linux, where they can be found. */
  async endEscaped(instance: string): Promise<void> {
    if (process.platform !== 'linux') return
    const own = this.markOf(instance)
    for (const pid of await processesWith(MARK_VARIABLE, (mark) => mark === own)) this.#kill(pid, instance)
  }

  async began(pid: number, service: string): Promise<void> {
    this.#beginning.add(pid)
    const began = await beganAt(pid)
    // It may have ended meanwhile.
    if (!this.#beginning.delete(pid) || began === undefined) return
    this.#running.set(pid, { pid, began, service })
    await this.#write()
  }

  async ended(pid: number): Promise<void> {
    this.#beginning.delete(pid)
    if (this.#running.delete(pid)) await this.#write()
  }

  #kill(pid: number, service: string | undefined): void {
    try {
      process.kill(pid, 'SIGKILL')
      this.#needs.log.warning('A process was left behind and was ended', {
        pid: Math.abs(pid),
        ...(service && { service }),
      })
    } catch {
      // It ended by itself meanwhile.
    }
  }

  async #read(): Promise<NotedProcess[]> {
    try {
      const text = Buffer.from(await this.#needs.files.readFile(join(this.#directory, FILE))).toString('utf8')
      return (JSON.parse(text) as NotedProcess[]).filter(({ pid }) => Number.isInteger(pid) && pid > 1)
    } catch {
      return []
    }
  }

  /** Writes that come while one is under way become one. */
  #write(): Promise<void> {
    if (this.#isWriteDue) return this.#writing
    this.#isWriteDue = true
    this.#writing = this.#writing.then(() => {
      this.#isWriteDue = false
      return this.#replaceFile(JSON.stringify([...this.#running.values()]))
    })
    return this.#writing
  }

  async #replaceFile(text: string): Promise<void> {
    const { files, log } = this.#needs
    const path = join(this.#directory, FILE)
    try {
      await files.makeDirectory(this.#directory)
      await files.remove(`${path}.new`).catch(() => {})
      const file = await files.open(`${path}.new`, 'wx')
      try {
        await file.write(0, utf8(text))
      } finally {
        await file.close()
      }
      await files.rename(`${path}.new`, path)
    } catch (error) {
      log.warning('Which processes run could not be noted', { path, reason: messageOf(error) })
    }
  }
}

async function beganAt(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await statOf(pid)
    return stat && String(stat.startTicks)
  }
  if (process.platform === 'win32') return undefined
  const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  return stdout.trim() || undefined
}

const run = promisify(execFile)
