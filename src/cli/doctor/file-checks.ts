import { constants } from 'node:fs'
import { access, readdir, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { formatBytes } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import type { NodeConfig } from '../../config/index.ts'
import { type Finding, ok, problem, skipped, warning } from './finding.ts'

const FREE_BYTES_WARNED = 1024 ** 3
const FREE_BYTES_MIN = 100 * 1024 ** 2

/** The folder, or the nearest one above it that exists already. */
async function existing(path: string): Promise<string> {
  const parent = dirname(path)
  return (await isThere(path)) || parent === path ? path : existing(parent)
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

/** Whether the node can write its state, and has room for it. */
export async function checkStateDirectory({ stateDirectory }: NodeConfig): Promise<Finding[]> {
  const folder = await existing(stateDirectory)
  return [await checkWritable(folder, stateDirectory), await checkDiskSpace(folder)]
}

async function checkWritable(folder: string, stateDirectory: string): Promise<Finding> {
  const check = 'State directory'
  const remedy = 'change its owner, or set state_directory to a folder of this user'
  if (!(await stat(folder)).isDirectory()) return problem(check, `${folder} is not a folder`, remedy)
  return access(folder, constants.W_OK | constants.X_OK).then(
    () => ok(check, folder === stateDirectory ? `${stateDirectory} is writable` : `${stateDirectory} can be made`),
    (error) => problem(check, `${folder} is not writable: ${messageOf(error)}`, remedy),
  )
}

async function checkDiskSpace(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const text = `${formatBytes(free)} free at ${folder}`
  if (free < FREE_BYTES_MIN)
    return problem('Disk space', text, 'free some: a vault that cannot grow refuses every write')
  if (free < FREE_BYTES_WARNED) return warning('Disk space', text, 'free some before it runs out')
  return ok('Disk space', text)
}

/**
 * The plot and the vault: there, and nobody else's to read. Windows has no such bits: there the folder's access list
 * counts, which the user's own profile has right.
 */
export async function checkSecrets(config: NodeConfig, platform: NodeJS.Platform): Promise<Finding[]> {
  const hasVault = await isThere(config.storagePath)
  const hasPlot = await isThere(config.plotFile)
  const findings: Finding[] = []
  if (hasPlot) findings.push(await checkPrivate('Plot', config.plotFile, platform))
  else if (hasVault) {
    const detail = `${config.plotFile} is missing, and there is a vault that it may be needed for`
    findings.push(
      warning(
        'Plot',
        detail,
        'copy the plot back from its backup; or open the vault by --manual-password or P2P_RECOVERY_KEY',
      ),
    )
  } else findings.push(ok('Plot', `${config.plotFile} will be made at the first start`))
  if (hasVault) findings.push(await checkPrivate('Vault', config.storagePath, platform))
  else findings.push(ok('Vault', `${config.storagePath} will be made at the first start`))
  return findings
}

async function checkPrivate(check: string, path: string, platform: NodeJS.Platform): Promise<Finding> {
  const { mode, size } = await stat(path)
  const bits = (mode & 0o777).toString(8).padStart(4, '0')
  if (platform !== 'win32' && (mode & 0o077) !== 0)
    return problem(check, `${path} is open to others (mode ${bits})`, `chmod 600 ${path}`)
  if (size === 0) return problem(check, `${path} is empty`, 'restore it from a backup')
  return ok(check, platform === 'win32' ? path : `${path}, mode ${bits}`)
}

/** How many services the loader will find. */
export async function checkServices({ servicesDirectory }: NodeConfig): Promise<Finding> {
  const entries = await readdir(servicesDirectory, { withFileTypes: true }).catch(() => undefined)
  if (!entries)
    return skipped('Services', `${servicesDirectory} does not exist: the node runs its built-in services only`)
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return ok('Services', `${servicesDirectory}: ${folders.join(', ') || 'none'}`)
}
