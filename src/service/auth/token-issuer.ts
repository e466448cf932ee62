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
import type { RecordAct } from './record-act.ts'
import { RevokedTokens } from './revoked-tokens.ts'
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
  /**
   * The public keys as the text of a JWK set, for the node's own record: every node verifies tokens with it, offline. What was
   * revoked lately is in the set as a member of its own (RFC 7517 section 5), so that every node refuses it.
   */
  publicKeys(): string
  /** Told when {@link publicKeys} has changed. @returns a function that unregisters */
  onKeysChange(listener: () => void): () => void
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
  issue(credential: string, options: { role?: PersonRole; ttlS?: number; record: RecordAct }): Promise<AccessToken>
  /**
   * Makes the secret of a one-time login link, good for {@link LOGIN_LINK_TTL_S}.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID
   */
  makeLink(credential: string, record: RecordAct): Promise<string>
  /** Trades such a secret, once. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID: it was used, is too old, or is none */
  issueForLink(secret: string, options: { ttlS: number; record: RecordAct }): Promise<AccessToken>
  /**
   * A new token in place of one that holds, for at most {@link TOKEN_TTL_S_MAX} since its person signed in. The old one lives on
   * until its end.
   * @returns undefined when it can live no longer than it does
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   */
  renew(token: string, options: { ttlS: number }): Promise<AccessToken | undefined>
  /** What a token says. @throws {RpcError} as `renew` */
  read(token: string): Promise<VerifiedToken>
  /** A token for a person whose credential somebody else has checked. */
  sign(person: SignedInPerson, ttlS: number): Promise<AccessToken>
  /**
   * Withdraws tokens and sessions by their ids, and does what else belongs to it, in one commit; durable once this resolves.
   * @param ids with the moment after which nothing with that id is good any more, wall time, Unix milliseconds
   */
  withdraw(ids: readonly { id: string; endsMs: number }[], also?: readonly Operation[]): Promise<void>
  /**
   * Withdraws a token, and the whole session it is of; durable once this resolves.
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   */
  revoke(token: string, record?: RecordAct): Promise<void>
  /** @param id of a token or of a session */
  isRevoked(id: string): boolean
}

/** Whom a token names. */
export interface SignedInPerson {
  name: string
  role: PersonRole
  /** Id of the session the token is of; a token without one stands for itself. */
  sid?: string
  /** When the person signed in, wall time, Unix seconds; now by default. */
  signedInS?: number
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

const CREDENTIAL_KEY = 'auth/credentials/operator'
/** The name in the tokens of who signs in with the operator credential; no user may have it. */
export const OPERATOR = 'operator'

/** @param options.cluster the issuer named in the tokens */
export function createTokenIssuer(needs: TokenIssuerNeeds, options: { cluster: string }): TokenIssuer & Component {
  return new StoredTokenIssuer(needs, options.cluster)
}

class StoredTokenIssuer implements TokenIssuer, Component {
  readonly name = 'token-issuer'
  readonly #needs: TokenIssuerNeeds
  readonly #cluster: string
  readonly #log: Logger
  readonly #revoked: RevokedTokens
  #key: SigningKey | undefined
  #credential: StoredCredential | undefined
  #verifier: TokenVerifier | undefined
  readonly #links: LoginLinks

  constructor(needs: TokenIssuerNeeds, cluster: string) {
    this.#needs = needs
    this.#cluster = cluster
    this.#log = needs.log.child('Auth')
    this.#links = new LoginLinks(needs)
    this.#revoked = new RevokedTokens(needs.store)
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { store, random } = this.#needs
    this.#key = await loadSigningKey(store, random)
    this.#credential = await getJson<StoredCredential>(store, CREDENTIAL_KEY)
    await this.#revoked.load()
  }

  async stop(): Promise<void> {}

