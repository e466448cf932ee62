import type { PersonRole } from './access-token.ts'
import type { PasswordHash } from './password-hash.ts'
import { OPERATOR } from './token-issuer.ts'

/** A person as the control store keeps it. Secrets are there as hashes only, but for the one that codes are made with. */
export interface StoredUser {
  name: string
  role: PersonRole
  created_at_ms: number
  created_by: string
  /** Absent until the invitation was taken. */
  password?: PasswordHash
  invitation?: { hash: string; ends_at_ms: number }
  /** `secret` in base64url: both sides need it as it is (RFC 6238); `last_step`: no code up to there works again. */
  code?: { secret: string; last_step: number; recovery: string[] }
  passkeys?: StoredPasskey[]
}

/** A public key of an authenticator, which signs in with it (WebAuthn Level 3). */
export interface StoredPasskey {
  id: string
  /** The authenticator's name for it, base64url. */
  credential: string
  /** COSE key (RFC 9052 section 7), base64url. */
  public_key: string
  /** How often it was used, where its authenticator counts; one that goes back shows a copy. */
  counter: number
  transports: string[]
  /** The host name it was made for. */
  rp_id: string
  label: string
  created_at_ms: number
  used_at_ms?: number
}

/** A passkey as its owner is told of it. */
export interface PasskeyView {
  id: string
  label: string
  /** It works where the dashboard is opened by this name. */
  host: string
  createdAtMs: number
  usedAtMs?: number
}

/** A person as others are told of it. */
export interface User {
  name: string
  role: PersonRole
  createdAtMs: number
  createdBy: string
  hasPassword: boolean
  /** A second step by codes is set up. */
  hasCode: boolean
  /** How many passkeys there are. */
  passkeys: number
  /** How many sessions are open. */
  sessions: number
  /** When the invitation that nobody has taken yet ends. */
  invitationEndsMs?: number
}

/** What signs somebody in for a while: the family of all tokens that come from one sign-in. */
export interface StoredSession {
  name: string
  role: PersonRole
  kind: SessionKind
  from: string
  created_at_ms: number
  ends_at_ms: number
  /** Hash of the refresh token that is good now, and of those that were. */
  refresh?: string
  spent: string[]
}

/** `browser`: the token is in a cookie; `program`: it was handed out. */
export type SessionKind = 'browser' | 'program'

/** A session as its owner is told of it. */
export interface SessionView {
  id: string
  kind: SessionKind
  from: string
  createdAtMs: number
  endsAtMs: number
}

/** Lower-case letters, digits and `._@-`, 63 at most, so that a mail address fits and no two names look alike. */
const USER_NAME = /^[a-z0-9][a-z0-9._@-]{0,62}$/

/** Names that mean somebody else in tokens and in the record. */
const RESERVED: ReadonlySet<string> = new Set([OPERATOR, 'open', 'anonymous'])

export function isUserName(name: string): boolean {
  return USER_NAME.test(name) && !RESERVED.has(name)
}
