import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'

/** What `p2p login` remembers of one cluster. */
export interface Login {
  url: string
  cluster: string
  /** Root certificate, PEM. */
  ca_certificate: string
  access_token: string
  expires_at_ms: number
  role: string
  /** Who signed in by name and password; absent where it was the operator credential. */
  name?: string
  /** Of a person's session: good once, for the next tokens. */
  refresh_token?: string
  /** When the session ends, whatever is refreshed. */
  session_ends_at_ms?: number
  /** The operator credential it came from: read again when the token has expired; empty where it came from a password. */
  credential_file: string
  /** The file's URL then: when it has changed, so has the coordinator. */
  credential_url: string
}

interface LoginFile {
  profiles: Record<string, Login>
}

export const DEFAULT_PROFILE = 'default'
const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/

/** Files of one profile, in the user's configuration folder. */
export interface ProfileFiles {
  login: string
  curl: string
  ca: string
}

/**
 * Where the profile's files are: `$XDG_CONFIG_HOME/p2p`, `%APPDATA%\p2p` or `~/.config/p2p`.
 * @throws {CliError} P2P_CLI_USAGE: a name that cannot be part of a file's name
 */
export function profileFiles(host: CliHost, profile: string): ProfileFiles {
  if (!PROFILE_NAME.test(profile)) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `"${profile}" cannot be the name of a profile: letters, digits, "-" and "_", 32 at most`,
    )
  }
  const { XDG_CONFIG_HOME, APPDATA } = host.environment
  const base = host.platform === 'win32' && APPDATA ? APPDATA : XDG_CONFIG_HOME || join(host.homeDirectory, '.config')
  const suffix = profile === DEFAULT_PROFILE ? '' : `-${profile}`
  const folder = join(base, 'p2p')
  return {
    login: join(folder, 'login.json'),
    curl: join(folder, `curlrc${suffix}`),
    ca: join(folder, `ca${suffix}.pem`),
  }
}

export function readLogin(host: CliHost, profile: string): Login | undefined {
  return readAll(profileFiles(host, profile).login).profiles[profile]
}

/** Remembers the login and writes what curl needs to use it; all files 0600. */
export function writeLogin(host: CliHost, profile: string, login: Login): ProfileFiles {
  const files = profileFiles(host, profile)
  mkdirSync(join(files.login, '..'), { recursive: true, mode: 0o700 })
  const { profiles } = readAll(files.login)
  writePrivate(files.login, `${JSON.stringify({ profiles: { ...profiles, [profile]: login } }, null, 2)}\n`)
  writePrivate(files.ca, login.ca_certificate)
  // In quotes curl takes a backslash as an escape, and a forward slash on every system.
  const caPath = files.ca.replaceAll('\\', '/')
  writePrivate(files.curl, `cacert = "${caPath}"\nheader = "Authorization: Bearer ${login.access_token}"\n`)
  return files
}

/** @returns false when there was no such login */
export function removeLogin(host: CliHost, profile: string): boolean {
  const files = profileFiles(host, profile)
  const { profiles } = readAll(files.login)
  const isKnown = Object.hasOwn(profiles, profile)
  if (isKnown) {
    const { [profile]: _gone, ...others } = profiles
    writePrivate(files.login, `${JSON.stringify({ profiles: others }, null, 2)}\n`)
  }
  rmSync(files.curl, { force: true })
  rmSync(files.ca, { force: true })
  return isKnown
}

function readAll(path: string): LoginFile {
  if (!existsSync(path)) return { profiles: {} }
  try {
    const file = JSON.parse(readFileSync(path, 'utf8')) as LoginFile
    if (typeof file.profiles === 'object' && file.profiles !== null) return file
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new CliError('P2P_CLI_NOT_LOGGED_IN', `${path} is damaged; remove it and run "p2p login"`, { path })
}

/** Written whole or not at all, and never readable by others in between. */
function writePrivate(path: string, text: string): void {
  const draft = `${path}.new`
  rmSync(draft, { force: true })
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
  renameSync(draft, path)
}
