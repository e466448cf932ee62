import { assert } from '../../base/assert.ts'
import { toBase64Url } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { type ControlStore, getJson, jsonValue, type Operation, put } from '../../base/control-store.ts'
import { RpcError } from '../../base/errors.ts'
import { principalLabel } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import {
  ACCESS_TOKEN_AUDIENCE,
  ACCESS_TOKEN_TYPE,
  includesRole,
  type PersonRole,
  TOKEN_ALGORITHM,
  TOKEN_TTL_S_DEFAULT,
  TOKEN_TTL_S_MAX,
} from './access-token.ts'
import { LoginLinks } from './login-links.ts'
import { hashOfCredential, matchesCredential, newOperatorCredential } from './operator-credential.ts'
import { loadSigningKey, type SigningKey } from './signing-key.ts'
import type { TokenVerifier, VerifiedToken } from './token-verifier.ts'

/** Answer of `POST /auth/token` (RFC 6749 section 5.1, plus the role). */
export interface AccessToken {
  access_token: string
  token_type: 'bearer'
  /** Seconds. */
  expires_in: number
  role: PersonRole
}

/** Gives people access tokens for their credential, and takes them back. Coordinator only. */
export interface TokenIssuer {
  /** The public keys as the text of a JWK set, for the node's own record: every node verifies tokens with it, offline. */
  publicKeys(): string
  /**
   * The operator credential of this coordinator: `current` when it is the right one, else a new one that replaces
   * it (first start, lost file). The caller keeps it where only the operating system's user can read it; here only
   * its hash is stored, durably before this resolves.
   */
  ensureOperatorCredential(current: string | undefined): Promise<string>
  /**
   * @param options.role at most the credential's own, which is the default
   * @param options.ttlS seconds, 1 to TOKEN_TTL_S_MAX
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID
   */
  issue(credential: string, options?: { role?: PersonRole; ttlS?: number }): Promise<AccessToken>
  /**
   * Makes the secret of a one-time login link, good for {@link LOGIN_LINK_TTL_S}.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID
   */
  makeLink(credential: string): string
  /** Trades such a secret, once. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID: it was used, is too old, or is none */
  issueForLink(secret: string, options: { ttlS: number }): Promise<AccessToken>
  /**
   * A new token in place of one that holds, for at most {@link TOKEN_TTL_S_MAX} since its person signed in. The old one lives on
   * until its end.
   * @returns undefined when it can live no longer than it does
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   */
  renew(token: string, options: { ttlS: number }): Promise<AccessToken | undefined>
  /** What a token says. @throws {RpcError} as `renew` */
  read(token: string): Promise<VerifiedToken>
  /**
   * Withdraws a token; durable once this resolves.
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   */
  revoke(token: string): Promise<void>
  isRevoked(jti: string): boolean
}

export interface TokenIssuerNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
}

interface StoredCredential {
  hash: string
  role: PersonRole
}

/** `expires_at_ms`: wall time after which the token is dead anyway and the entry can go. */
interface StoredRevocation {
  expires_at_ms: number
}

const CREDENTIAL_KEY = 'auth/credentials/operator'
const REVOKED_PREFIX = 'auth/revoked/'
const OPERATOR = 'operator'

/** Kept longer than the token lives, so that a wall clock set back does not bring it to life again. */
const REVOCATION_GRACE_MS = 24 * 3600_000

/** Entries removed together with one revocation, so that a commit stays small. */
const PRUNED_PER_REVOCATION_MAX = 50

/** @param options.cluster the issuer named in the tokens */
export function createTokenIssuer(needs: TokenIssuerNeeds, options: { cluster: string }): TokenIssuer & Component {
  return new StoredTokenIssuer(needs, options.cluster)
}

class StoredTokenIssuer implements TokenIssuer, Component {
  readonly name = 'token-issuer'
  readonly #needs: TokenIssuerNeeds
  readonly #cluster: string
  readonly #log: Logger
  /** jti → end of the token's life. Bounded by what can be issued in one longest token life: only valid tokens get in, dead ones leave. */
  readonly #revoked = new Map<string, number>()
  #key: SigningKey | undefined
  #credential: StoredCredential | undefined
  #verifier: TokenVerifier | undefined
  readonly #links: LoginLinks

  constructor(needs: TokenIssuerNeeds, cluster: string) {
    this.#needs = needs
    this.#cluster = cluster
    this.#log = needs.log.child('Auth')
    this.#links = new LoginLinks(needs)
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { store, random } = this.#needs
    this.#key = await loadSigningKey(store, random)
    this.#credential = await getJson<StoredCredential>(store, CREDENTIAL_KEY)
    for (const { key, value } of await store.range(REVOKED_PREFIX)) {
      const { expires_at_ms } = JSON.parse(Buffer.from(value).toString('utf8')) as StoredRevocation
      this.#revoked.set(key.slice(REVOKED_PREFIX.length), expires_at_ms)
    }
  }

  async stop(): Promise<void> {}

