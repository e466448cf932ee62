import { access, constants, readFile } from 'node:fs/promises'
import * as os from 'node:os'
import { delimiter, join } from 'node:path'
import { z } from 'p2p-core/service'

export const Summary = z.object({
  hostname: z.string(),
  os: z.object({
    name: z.string().describe('For example Debian GNU/Linux 12 (bookworm)'),
    platform: z.string(),
    kernel: z.string(),
    arch: z.string(),
  }),
  cpu: z.object({ model: z.string(), cores: z.number(), load_average: z.array(z.number()).length(3) }),
  memory: z.object({ total_bytes: z.number(), available_bytes: z.number() }),
  uptime_seconds: z.number(),
  booted_at: z.iso.datetime(),
  time_zone: z.string(),
  node_version: z.string(),
  package_managers: z.array(z.string()).describe('Programs found that install software'),
  is_container: z.boolean().describe('Linux only; false where it cannot be told'),
})

const PACKAGE_MANAGERS = [
  'apt-get',
  'dnf',
  'yum',
  'zypper',
  'pacman',
  'apk',
  'brew',
  'port',
  'winget',
  'choco',
  'scoop',
]

/** What kind of machine this is. */
export async function summary(): Promise<z.infer<typeof Summary>> {
  const cpus = os.cpus()
  const uptimeSeconds = os.uptime()
  const [name, packageManagers, isContainer] = await Promise.all([osName(), foundPackageManagers(), inContainer()])
  return {
    hostname: os.hostname(),
    os: { name, platform: process.platform, kernel: os.release(), arch: process.arch },
    cpu: { model: cpus[0]?.model.trim() || 'unknown', cores: os.availableParallelism(), load_average: os.loadavg() },
    memory: { total_bytes: os.totalmem(), available_bytes: process.availableMemory() },
    uptime_seconds: Math.round(uptimeSeconds),
    booted_at: new Date(Date.now() - uptimeSeconds * 1_000).toISOString(),
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    node_version: process.version,
    package_managers: packageManagers,
    is_container: isContainer,
  }
}

async function osName(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return prettyName(release) ?? os.version()
}

/** PRETTY_NAME of an os-release file (os-release(5)). */
export function prettyName(release: string): string | undefined {
  return /^PRETTY_NAME=(["']?)(.+)\1$/m.exec(release)?.[2]
}

async function foundPackageManagers(): Promise<string[]> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd'] : ['']
  const isFound = await Promise.all(
    PACKAGE_MANAGERS.map((name) =>
      isAnyExecutable(folders.flatMap((folder) => suffixes.map((end) => join(folder, name + end)))),
    ),
  )
  return PACKAGE_MANAGERS.filter((_, index) => isFound[index])
}

async function isAnyExecutable(paths: string[]): Promise<boolean> {
  const checks = await Promise.allSettled(paths.map((path) => access(path, constants.X_OK)))
  return checks.some(({ status }) => status === 'fulfilled')
}

async function inContainer(): Promise<boolean> {
  const marks = await Promise.allSettled(['/.dockerenv', '/run/.containerenv'].map((path) => access(path)))
  return marks.some(({ status }) => status === 'fulfilled')
}