  publicKeys(): string {
    const revoked = this.#revoked.published(this.#needs.clock.wallMs())
    return JSON.stringify({ keys: [this.#signingKey().publicJwk], ...(revoked.length > 0 && { revoked }) })
  }

  onKeysChange(listener: () => void): () => void {
    return this.#revoked.onChange(listener)
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

  async issue(
    credential: string,
    options: { role?: PersonRole; ttlS?: number; record: RecordAct },
  ): Promise<AccessToken> {
    const stored = this.#checked(credential)
    const { role = stored.role, ttlS = TOKEN_TTL_S_DEFAULT } = options
    assert(ttlS >= 1 && ttlS <= TOKEN_TTL_S_MAX, `a token of ${ttlS} s was asked for`)
    if (!includesRole(stored.role, role)) {
      throw new RpcError('P2P_RPC_ACCESS_DENIED', `The credential is for ${stored.role}, not for ${role}`, { role })
    }
    await options.record({ name: OPERATOR, role })
    return this.sign({ name: OPERATOR, role }, ttlS)
  }

  async makeLink(credential: string, record: RecordAct): Promise<string> {
    const { role } = this.#checked(credential)
    await record({ name: OPERATOR, role })
    this.#log.info('Login link made', { name: OPERATOR, role })
    return this.#links.make(role)
  }

  async issueForLink(secret: string, { ttlS, record }: { ttlS: number; record: RecordAct }): Promise<AccessToken> {
    const role = this.#links.take(secret)
    if (!role) {
      throw new RpcError(
        'P2P_AUTH_CREDENTIAL_INVALID',
        'The login link was used already, or is older than ten minutes; make another with "p2p login --link"',
      )
    }
    await record({ name: OPERATOR, role })
    return this.sign({ name: OPERATOR, role }, ttlS)
  }

  async renew(token: string, { ttlS }: { ttlS: number }): Promise<AccessToken | undefined> {
    const { principal, expiresAtMs, signedInMs, sid } = await this.read(token)
    assert(principal.kind === 'person', 'tokens are for people')
    const nowS = Math.floor(this.#needs.clock.wallMs() / 1000)
    const endS = Math.min(nowS + ttlS, signedInMs / 1000 + TOKEN_TTL_S_MAX)
    if (endS * 1000 <= expiresAtMs) return undefined
    const { name, role } = principal
    return this.sign({ name, role, signedInS: signedInMs / 1000, ...(sid !== undefined && { sid }) }, endS - nowS)
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

  async sign({ name, role, sid, signedInS }: SignedInPerson, ttlS: number): Promise<AccessToken> {
    const { SignJWT, importJWK } = await import('jose')
    const { kid, privateJwk } = this.#signingKey()
    const issuedAtS = Math.floor(this.#needs.clock.wallMs() / 1000)
    const jti = toBase64Url(this.#needs.random.bytes(16))
    const token = await new SignJWT({
      role,
      ...(sid !== undefined && { sid }),
      ...(signedInS !== undefined && { auth_time: signedInS }),
    })
      .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid, typ: ACCESS_TOKEN_TYPE })
      .setIssuer(this.#cluster)
      .setAudience(ACCESS_TOKEN_AUDIENCE)
      .setSubject(name)
      .setJti(jti)
      .setIssuedAt(issuedAtS)
      .setExpirationTime(issuedAtS + ttlS)
      .sign(await importJWK(privateJwk, TOKEN_ALGORITHM))
    this.#log.info('Access token issued', { name, role, jti, ttl_s: ttlS })
    return { access_token: token, token_type: 'bearer', expires_in: ttlS, role }
  }

  async revoke(token: string, record?: RecordAct): Promise<void> {
    const { principal, jti, expiresAtMs, sid, signedInMs } = await this.read(token)
    if (principal.kind === 'person') await record?.(principal)
    const ids = [{ id: jti, endsMs: expiresAtMs }]
    if (sid !== undefined) ids.push({ id: sid, endsMs: signedInMs + TOKEN_TTL_S_MAX * 1_000 })
    await this.withdraw(ids)
    this.#log.info('Access token revoked', { caller: principalLabel(principal), jti })
  }

  async withdraw(ids: readonly { id: string; endsMs: number }[], also: readonly Operation[] = []): Promise<void> {
    await this.#revoked.add(ids, this.#needs.clock.wallMs(), also)
  }

  isRevoked(id: string): boolean {
    return this.#revoked.has(id)
  }

  async #tokenVerifier(): Promise<TokenVerifier> {
    const { createTokenVerifier } = await import('./token-verifier.ts')
    this.#verifier ??= createTokenVerifier(
      {
        clock: this.#needs.clock,
        // What was revoked it is told of below.
        tokenKeys: () => [JSON.stringify({ keys: [this.#signingKey().publicJwk] })],
        isRevoked: (id) => this.isRevoked(id),
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
