import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { satisfies } from 'semver'
import { DeployError, messageOf } from '../base/errors.ts'
import { VERSION } from '../base/version.ts'
import {
  parsePointer,
  type ProgramControl,
  type ProgramPointer,
  programToStart,
  type ProgramVersion,
} from '../deploy/index.ts'
import { installedPackage, launcherPath, programFolder } from './program-files.ts'

/** Tells bin/p2p.cjs which program to load, by its folder. */
const PROGRAM_VARIABLE = 'P2P_PROGRAM'
/** bin/p2p.cjs tells by it why a program that was not confirmed has ended. */
const FAILURE_VARIABLE = 'P2P_PROGRAM_FAILURE'

/** Unpacked programs, each in a folder named by its digest. Beside it lies the pointer, `program.json`. */
export function programsDirectory(stateDirectory: string): string {
  return join(stateDirectory, 'program')
}

/**
 * Becomes the program that an upgrade of this node has brought, if there is one and this process is not it. Then it does not return:
 * the process, with the same id, begins anew with the other program.
 * @returns for people: why it is not the program they expect
 */
export function becomeChosenProgram(stateDirectory: string): string | undefined {
  const failure = process.env[FAILURE_VARIABLE]
  delete process.env[FAILURE_VARIABLE]
  const path = pointerPath(stateDirectory)
  if (!existsSync(path) || runningDigest(stateDirectory) !== undefined) return undefined
  const pointer = readPointer(path)
  if (!pointer) return `${path} cannot be read: the installed program, ${VERSION}, runs`
  const folder = (digest: string): string => join(resolve(programsDirectory(stateDirectory)), digest)
  const decision = programToStart(pointer, {
    installed: VERSION,
    failure,
    isThere: (digest) => existsSync(join(folder(digest), 'dist', 'p2p.js')),
  })
  if (decision.run && typeof process.execve !== 'function') {
    return `Version ${decision.run.version} cannot be run by Node ${process.versions.node}: the installed program, ${VERSION}, runs`
  }
  if (decision.pointer === undefined) renameSync(path, `${path}.old`)
  else if (decision.pointer !== pointer) writePointer(path, decision.pointer)
  if (!decision.run) return decision.why
  if (decision.why !== undefined) process.stderr.write(`${decision.why}\n`)
  return beginAnew({ [PROGRAM_VARIABLE]: folder(decision.run.digest) })
}

export interface ProgramControlOptions {
  stateDirectory: string
  /** Why this process could not do again what it did at its start; undefined: it could. */
  cannotRestart: string | undefined
  /** The node should stop, for {@link becomeNext} to be called. */
  onRestart: (reason: string) => void
}

/** This process's program, and how it becomes another one. */
export function createProgramControl(options: ProgramControlOptions): ProgramControl {
  const { stateDirectory, cannotRestart, onRestart } = options
  const path = pointerPath(stateDirectory)
  let pointer = existsSync(path) ? readPointer(path) : undefined
  const digest = runningDigest(stateDirectory)
  const running: ProgramVersion | null = digest === undefined ? null : { digest, version: VERSION }
  return {
    running,
    // A program that came by an upgrade was begun by the installed one, which wrote down what it is.
    installed: running && pointer ? pointer.installed : VERSION,
    pointer: () => pointer,
    save(next) {
      writePointer(path, next)
      pointer = next
    },
    requireReplaceable() {
      const why = reasonAgainstReplacing() ?? cannotRestart
      if (why !== undefined) throw new DeployError('P2P_DEPLOY_REFUSED', `This node cannot be upgraded so: ${why}`)
    },
    prepare: (folder) => linkDependencies(folder),
    restart: onRestart,
  }
}

/** The process begins anew with the program that the pointer names: never returns. The node has been stopped. */
export function becomeNext(): never {
  return beginAnew({})
}

