import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { utf8 } from '../../base/bytes.ts'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import { VERSION } from '../../base/version.ts'
import { messageWithPlace } from '../definition/module-loader.ts'
import { endTranslating, isModule, needsTranslation, translate } from '../definition/translate.ts'
import { filesBelow } from './files-below.ts'

/** A service with more files of its own brings a build step. */
const MODULES_MAX = 2_000

/** Path of a file → path of what Node can run in its place. */
export type TranslatedFiles = Readonly<Record<string, string>>

/**
 * Translates the files of services once and keeps the result on the disk: a process of a service may start no program, so the node
 * does it; and the next start finds it done.
 */
export class Translations {
  readonly #files: Files
  readonly #log: Logger
  readonly #directory: string
  #work: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** @param directory for the results; made when it is needed */
  constructor(needs: { files: Files; log: Logger }, directory: string) {
    this.#files = needs.files
    this.#log = needs.log
    this.#directory = directory
  }

  /**
   * One folder at a time: instances that start together find the same files.
   * @throws {RpcError} P2P_SERVICE_LOAD_FAILED: `main` cannot be parsed; with line and column
   */
  of(folder: string, main: string): Promise<TranslatedFiles> {
    this.#waiting++
    const work = async (): Promise<TranslatedFiles> => {
      try {
        return await this.#translateAll(realpathSync(folder), realpathSync(main))
      } finally {
        this.#waiting--
        if (this.#waiting === 0) await endTranslating()
      }
    }
    const translated = this.#work.then(work, work)
    this.#work = translated.catch(() => {})
    return translated
  }

  async #translateAll(root: string, realMain: string): Promise<TranslatedFiles> {
    const directory = join(this.#directory, hash(root).slice(0, 16))
    const translated: Record<string, string> = {}
    for (const path of await filesBelow(root, { isWanted: isModule, max: MODULES_MAX })) {
      const source = Buffer.from(await this.#files.readFile(path)).toString('utf8')
      if (!needsTranslation(path, source)) continue
      const result = join(directory, `${hash(`${VERSION}\n${path}\n${source}`)}.mjs`)
      if ((await this.#files.facts(result)) || (await this.#translate(path, source, { root, realMain, result }))) {
        translated[path] = result
      }
    }
    await this.#forgetOthers(directory, new Set(Object.values(translated).map((path) => basename(path))))
    return translated
  }

  /** @returns false for a file that cannot be parsed: perhaps nobody imports it */
  async #translate(
    path: string,
    source: string,
    { root, realMain, result }: { root: string; realMain: string; result: string },
  ): Promise<boolean> {
    let code: string
    try {
      code = await translate(path, source)
    } catch (error) {
      const reason = messageWithPlace(error, root)
      if (path === realMain) throw new RpcError('P2P_SERVICE_LOAD_FAILED', reason, {}, { cause: error })
      this.#log.warning('A file of a service cannot be parsed', { file: path, reason })
      return false
    }
    await this.#files.makeDirectory(dirname(result))
    const temporary = `${result}.new`
    await this.#files.remove(temporary).catch(() => {})
    const file = await this.#files.open(temporary, 'wx')
    try {
      await file.write(0, utf8(code))
    } finally {
      await file.close()
    }
    await this.#files.rename(temporary, result)
    return true
  }

  async #forgetOthers(directory: string, kept: ReadonlySet<string>): Promise<void> {
    const present = await this.#files.list(directory).catch(() => [])
    const others = present.filter((name) => !kept.has(name))
    await Promise.all(others.map((name) => this.#files.remove(join(directory, name)).catch(() => {})))
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
