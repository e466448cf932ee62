import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Where this program is installed: the folder of its `package.json`, whether it runs from its sources or as built. */
export function programFolder(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, 'package.json')
    if (existsSync(path) && (JSON.parse(readFileSync(path, 'utf8')) as { name?: unknown }).name === 'p2p-core') {
      return folder
    }
  }
  throw new Error('p2p-core is not complete: its package.json is missing')
}
