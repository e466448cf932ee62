import { toBase64Url } from '../../base/bytes.ts'
import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { StoredSession } from './user.ts'

const SECRET_BYTES = 32
const FORM = /^P2PR1-([\w-]{22})\.[\w-]{43}$/

/** Of one session, a refresh every minute and a half for twelve hours; the hashes of all of them are 22 KB. */
const REFRESHES_MAX = 500

/** `P2PR1-`, the session's id, and 256 random bits in base64url. */
export function newRefreshToken(sessionId: string, random: Random): string {
  return `P2PR1-${sessionId}.${toBase64Url(random.bytes(SECRET_BYTES))}`
}

/** The session a refresh token says it is of; undefined when it is none. */
export function sessionIdOf(refreshToken: string): string | undefined {
  return FORM.exec(refreshToken)?.[1]
}

/** The session after its refresh token was traded for the one with that hash. @throws {RpcError} P2P_RPC_RATE_LIMITED */
export function refreshedBy(session: StoredSession, hash: string): StoredSession {
  if (session.spent.length >= REFRESHES_MAX) {
    throw new RpcError('P2P_RPC_RATE_LIMITED', `The session was refreshed ${REFRESHES_MAX} times; sign in again`)
  }
  return {
    ...session,
    refresh: hash,
    spent: session.refresh === undefined ? session.spent : [...session.spent, session.refresh],
  }
}
