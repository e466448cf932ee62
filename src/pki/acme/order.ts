import { type AcmeIdentifier, identifierKey, isWildcard, provedIdentifier } from './identifier.ts'
import { AcmeProblem, type AcmeProblemDocument } from './problem.ts'

/*
 * Orders and what hangs on them, as plain records that are stored as they are. Each function takes a record and the time and returns
 * the record after it; nothing here waits (RFC 8555 section 7.1.6).
 */

export const CHALLENGE_TYPES = ['http-01', 'dns-01', 'tls-alpn-01'] as const
export type ChallengeType = (typeof CHALLENGE_TYPES)[number]

export interface AcmeChallenge {
  type: ChallengeType
  /** 128 random bits at least, base64url. */
  token: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  validatedMs?: number
  error?: AcmeProblemDocument
}

export interface AcmeAuthorization {
  /** The name that is proved; for a wildcard its domain. */
  identifier: AcmeIdentifier
  isWildcard: boolean
  status: 'pending' | 'valid' | 'invalid' | 'deactivated'
  challenges: AcmeChallenge[]
}

export interface AcmeOrder {
  id: string
  accountId: string
  identifiers: AcmeIdentifier[]
  /** One for each identifier, in the same order. */
  authorizations: AcmeAuthorization[]
  /** `ready` is told, not stored: see {@link orderStatus}. */
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  createdMs: number
  expiresMs: number
  notAfterMs?: number
  /** Serial of the certificate, once it is there. */
  certificate?: string
  /** Serial of the certificate that this one takes the place of (RFC 9773 section 5). */
  replaces?: string
  error?: AcmeProblemDocument
}

export type OrderStatus = AcmeOrder['status'] | 'ready'
export type AuthorizationStatus = AcmeAuthorization['status'] | 'expired'

/** An order that is not finished by then is lost. */
export const ORDER_LIFETIME_MS = 3_600_000

/** A new order; each identifier gets the challenges that can prove it. @param newToken gives a fresh random token */
export function newOrder(
  facts: Pick<AcmeOrder, 'id' | 'accountId' | 'identifiers'> & Partial<Pick<AcmeOrder, 'notAfterMs' | 'replaces'>>,
  newToken: () => string,
  nowMs: number,
): AcmeOrder {
  return {
    ...facts,
    authorizations: facts.identifiers.map((identifier) => ({
      identifier: provedIdentifier(identifier),
      isWildcard: isWildcard(identifier),
      status: 'pending',
      challenges: challengeTypes(identifier).map((type) => ({ type, token: newToken(), status: 'pending' })),
    })),
    status: 'pending',
    createdMs: nowMs,
    expiresMs: nowMs + ORDER_LIFETIME_MS,
  }
}

export function orderStatus(order: AcmeOrder, nowMs: number): OrderStatus {
  if (order.status !== 'pending') return order.status
  if (order.authorizations.some(({ status }) => status === 'invalid' || status === 'deactivated')) return 'invalid'
  if (order.expiresMs <= nowMs) return 'invalid'
  return order.authorizations.every(({ status }) => status === 'valid') ? 'ready' : 'pending'
}

export function authorizationStatus(order: AcmeOrder, index: number, nowMs: number): AuthorizationStatus {
  const { status } = authorizationAt(order, index)
  return (status === 'pending' || status === 'valid') && order.expiresMs <= nowMs ? 'expired' : status
}

/**
 * The client says that its answer is in place.
 * @returns undefined when there is nothing to do: it is being looked at, or the authorization is decided already
 * @throws {AcmeProblem} malformed: the order has expired
 */
export function beginChallenge(
  order: AcmeOrder,
  index: number,
  type: ChallengeType,
  nowMs: number,
): AcmeOrder | undefined {
  const status = authorizationStatus(order, index, nowMs)
  if (status === 'expired') throw new AcmeProblem('malformed', 'The order has expired: begin a new one')
  if (status !== 'pending' || challengeAt(order, index, type).status !== 'pending') return undefined
  return withChallenge(order, index, type, { status: 'processing' })
}

