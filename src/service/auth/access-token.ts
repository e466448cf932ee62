import type { AccessRole } from '../../base/identity.ts'

/** What a person may be; later ones may do all that earlier ones may. */
export const PERSON_ROLES = ['viewer', 'operator', 'admin'] as const satisfies readonly AccessRole[]
export type PersonRole = (typeof PERSON_ROLES)[number]

export function isPersonRole(value: unknown): value is PersonRole {
  return PERSON_ROLES.includes(value as PersonRole)
}

/** Whether `role` may do all that `other` may. */
export function includesRole(role: PersonRole, other: PersonRole): boolean {
  return PERSON_ROLES.indexOf(role) >= PERSON_ROLES.indexOf(other)
}

/** The only signature algorithm: Ed25519 under its JOSE name (RFC 8037 section 3.1). */
export const TOKEN_ALGORITHM = 'EdDSA'

/** `typ` of an access token, so that no other signed text passes for one (RFC 9068 section 2.1). */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

/** `aud` of an access token: the HTTP surface of any node of the cluster. */
export const ACCESS_TOKEN_AUDIENCE = 'p2p-core'

/** Life of an access token when nothing else is asked for, in seconds. */
export const TOKEN_TTL_S_DEFAULT = 600

/** Longest life, in seconds: a working day, for the command line and curl. */
export const TOKEN_TTL_S_MAX = 12 * 3600
