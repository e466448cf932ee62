import type { Permissions } from '../../base/deployment.ts'
import type { SystemTools } from './system-tools.ts'

/** What one process of a service may see and do. Paths are absolute and there. */
export interface Confinement {
  permissions: Permissions
  /** Of the service; read only. */
  folder: string
  /** The one directory it may always write to. */
  dataDirectory: string
  /** What the node keeps: a service sees nothing of it but its own data. */
  stateDirectory: string
  /** What the program itself is made of. */
  program: readonly string[]
}

/** Where others keep what is theirs; what of it a service may see is named by its permissions. */
export const OTHERS_DIRECTORIES = ['/tmp', '/var/tmp', '/root', '/home', '/run'] as const

/** Options of Node's permission model: a process of a service gets what is named here and no more. */
export function nodePermissionArgs({ permissions, folder, dataDirectory, program }: Confinement): string[] {
  const { net, childProcess, read, write } = permissions
  const reads = new Set([folder, dataDirectory, ...program, ...read, ...write])
  return [
    '--permission',
    ...[...reads].map((path) => `--allow-fs-read=${allBelow(path)}`),
    ...[dataDirectory, ...write].map((path) => `--allow-fs-write=${allBelow(path)}`),
    // Node calls the flag experimental, on the error output of every process that has it.
    ...(net ? ['--allow-net', '--disable-warning=ExperimentalWarning'] : []),
    // Native code and threads are not held back by the model, so they come with the right to start programs.
    ...(childProcess ? ['--allow-child-process', '--allow-worker', '--allow-addons', '--allow-wasi'] : []),
  ]
}

/** Node takes a directory for all that is below it, but the root. */
function allBelow(path: string): string {
  return path === '/' ? '*' : path
}

/**
 * The command that runs `command` held back by what this machine has: in a sandbox of bubblewrap, or only so that it dies with
 * the node. Without either the command itself.
 * @param others those of {@link OTHERS_DIRECTORIES} that are there
 */
export function confinedCommand(
  command: readonly string[],
  confinement: Confinement,
  { tools, others }: { tools: SystemTools; others: readonly string[] },
): string[] {
  if (tools.bwrap !== undefined) return [tools.bwrap, ...sandboxArgs(confinement, others), '--', ...command]
  if (tools.setpriv !== undefined) return [tools.setpriv, '--pdeathsig', 'KILL', '--', ...command]
  return [...command]
}

/**
 * The whole file system read-only, without other people's homes, what runs, and what the node keeps; then what the service may
 * see of those and write. Whoever may read `/proc` sees the machine's processes, nobody else but their own.
 */
function sandboxArgs(confinement: Confinement, others: readonly string[]): string[] {
  const { permissions, folder, dataDirectory, stateDirectory, program } = confinement
  const { net, read, write } = permissions
  const seesProcesses = read.some((path) => path === '/' || path === '/proc' || path.startsWith('/proc/'))
  const seesAll = read.includes('/')
  const covered = seesAll ? [stateDirectory] : [...others, stateDirectory]
  return [
    '--die-with-parent',
    '--ro-bind',
    '/',
    '/',
    '--dev',
    '/dev',
    ...(seesProcesses ? [] : ['--unshare-pid', '--proc', '/proc']),
    ...(net ? [] : ['--unshare-net']),
    ...covered.flatMap((path) => ['--tmpfs', path]),
    // Names are looked up through it.
    ...(seesAll ? [] : ['--ro-bind-try', '/run/systemd/resolve', '/run/systemd/resolve']),
    ...[...program, folder, ...read.filter((path) => path !== '/')].flatMap((path) => ['--ro-bind-try', path, path]),
    ...[dataDirectory, ...write].flatMap((path) => ['--bind-try', path, path]),
    '--chdir',
    folder,
  ]
}

/** What a person must know of a service that this machine cannot hold back as its manifest says; undefined: nothing. */
export function confinementGap(
  kind: 'process' | 'thread' | 'exec',
  tools: SystemTools,
  platform: NodeJS.Platform,
): string | undefined {
  if (kind === 'thread') return "a thread shares the node's rights: its permissions are not enforced"
  if (tools.bwrap !== undefined) return undefined
  const remedy = platform === 'linux' ? '; install bubblewrap to change that' : ''
  if (kind === 'exec') return `its permissions are not enforced${remedy}`
  return `its permissions are enforced by Node.js only, which is no sandbox against hostile code${remedy}`
}
