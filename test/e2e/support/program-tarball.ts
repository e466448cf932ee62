import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../../..')

/** What of the built tree makes the program; the rest of the package is for people and compilers. */
const LEFT_OUT = ['dist/types', 'dist/services', 'dist/assets']

/** An installation of the built tree in `directory`, with the packages of the clone. @returns its `p2p` */
export function installProgram(directory: string): string {
  copyProgram(directory)
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'), 'dir')
  return join(directory, 'bin/p2p.cjs')
}

/**
 * Packs the built tree with another version, as npm does.
 * @param change makes it differ in more than the version
 * @returns the tarball
 */
export async function packProgramAs(
  version: string,
  directory: string,
  change: (folder: string) => void = () => {},
): Promise<string> {
  copyProgram(directory)
  const about = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ ...about, version }))
  let places = 0
  for (const name of readdirSync(join(directory, 'dist'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue
    const file = join(directory, 'dist', name)
    const text = readFileSync(file, 'utf8')
    const changed = text.replaceAll(`VERSION="${about.version}"`, `VERSION="${version}"`)
    if (changed === text) continue
    places++
    writeFileSync(file, changed)
  }
  if (places === 0) throw new Error('The built tree does not say its version where it did')
  change(directory)
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', directory], {
    cwd: directory,
    env: { ...process.env, NODE_OPTIONS: '', npm_config_loglevel: 'error' },
  })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  return join(directory, filename)
}

function copyProgram(directory: string): void {
  mkdirSync(directory, { recursive: true })
  for (const name of ['package.json', 'bin/p2p.cjs', 'dist']) {
    const from = join(root, name)
    if (!existsSync(from)) continue
    cpSync(from, join(directory, name), {
      recursive: true,
      filter: (path) => !LEFT_OUT.includes(relative(root, path).replaceAll('\\', '/')),
    })
  }
}