/** What came of looking. One failure decides: a client that wants another try begins a new order (RFC 8555 section 7.1.6). */
export function endChallenge(
  order: AcmeOrder,
  index: number,
  type: ChallengeType,
  outcome: { error: AcmeProblemDocument } | 'proved',
  nowMs: number,
): AcmeOrder {
  if (challengeAt(order, index, type).status !== 'processing') return order
  const isProved = outcome === 'proved'
  const after = withChallenge(
    order,
    index,
    type,
    isProved ? { status: 'valid', validatedMs: nowMs } : { status: 'invalid', error: outcome.error },
  )
  return withAuthorization(after, index, { status: isProved ? 'valid' : 'invalid' })
}

/** Who looked was interrupted, by a restart for example: the client may say again that its answer is in place. */
export function interruptChallenges(order: AcmeOrder): AcmeOrder {
  return {
    ...order,
    authorizations: order.authorizations.map((authorization) => ({
      ...authorization,
      challenges: authorization.challenges.map((challenge) =>
        challenge.status === 'processing' ? { ...challenge, status: 'pending' } : challenge,
      ),
    })),
  }
}

export function deactivateAuthorization(order: AcmeOrder, index: number): AcmeOrder {
  return withAuthorization(order, index, { status: 'deactivated' })
}

/**
 * The order gets its certificate.
 * @param csrNames what the request names
 * @throws {AcmeProblem} orderNotReady, badCSR
 */
export function beginFinalize(order: AcmeOrder, csrNames: readonly AcmeIdentifier[], nowMs: number): AcmeOrder {
  const status = orderStatus(order, nowMs)
  if (status !== 'ready') throw new AcmeProblem('orderNotReady', `The order is ${status}, not ready`)
  const asked = new Set(csrNames.map(identifierKey))
  const ordered = new Set(order.identifiers.map(identifierKey))
  const missing = [...ordered].filter((key) => !asked.has(key))
  const foreign = [...asked].filter((key) => !ordered.has(key))
  if (missing.length > 0 || foreign.length > 0) {
    const parts = [
      missing.length > 0 ? `it does not name ${missing.join(', ')}` : '',
      foreign.length > 0 ? `it names ${foreign.join(', ')}, which was not ordered` : '',
    ].filter((part) => part !== '')
    throw new AcmeProblem('badCSR', `The certificate request does not fit the order: ${parts.join('; ')}`)
  }
  return { ...order, status: 'processing' }
}

export function endFinalize(order: AcmeOrder, outcome: { serial: string } | { error: AcmeProblemDocument }): AcmeOrder {
  if ('serial' in outcome) return { ...order, status: 'valid', certificate: outcome.serial }
  return { ...order, status: 'invalid', error: outcome.error }
}

/** @throws {AcmeProblem} malformed */
export function authorizationAt(order: AcmeOrder, index: number): AcmeAuthorization {
  const authorization = order.authorizations[index]
  if (authorization) return authorization
  throw new AcmeProblem('malformed', 'There is no such authorization', { status: 404 })
}

/** @throws {AcmeProblem} malformed */
export function challengeAt(order: AcmeOrder, index: number, type: ChallengeType): AcmeChallenge {
  const challenge = authorizationAt(order, index).challenges.find((candidate) => candidate.type === type)
  if (challenge) return challenge
  throw new AcmeProblem('malformed', 'There is no such challenge', { status: 404 })
}

/** A wildcard is proved in the DNS only, an address never there (RFC 8555 section 8.4, RFC 8738 section 7). */
function challengeTypes(identifier: AcmeIdentifier): readonly ChallengeType[] {
  if (isWildcard(identifier)) return ['dns-01']
  return identifier.type === 'ip' ? ['http-01', 'tls-alpn-01'] : CHALLENGE_TYPES
}

function withAuthorization(order: AcmeOrder, index: number, change: Partial<AcmeAuthorization>): AcmeOrder {
  const changed = { ...authorizationAt(order, index), ...change }
  return { ...order, authorizations: order.authorizations.with(index, changed) }
}

function withChallenge(
  order: AcmeOrder,
  index: number,
  type: ChallengeType,
  change: Partial<AcmeChallenge>,
): AcmeOrder {
  const { challenges } = authorizationAt(order, index)
  const changed = challenges.map((challenge) => (challenge.type === type ? { ...challenge, ...change } : challenge))
  return withAuthorization(order, index, { challenges: changed })
}