  publicKeys(): string {
    return JSON.stringify({ keys: [this.#signingKey().publicJwk] })
  }

  async ensureOperatorCredential(current: string | undefined): Promise<string> {
    if (current !== undefined && this.#credential && matchesCredential(current, this.#credential.hash)) return current
    const credential = newOperatorCredential(this.#needs.random)
    const stored: StoredCredential = { hash: hashOfCredential(credential), role: 'admin' }
    await put(this.#needs.store, CREDENTIAL_KEY, jsonValue(stored))
    this.#log.info(this.#credential ? 'Operator credential replaced' : 'Operator credential created')
    this.#credential = stored
    return credential
  }

  async issue(credential: string, options: { role?: PersonRole; ttlS?: number } = {}): Promise<AccessToken> {
    const stored = this.#checked(credential)
    const { role = stored.role, ttlS = TOKEN_TTL_S_DEFAULT } = options
    assert(ttlS >= 1 && ttlS <= TOKEN_TTL_S_MAX, `a token of ${ttlS} s was asked for`)
    if (!includesRole(stored.role, role)) {
      throw new RpcError('P2P_RPC_ACCESS_DENIED', `The credential is for ${stored.role}, not for ${role}`, { role })
    }
    return this.#sign(role, ttlS)
  }

  makeLink(credential: string): string {
    const { role } = this.#checked(credential)
    this.#log.info('Login link made', { name: OPERATOR, role })
    return this.#links.make(role)
  }

  async issueForLink(secret: string, { ttlS }: { ttlS: number }): Promise<AccessToken> {
    const role = this.#links.take(secret)
    if (role) return this.#sign(role, ttlS)
    throw new RpcError(
      'P2P_AUTH_CREDENTIAL_INVALID',
      'The login link was used already, or is older than ten minutes; make another with "p2p login --link"',
    )
  }

  async renew(token: string, { ttlS }: { ttlS: number }): Promise<AccessToken | undefined> {
    const { principal, expiresAtMs, signedInMs } = await this.read(token)
    assert(principal.kind === 'person', 'tokens are for people')
    const nowS = Math.floor(this.#needs.clock.wallMs() / 1000)
    const endS = Math.min(nowS + ttlS, signedInMs / 1000 + TOKEN_TTL_S_MAX)
    if (endS * 1000 <= expiresAtMs) return undefined
    return this.#sign(principal.role, endS - nowS, signedInMs / 1000)
  }

  async read(token: string): Promise<VerifiedToken> {
    return (await this.#tokenVerifier()).verify(token)
  }

  /** @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID */
  #checked(credential: string): StoredCredential {
    const stored = this.#credential
    if (stored && matchesCredential(credential, stored.hash)) return stored
    throw new RpcError(
      'P2P_AUTH_CREDENTIAL_INVALID',
      'The operator credential is not the one of this coordinator; run "p2p login" as the user that runs it',
    )
  }

  async #sign(role: PersonRole, ttlS: number, signedInS?: number): Promise<AccessToken> {
    const { SignJWT, importJWK } = await import('jose')
    const { kid, privateJwk } = this.#signingKey()
    const issuedAtS = Math.floor(this.#needs.clock.wallMs() / 1000)
    const jti = toBase64Url(this.#needs.random.bytes(16))
    const token = await new SignJWT({ role, ...(signedInS !== undefined && { auth_time: signedInS }) })
      .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid, typ: ACCESS_TOKEN_TYPE })
      .setIssuer(this.#cluster)
      .setAudience(ACCESS_TOKEN_AUDIENCE)
      .setSubject(OPERATOR)
      .setJti(jti)
      .setIssuedAt(issuedAtS)
      .setExpirationTime(issuedAtS + ttlS)
      .sign(await importJWK(privateJwk, TOKEN_ALGORITHM))
    this.#log.info('Access token issued', { name: OPERATOR, role, jti, ttl_s: ttlS })
    return { access_token: token, token_type: 'bearer', expires_in: ttlS, role }
  }

  async revoke(token: string): Promise<void> {
    const { principal, jti, expiresAtMs } = await this.read(token)
    const entry: StoredRevocation = { expires_at_ms: expiresAtMs }
    const dead = this.#deadRevocations()
    const operations: Operation[] = dead.map((old) => ({ type: 'delete', key: REVOKED_PREFIX + old }))
    operations.push({ type: 'put', key: REVOKED_PREFIX + jti, value: jsonValue(entry) })
    await this.#needs.store.transact({ operations })
    for (const old of dead) this.#revoked.delete(old)
    this.#revoked.set(jti, expiresAtMs)
    this.#log.info('Access token revoked', { caller: principalLabel(principal), jti })
  }

  isRevoked(jti: string): boolean {
    return this.#revoked.has(jti)
  }

  #deadRevocations(): string[] {
    const beforeMs = this.#needs.clock.wallMs() - REVOCATION_GRACE_MS
    const dead = [...this.#revoked].filter(([, expiresAtMs]) => expiresAtMs <= beforeMs)
    return dead.slice(0, PRUNED_PER_REVOCATION_MAX).map(([jti]) => jti)
  }

  async #tokenVerifier(): Promise<TokenVerifier> {
    const { createTokenVerifier } = await import('./token-verifier.ts')
    this.#verifier ??= createTokenVerifier(
      {
        clock: this.#needs.clock,
        tokenKeys: () => [this.publicKeys()],
        isRevoked: (jti) => this.isRevoked(jti),
      },
      { cluster: () => this.#cluster },
    )
    return this.#verifier
  }

  #signingKey(): SigningKey {
    if (!this.#key) throw new RpcError('P2P_RPC_INTERNAL', 'The token issuer has not been started')
    return this.#key
  }
}
