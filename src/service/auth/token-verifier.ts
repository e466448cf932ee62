import { errors, importJWK, type JWK, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import { RpcError } from '../../base/errors.ts'
import type { Principal } from '../../base/identity.ts'
import type { Clock } from '../../base/time.ts'
import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_TYPE, isPersonRole, TOKEN_ALGORITHM } from './access-token.ts'

/** An access token that holds: whom it names, and until when. */
export interface VerifiedToken {
  principal: Principal
  /** Unique id of the token (RFC 7519 section 4.1.7): what a revocation names. */
  jti: string
  /** Id of the session it is of, where it is of one: a revocation of that ends it too. */
  sid: string | undefined
  /** Wall time, Unix milliseconds. */
  expiresAtMs: number
  /** When the person signed in, whatever was renewed since; wall time, Unix milliseconds. */
  signedInMs: number
}

export interface TokenVerifierNeeds {
  clock: Clock
  /** The JWK sets (JSON texts) of the coordinators, as their signed records carry them; own keys included. Asked at every call. */
  tokenKeys: () => readonly string[]
  /** Whether a token or session was withdrawn before its end, by its id; asked besides what the key sets say of that. */
  isRevoked?: (id: string) => boolean
}

/** Checks access tokens without asking anybody. */
export interface TokenVerifier {
  /**
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   * @see RFC 9068 (access token profile), RFC 8725 (fixed algorithm, typ, issuer and audience)
   */
  verify(token: string): Promise<VerifiedToken>
}

/** Verifying a signature costs some 0.4 ms, so what held a moment ago is remembered until it expires. */
const REMEMBERED_TOKENS_MAX = 1_000

/** More coordinators with keys than this are ignored: a record is written by a peer. */
const KEY_SETS_MAX = 32

/** @param options.cluster the issuer that tokens must name */
export function createTokenVerifier(needs: TokenVerifierNeeds, options: { cluster: () => string }): TokenVerifier {
  return new JoseTokenVerifier(needs, options.cluster)
}

class JoseTokenVerifier implements TokenVerifier {
  readonly #needs: TokenVerifierNeeds
  readonly #cluster: () => string
  readonly #remembered = new LRUCache<string, VerifiedToken>({ max: REMEMBERED_TOKENS_MAX })
  #keyTexts = ''
  #keys = new Map<string, JWK>()
  #revoked = new Set<string>()

  constructor(needs: TokenVerifierNeeds, cluster: () => string) {
    this.#needs = needs
    this.#cluster = cluster
  }

  async verify(token: string): Promise<VerifiedToken> {
    this.#refreshKeys()
    let verified = this.#remembered.get(token)
    if (!verified) {
      verified = await this.#verifySignature(token)
      this.#remembered.set(token, verified)
    }
    if (verified.expiresAtMs <= this.#needs.clock.wallMs()) {
      this.#remembered.delete(token)
      throw expired()
    }
    if (this.#isRevoked(verified.jti) || (verified.sid !== undefined && this.#isRevoked(verified.sid))) {
      throw new RpcError('P2P_AUTH_TOKEN_REVOKED', 'The access token was revoked; log in again with "p2p login"')
    }
    return verified
  }

  #isRevoked(id: string): boolean {
    return this.#revoked.has(id) || this.#needs.isRevoked?.(id) === true
  }

  async #verifySignature(token: string): Promise<VerifiedToken> {
    try {
      const { payload } = await jwtVerify(token, this.#keyOf, {
        algorithms: [TOKEN_ALGORITHM],
        typ: ACCESS_TOKEN_TYPE,
        issuer: this.#cluster(),
        audience: ACCESS_TOKEN_AUDIENCE,
        requiredClaims: ['sub', 'jti', 'exp', 'role'],
        currentDate: new Date(this.#needs.clock.wallMs()),
      })
      const { sub, jti, exp, role, sid, iat = exp, auth_time: signedInS = iat } = payload
      if (!sub || !jti || !exp || !isPersonRole(role) || typeof signedInS !== 'number')
        throw new errors.JWTInvalid('a claim has the wrong type')
      if (sid !== undefined && typeof sid !== 'string') throw new errors.JWTInvalid('the session has the wrong type')
      return {
        principal: { kind: 'person', name: sub, role },
        jti,
        sid,
        expiresAtMs: exp * 1000,
        signedInMs: signedInS * 1000,
      }
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw expired()
      throw new RpcError(
        'P2P_AUTH_TOKEN_INVALID',
        `The access token is not valid for cluster ${this.#cluster()}; log in again with "p2p login"`,
        {},
        { cause: error },
      )
    }
  }

  /** The key a token names; only Ed25519 keys are ever in the table, so no other kind can be mistaken for one. */
  readonly #keyOf: JWTVerifyGetKey = async ({ kid }) => {
    const jwk = kid === undefined ? undefined : this.#keys.get(kid)
    if (!jwk) throw new errors.JWKSNoMatchingKey()
    return importJWK(jwk, TOKEN_ALGORITHM)
  }

  #refreshKeys(): void {
    const texts = this.#needs.tokenKeys().slice(0, KEY_SETS_MAX)
    const joined = texts.join('\n')
    if (joined === this.#keyTexts) return
    this.#keyTexts = joined
    const sets = texts.map(parseKeySet)
    this.#keys = new Map(sets.flatMap(({ keys }) => keys).map((jwk) => [jwk.kid as string, jwk]))
    this.#revoked = new Set(sets.flatMap(({ revoked }) => revoked))
    this.#remembered.clear()
  }
}

function expired(): RpcError {
  return new RpcError('P2P_AUTH_TOKEN_EXPIRED', 'The access token has expired; log in again with "p2p login"')
}

/**
 * The usable keys of a JWK set (RFC 7517 section 5) and the ids it revokes: a set of another coordinator's making that cannot be
 * read holds none.
 */
function parseKeySet(text: string): { keys: JWK[]; revoked: string[] } {
  try {
    const { keys, revoked = [] } = JSON.parse(text) as { keys: JWK[]; revoked?: string[] }
    return {
      keys: keys.filter((jwk) => typeof jwk.kid === 'string' && jwk.kty === 'OKP' && jwk.crv === 'Ed25519'),
      revoked: revoked.filter((id) => typeof id === 'string'),
    }
  } catch {
    return { keys: [], revoked: [] }
  }
}
