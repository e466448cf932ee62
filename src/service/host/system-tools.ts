import { spawn } from 'node:child_process'
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { delimiter, isAbsolute, join, resolve, sep } from 'node:path'

/**
 * Where a command is, as a shell would find it.
 * @param folder what relative paths begin at
 */
export function findCommand(command: string, folder: string, path = process.env['PATH'] ?? ''): string | undefined {
  const isPath = command.includes('/') || command.includes(sep)
  const places = isPath
    ? [resolve(folder, command)]
    : path.split(delimiter).map((directory) => join(directory, command))
  const extensions = process.platform === 'win32' ? ['', '.exe', '.cmd', '.bat'] : ['']
  return places
    .flatMap((place) => extensions.map((extension) => place + extension))
    .find((place) => isAbsolute(place) && isProgram(place))
}

/** The file of a command, and where its name leads to it from elsewhere. */
export function filesOf(command: string): string[] {
  return [...new Set([realpathSync(command), command])]
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Programs of Linux that hold a service's process back. Each is looked for once. */
export interface SystemTools {
  /** Path of `setpriv`, which lets a process die with its parent (util-linux). */
  readonly setpriv: string | undefined
  /** Path of `bwrap` (bubblewrap), where it can make a sandbox. */
  readonly bwrap: string | undefined
}

let found: Promise<SystemTools> | undefined

export function systemTools(): Promise<SystemTools> {
  found ??= findTools()
  return found
}

async function findTools(): Promise<SystemTools> {
  if (process.platform !== 'linux') return { setpriv: undefined, bwrap: undefined }
  const setpriv = findCommand('setpriv', '/')
  const bwrap = findCommand('bwrap', '/')
  // BusyBox has a setpriv without the option; a kernel or container may forbid sandboxes.
  const [canSetpriv, canSandbox] = await Promise.all([
    setpriv !== undefined && succeeds(setpriv, ['--pdeathsig', 'KILL', 'true']),
    bwrap !== undefined && succeeds(bwrap, ['--ro-bind', '/', '/', '--proc', '/proc', '--unshare-pid', 'true']),
  ])
  return {
    setpriv: canSetpriv ? setpriv : undefined,
    bwrap: canSandbox ? realpathSync(bwrap as string) : undefined,
  }
}

function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((answer) => {
    const child = spawn(command, args, { stdio: 'ignore' })
    child.once('error', () => answer(false))
    child.once('exit', (code) => answer(code === 0))
  })
}
