import { existsSync, lstatSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { programFolder } from './program-folder.ts'

/**
 * Lets the service in `folder` import this program as `p2p-core`, in an editor and in tests, without installation: links in its
 * `node_modules`. What was installed there by somebody else is left as it is.
 * @returns whether the types of Node.js, too, are there for an editor
 */
export function linkProgram(folder: string): boolean {
  const program = programFolder()
  link(program, join(folder, 'node_modules/p2p-core'))
  const types = [join(program, 'node_modules/@types/node'), join(program, '../@types/node')].find(existsSync)
  if (types !== undefined) link(types, join(folder, 'node_modules/@types/node'))
  return types !== undefined
}

function link(target: string, path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found && !found.isSymbolicLink()) return
  if (found && existsSync(path) && realpathSync(path) === realpathSync(target)) return
  rmSync(path, { force: true })
  mkdirSync(dirname(path), { recursive: true })
  // A junction needs no special right on Windows.
  symlinkSync(realpathSync(target), path, 'junction')
}
