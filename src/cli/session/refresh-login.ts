import { closeSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { CliError, codeOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { callApi } from './api-client.ts'
import { type Login, profileFiles, readLogin, writeLogin } from './login-file.ts'

/** Of the access tokens of a person: what a stolen one, or a withdrawn one at a worker that is cut off, is good for. */
export const PERSON_TOKEN_TTL_S = 3_600

const LOCK_PAUSE_MS = 100
const LOCK_ATTEMPTS_MAX = 100
/** A trade takes a moment; a lock this old was left behind by a program that was killed. */
const LOCK_OLD_MS = 30_000

/** What `POST /auth/token` and `POST /auth/refresh` answer. */
export interface TokenAnswer {
  access_token: string
  expires_in: number
  role: string
  refresh_token?: string
  refresh_expires_in?: number
}

/** The part of a login that a token answer says. */
export function tokensOf(
  answer: TokenAnswer,
  nowMs: number,
): Partial<Login> &
  Pick<Login, 'access_token' | 'role'> & {
    expires_at_ms: number
  } {
  const { access_token, expires_in, role, refresh_token, refresh_expires_in } = answer
  return {
    access_token,
    role,
    expires_at_ms: nowMs + expires_in * 1_000,
    ...(refresh_token !== undefined && { refresh_token }),
    ...(refresh_expires_in !== undefined && { session_ends_at_ms: nowMs + refresh_expires_in * 1_000 }),
  }
}

/**
 * Trades the refresh token of a person's login for the next tokens. It is good once, and two that show it end the session: so programs
 * that run side by side take turns, and whoever comes second finds what the first has got.
 * @throws {CliError} P2P_CLI_NOT_LOGGED_IN: the session has ended; P2P_CLI_UNREACHABLE
 */
export async function refreshLogin(host: CliHost, profile: string, stale: Login): Promise<Login> {
  const unlock = await lockLogin(host, `${profileFiles(host, profile).login}.${profile}.lock`)
  try {
    const stored = readLogin(host, profile)
    if (!stored) throw sessionEnded(stale)
    if (stored.access_token !== stale.access_token) return stored
    const { url, ca_certificate: caCertificate, refresh_token } = stored
    const target = { url, caCertificate, accessToken: undefined }
    const body = { refresh_token, ttl_s: PERSON_TOKEN_TTL_S }
    const answer = await callApi(target, { method: 'POST', path: '/auth/refresh', body }).catch((error: unknown) => {
      throw codeOf(error)?.startsWith('P2P_AUTH_TOKEN_') ? sessionEnded(stored) : error
    })
    const renewed: Login = { ...stored, ...tokensOf(answer as TokenAnswer, host.wallMs()) }
    writeLogin(host, profile, renewed)
    return renewed
  } finally {
    unlock()
  }
}

/** What to do about it. */
export function sessionEnded({ name, url }: Login): CliError {
  return new CliError(
    'P2P_CLI_NOT_LOGGED_IN',
    `The session of ${name} at ${url} has ended; run "p2p login --name ${name}"`,
  )
}

async function lockLogin(host: CliHost, path: string): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const { signal } = new AbortController()
  for (let attempt = 1; attempt <= LOCK_ATTEMPTS_MAX; attempt++) {
    try {
      closeSync(openSync(path, 'wx', 0o600))
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const { mtimeMs = host.wallMs() } = statSync(path, { throwIfNoEntry: false }) ?? {}
    if (host.wallMs() - mtimeMs > LOCK_OLD_MS) rmSync(path, { force: true })
    else await host.pause(LOCK_PAUSE_MS, signal)
  }
  throw new CliError('P2P_CLI_UNREACHABLE', `Another program holds ${path}; if there is none, remove the file`, {
    path,
  })
}
