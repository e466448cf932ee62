import { RpcError } from '../../base/errors.ts'
import { ANONYMOUS, type Principal, principalLabel } from '../../base/identity.ts'
import type { Clock } from '../../base/time.ts'
import { addressPrefix, type ConnectionFacts, createRateLimiter, type RateLimiter } from '../../transport/index.ts'
import { ACCESS, accessRoleOf, isAllowed, type RouteKey } from '../auth/access.ts'
import type { Authenticator, Credentialed } from '../auth/authenticator.ts'

/** Requests are limited in classes, each with buckets of its own; these three are configured. */
export type LimitClass = 'rpc' | 'health' | 'default'
export type RateLimits = Readonly<Record<LimitClass, RateLimiter>>

/**
 * Joining has a lane of its own, so that a thousand machines switched on together behind one address all get in: a
 * join takes three requests. The authority bounds what they cost; this bounds how often it is asked.
 */
const JOINING_LIMIT = { perMinute: 6_000, burst: 3_000 } as const

/** The parts of a large bundle follow each other as fast as the network takes them; their bytes are the bound, not their number. */
const UPLOAD_LIMIT = { perMinute: 1_200, burst: 300 } as const

/** A page is a dozen files, asked for at once and kept by the browser; several people may sit behind one address. */
const PAGE_FILES_LIMIT = { perMinute: 6_000, burst: 1_000 } as const

/**
 * What a node asks by HTTP with its certificate: calls between nodes go over channels, where each has its share of every turn.
 * A thousand a second is more than any has to ask, and a third of what a processor answers.
 */
const NODE_LIMIT = { perMinute: 60_000, burst: 6_000 } as const

/** Classes that are not configured. */
type Lane = 'joining' | 'uploads' | 'page-files' | 'nodes'

export interface GateNeeds {
  clock: Clock
  authenticator: Authenticator
  /** Absent: nobody is limited. */
  limits?: RateLimits
}

/** A request as the gate sees it. */
export interface GateRequest extends Credentialed {
  connection: Pick<ConnectionFacts, 'identity' | 'remoteAddress' | 'peerCertificateDer'>
}

/** Every request passes here once, whichever way it came: who is it, how often, and may it. */
export interface Gate {
  /**
   * @param key the table's route; undefined for a path that does not exist, whose absence only known callers learn
   * @throws {RpcError} P2P_AUTH_TOKEN_…, P2P_RPC_AUTHENTICATION_REQUIRED, P2P_RPC_ACCESS_DENIED, P2P_RPC_RATE_LIMITED
   */
  admit(key: RouteKey | undefined, request: GateRequest): Promise<Principal>
}

export function createGate(needs: GateNeeds): Gate {
  return new TableGate(needs)
}

class TableGate implements Gate {
  readonly #authenticator: Authenticator
  readonly #limits: Readonly<Record<LimitClass | Lane, RateLimiter>> | undefined

  constructor({ authenticator, limits, clock }: GateNeeds) {
    this.#authenticator = authenticator
    this.#limits = limits && {
      ...limits,
      joining: createRateLimiter({ clock }, JOINING_LIMIT),
      uploads: createRateLimiter({ clock }, UPLOAD_LIMIT),
      'page-files': createRateLimiter({ clock }, PAGE_FILES_LIMIT),
      nodes: createRateLimiter({ clock }, NODE_LIMIT),
    }
  }

  async admit(key: RouteKey | undefined, request: GateRequest): Promise<Principal> {
    const limitClass = limitClassOf(key)
    const limiter = this.#limits?.[limitClass]
    const isOpen = key !== undefined && ACCESS[key] === 'open'
    let principal: Principal = ANONYMOUS
    // Open routes look at certificates only: an expired token must not turn a health check red.
    if (!isOpen || request.connection.identity) {
      try {
        principal = await this.#authenticator.authenticate(request)
      } catch (error) {
        limit(limiter, ANONYMOUS, request)
        throw error
      }
    }
    // Machines have lanes of their own: what a person or stranger sends never delays them, and a renewal has another than the rest.
    const isRest = principal.kind === 'node' && limitClass !== 'joining'
    limit(isRest ? this.#limits?.nodes : limiter, principal, request)
    if (isOpen) return principal
    if (principal.kind === 'anonymous') throw authenticationRequired(request)
    if (key !== undefined && !isAllowed(key, principal)) throw accessDenied(key, principal)
    return principal
  }
}

function limit(limiter: RateLimiter | undefined, principal: Principal, request: GateRequest): void {
  if (!limiter) return
  const isStranger = principal.kind === 'anonymous'
  const key = isStranger ? addressPrefix(request.connection.remoteAddress) : principalLabel(principal)
  const verdict = limiter.take(key)
  if (verdict.ok) return
  const retryAfterS = Math.ceil(verdict.retryAfterMs / 1000)
  throw new RpcError('P2P_RPC_RATE_LIMITED', `Too many requests from ${key}; try again in ${retryAfterS} s`, {
    retry_after_s: retryAfterS,
  })
}

function limitClassOf(key: RouteKey | undefined): LimitClass | Lane {
  if (key === 'POST /rpc') return 'rpc'
  if (key?.includes(' /internal/') || key?.includes(' /acme/')) return 'joining'
  if (key === 'PUT /api/artifacts/{digest}') return 'uploads'
  if (key?.endsWith('/assets/{file}')) return 'page-files'
  return key === 'GET /health' || key === 'GET /metrics' ? 'health' : 'default'
}

function authenticationRequired({ connection }: GateRequest): RpcError {
  const shown = connection.peerCertificateDer
    ? 'The client certificate shown is not accepted here: it has expired, was revoked, or belongs to another cluster. '
    : ''
  return new RpcError(
    'P2P_RPC_AUTHENTICATION_REQUIRED',
    `${shown}This path needs a node certificate or an access token. Run "p2p login" and send the token as "Authorization: Bearer TOKEN", or use the curl configuration it writes: curl -K FILE URL`,
  )
}

function accessDenied(key: RouteKey, principal: Principal): RpcError {
  const roles = ACCESS[key] as readonly string[]
  const role = accessRoleOf(principal)
  return new RpcError(
    'P2P_RPC_ACCESS_DENIED',
    `${key} is for ${roles.join(', ')}; ${principalLabel(principal)} is ${role}`,
    {
      roles,
      role,
      caller: principalLabel(principal),
    },
  )
}