function reasonAgainstReplacing(): string | undefined {
  if (typeof process.execve !== 'function') {
    return process.platform === 'win32'
      ? 'on Windows a running program cannot be replaced; stop the node, install the new version with npm, start it'
      : `Node ${process.versions.node} cannot replace a running program; update Node.js, or install the new version with npm`
  }
  // Node closes all other descriptors when it begins anew.
  if (process.channel && channelDescriptor() > 2) {
    return 'the program that started it listens on a channel that would be lost; open it on the standard input (stdio: ["ipc", …])'
  }
  return undefined
}

/** Of the channel to the parent process; the types of Node do not have it. */
function channelDescriptor(): number {
  return (process.channel as unknown as { fd: number }).fd
}

function beginAnew(added: Record<string, string>): never {
  const environment: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) environment[name] = value
  if (process.connected) {
    environment['NODE_CHANNEL_FD'] = String(channelDescriptor())
    environment['NODE_CHANNEL_SERIALIZATION_MODE'] = 'json'
  }
  const args = [process.execPath, ...process.execArgv, launcherPath(), ...process.argv.slice(2)]
  process.execve?.(process.execPath, args, { ...environment, ...added })
  throw new Error('This process cannot become another program')
}

function pointerPath(stateDirectory: string): string {
  return join(stateDirectory, 'program.json')
}

/** Undefined: this is the installed program. */
function runningDigest(stateDirectory: string): string | undefined {
  const folder = programFolder()
  const programs = programsDirectory(stateDirectory)
  return existsSync(programs) && dirname(folder) === realpathSync(programs) ? basename(folder) : undefined
}

function readPointer(path: string): ProgramPointer | undefined {
  return parsePointer(readFileSync(path, 'utf8'))
}

/** In one piece and durable: whatever happens, the next start finds the old one or the new one. */
function writePointer(path: string, pointer: ProgramPointer): void {
  const temporary = `${path}.new`
  const descriptor = openSync(temporary, 'w', 0o600)
  try {
    writeFileSync(descriptor, `${JSON.stringify(pointer, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, path)
  const directory = openSync(dirname(path), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/**
 * Lets the program in `folder` find the packages it depends on: links to those that the program running now has.
 * @throws {DeployError} P2P_BUNDLE_DEPENDENCY naming each that is missing or of another version
 */
export async function linkDependencies(folder: string): Promise<void> {
  const { dependencies = {}, engines = {}, version } = await readPackage(folder)
  const wanted = engines['node']
  const faults =
    wanted === undefined || satisfies(process.versions.node, wanted)
      ? []
      : [`Node.js ${wanted}, and ${process.versions.node} is here`]
  const links = new Map<string, string>()
  for (const [name, range] of Object.entries(dependencies)) {
    const there = installedPackage(name)
    if (there && satisfies(there.version, range)) links.set(name, there.folder)
    else faults.push(`${name} ${range}, and ${there ? `${there.version} is here` : 'it is not here'}`)
  }
  if (faults.length > 0) {
    const remedy = `stop it, install ${version} there with npm, and start it`
    const message = `Version ${version} needs ${faults.join('; ')}: an upgrade brings no packages. For this node: ${remedy}`
    throw new DeployError('P2P_BUNDLE_DEPENDENCY', message, { faults })
  }
  const modules = join(folder, 'node_modules')
  await rm(modules, { recursive: true, force: true })
  for (const [name, target] of links) {
    await mkdir(dirname(join(modules, name)), { recursive: true, mode: 0o700 })
    await symlink(target, join(modules, name), 'dir')
  }
}

interface PackageJson {
  version: string
  dependencies?: Record<string, string>
  engines?: Record<string, string>
}

async function readPackage(folder: string): Promise<PackageJson> {
  try {
    return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as PackageJson
  } catch (error) {
    throw new DeployError('P2P_BUNDLE_INVALID', `The program's package.json cannot be read: ${messageOf(error)}`)
  }
}
