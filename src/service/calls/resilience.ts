import { codeOf, type ErrorCode, P2PError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'

/** Tries on other instances of a call that surely did not run. */
export const ELSEWHERE_MAX = 3
/** Times a call of an idempotent method is made again when it may have run. */
export const RETRIES_IDEMPOTENT = 2

const BACKOFF_MS_FIRST = 25
const BACKOFF_MS_MAX = 1_000

/** Refusals that come before the method begins: the call may be made elsewhere without asking whether it may run twice. */
const NEVER_RAN: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>([
  'P2P_RPC_CIRCUIT_OPEN',
  'P2P_RPC_METHOD_NOT_FOUND',
  'P2P_RPC_NO_INSTANCE',
  'P2P_RPC_OVERLOADED',
  'P2P_TRANSPORT_OVERLOADED',
  'P2P_TRANSPORT_UNREACHABLE',
])

/** Retryable, but not at once: its caller asked for the end, or is to slow down. */
const NOT_NOW: ReadonlySet<ErrorCode> = new Set(['P2P_RPC_CANCELLED', 'P2P_RPC_RATE_LIMITED'])

/** Whether the call that failed so surely did not run. */
export function neverRan(error: unknown): boolean {
  return NEVER_RAN.has(codeOf(error))
}

/** Whether the same call may succeed when it is made again, if it may run twice. */
export function isTransient(error: unknown): boolean {
  return error instanceof P2PError && error.facts.retryable && !NOT_NOW.has(error.code)
}

/** Doubles with each retry; half of it is chance, so that callers do not come back together. */
export function backoffMs(retry: number, random: Random): number {
  const ms = Math.min(BACKOFF_MS_FIRST * 2 ** (retry - 1), BACKOFF_MS_MAX)
  return ms * (0.5 + random.float() / 2)
}
