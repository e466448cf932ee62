import { execFileSync, spawnSync } from 'node:child_process'

/** A real program the tests need, and how to get it. */
export interface Part {
  name: string
  /** Which tests are left out without it. */
  usedBy: string
  isThere(): boolean
  debianPackages: readonly string[]
}

function hasCommand(command: string): boolean {
  const finder = process.platform === 'win32' ? 'where' : 'which'
  return spawnSync(finder, [command], { stdio: 'ignore' }).status === 0
}

/** Whether this user may make network namespaces, with what routes and filters in them: asks by making one. */
function canMakeNamespaces(): boolean {
  if (process.platform !== 'linux' || !['ip', 'nft', 'sysctl'].every(hasCommand)) return false
  const name = `p2p-probe-${process.pid}`
  if (spawnSync('ip', ['netns', 'add', name], { stdio: 'ignore' }).status !== 0) return false
  spawnSync('ip', ['netns', 'delete', name], { stdio: 'ignore' })
  return true
}

export const PARTS: readonly Part[] = [
  {
    name: 'redis-server',
    usedBy: 'cache tests against a real Redis',
    isThere: () => hasCommand('redis-server'),
    debianPackages: ['redis-server'],
  },
  {
    name: 'openssl',
    usedBy: 'certificate checks by an independent implementation',
    isThere: () => hasCommand('openssl'),
    debianPackages: ['openssl'],
  },
  {
    name: 'curl',
    usedBy: 'the documented curl lines',
    isThere: () => hasCommand('curl'),
    debianPackages: ['curl'],
  },
  {
    name: 'dig',
    usedBy: 'DNS answers read by an independent implementation',
    isThere: () => hasCommand('dig'),
    debianPackages: ['dnsutils'],
  },
  {
    name: 'chromium',
    usedBy: 'the API pages in a real browser',
    isThere: () => hasCommand('chromium'),
    debianPackages: ['chromium'],
  },
  {
    name: 'serf',
    usedBy: 'the comparison of failure detection',
    isThere: () => hasCommand('serf'),
    debianPackages: ['serf'],
  },
  {
    name: 'lego',
    usedBy: 'certificates by a stock ACME client',
    isThere: () => hasCommand('lego'),
    debianPackages: ['lego'],
  },
  {
    name: 'dehydrated',
    usedBy: 'certificates by another stock ACME client',
    isThere: () => hasCommand('dehydrated'),
    debianPackages: ['dehydrated'],
  },
  {
    name: 'network namespaces',
    usedBy: 'clusters across several subnets',
    isThere: canMakeNamespaces,
    debianPackages: ['iproute2', 'nftables', 'procps'],
  },
]

/** Tries to install what is missing with the system's package manager, where this user may. */
export function installMissing(parts: readonly Part[]): void {
  const packages = parts.flatMap((part) => part.debianPackages)
  const mayInstall = process.platform === 'linux' && process.getuid?.() === 0 && hasCommand('apt-get')
  if (packages.length === 0 || !mayInstall) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update', '-qq'], { stdio: ['ignore', 'ignore', 'inherit'], env })
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env,
    })
  } catch {
    // What is still missing afterwards is reported by the caller, part by part.
  }
}
