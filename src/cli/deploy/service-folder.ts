import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'

export function isFolder(host: CliHost, path: string): boolean {
  return statSync(resolve(host.workingDirectory, path), { throwIfNoEntry: false })?.isDirectory() === true
}

/** @throws {CliError} P2P_CLI_USAGE */
export function requireFolder(host: CliHost, path: string): void {
  if (isFolder(host, path)) return
  throw new CliError(
    'P2P_CLI_USAGE',
    `There is no folder "${path}"; give the one with the service's main.ts or manifest.json`,
  )
}
