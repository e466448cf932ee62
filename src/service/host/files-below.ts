import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Deeper than any sensible source tree; a directory that is mounted into itself ends here. */
const DEPTH_MAX = 32

/**
 * Paths of the wanted files below a directory, at most `max`. Packages and hidden directories are left out, and links are not
 * followed.
 */
export async function filesBelow(
  directory: string,
  { isWanted, max }: { isWanted: (name: string) => boolean; max: number },
): Promise<string[]> {
  const found: string[] = []
  const look = async (path: string, depth: number): Promise<void> => {
    if (depth > DEPTH_MAX) return
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (found.length >= max) return
      if (entry.isFile() && isWanted(entry.name)) found.push(join(path, entry.name))
      else if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.')) {
        await look(join(path, entry.name), depth + 1)
      }
    }
  }
  await look(directory, 0)
  return found
}
