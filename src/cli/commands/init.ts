import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { CliError } from '../../base/errors.ts'
import { isServiceName } from '../../service/index.ts'
import { linkProgram } from '../develop/link-program.ts'
import { programFolder } from '../develop/program-folder.ts'
import type { CliHost } from '../host.ts'
import { styler } from '../output/style.ts'

const SUFFIX = '.template'

/** `p2p init NAME`: writes the folder of a service that runs and is tested. */
export async function init(host: CliHost, name: string, flags: { directory?: string; class?: boolean }): Promise<void> {
  if (!isServiceName(name)) throw badName(name)
  const folder = resolve(host.workingDirectory, flags.directory ?? name)
  refuseUsed(folder, flags.directory ?? name)
  const templates = ['service', ...(flags.class === true ? ['service-class'] : [])]
  const files = new Map(templates.flatMap((template) => readTemplate(join(programFolder(), 'templates', template))))
  mkdirSync(folder, { recursive: true })
  for (const [file, text] of files) writeFileSync(join(folder, file), filledIn(text, name))
  const hasNodeTypes = linkProgram(folder)
  const style = styler(host.talk, host.environment)
  const path = relative(host.workingDirectory, folder) || '.'
  const shown = /^[\w./:\\-]+$/.test(path) ? path : `"${path}"`
  host.talk.write(`Wrote ${shown}: ${[...files.keys()].sort().join(', ')}
${hasNodeTypes ? '' : `For an editor, the types of Node.js: npm install --save-dev @types/node, in ${shown}\n`}Next:
  ${style('cyan', `p2p test ${shown}`)}      run its tests
  ${style('cyan', `p2p dev ${shown}`)}       run it, and load it anew at every save
  ${style('cyan', `p2p deploy ${shown}`)}    run it in a cluster
`)
}

/** Contents by the name of the file. npm would leave a file out that is called `.gitignore`, so its template has no dot. */
function readTemplate(directory: string): [string, string][] {
  return readdirSync(directory).map((file) => {
    const name = basename(file, SUFFIX)
    return [name === 'gitignore' ? '.gitignore' : name, readFileSync(join(directory, file), 'utf8')]
  })
}

function filledIn(text: string, name: string): string {
  // Names of packages have no capitals.
  return text.replaceAll('{{name}}', name).replaceAll('{{package}}', name.toLowerCase())
}

/** @throws {CliError} P2P_CLI_USAGE: there is something already */
function refuseUsed(folder: string, shown: string): void {
  const found = statSync(folder, { throwIfNoEntry: false })
  if (found && !found.isDirectory())
    throw new CliError('P2P_CLI_USAGE', `${shown} is a file; choose another --directory`)
  if (found && readdirSync(folder).length > 0) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `${shown} is not empty, and nothing in it was touched; choose another --directory`,
    )
  }
  const parent = statSync(dirname(folder), { throwIfNoEntry: false })
  if (parent && !parent.isDirectory()) throw new CliError('P2P_CLI_USAGE', `${dirname(folder)} is no folder`)
}

function badName(name: string): CliError {
  const near = name
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^A-Za-z0-9_]+/g, '-')
    .replaceAll(/^[^A-Za-z]+|-+$/g, '')
    .slice(0, 63)
  const suggestion = isServiceName(near) ? `; for instance ${near}` : ''
  return new CliError(
    'P2P_CLI_USAGE',
    `"${name}" is no name of a service: 1 to 63 letters, digits, "_" or "-", beginning with a letter${suggestion}`,
  )
}
