import type { AuditAct, AuditTrail } from '../../base/audit.ts'
import { codeOf, type ErrorCode } from '../../base/errors.ts'
import { ANONYMOUS, principalLabel } from '../../base/identity.ts'

/** Credentials that nobody has by accident; one that has expired is no news. */
const FORGED: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['P2P_AUTH_TOKEN_INVALID', 'P2P_AUTH_TOKEN_REVOKED'])

/** Records that a forged or withdrawn token was shown, whatever was asked for with it: reading is no act of its own. */
export function recordForgery(audit: AuditTrail | undefined, error: unknown, act: Omit<AuditAct, 'who'>): void {
  const code = codeOf(error)
  if (code !== undefined && FORGED.has(code)) audit?.refused({ ...act, who: principalLabel(ANONYMOUS) }, code)
}
