import { join } from 'node:path'
import type { Files } from '../../base/files.ts'

/** The source comes first: it is what its author edits; what was built has no source beside it. */
const MAIN_FILES = ['main.ts', 'main.js'] as const

/** Path of the module a service begins with; undefined where there is none. */
export async function findMain(files: Files, folder: string): Promise<string | undefined> {
  for (const name of MAIN_FILES) {
    const path = join(folder, name)
    // The entry may be a file, as the plot is: then what is asked for below it is an error, not an absence.
    if (await files.facts(path).catch(() => undefined)) return path
  }
  return undefined
}
