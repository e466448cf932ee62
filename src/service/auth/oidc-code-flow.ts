import { createHash } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import { toBase64Url } from '../../base/bytes.ts'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { PERSON_ROLES, type PersonRole } from './access-token.ts'
import { type Oidc, OIDC_LOGIN_TTL_S, type OidcNeeds, type OidcOptions } from './oidc.ts'

/** Sign-ins under way; the oldest gives way. */
const PENDING_MAX = 1_000
/** What the provider says of itself is asked for again so much later. */
const METADATA_MS = 600_000
/** A key that is not known is looked for at the provider, but not more often than this. */
const KEYS_MS_MIN = 10_000
const CLOCK_TOLERANCE_S = 60

/** Signatures by the provider's private key only: never `none`, and never a shared secret, for which a public key could be taken. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

const NAME = /^[a-z0-9][a-z0-9._@-]{0,57}$/

interface Metadata {
  issuer: string
  authorization_endpoint: string
  token_endpoint: string
  jwks_uri: string
  token_endpoint_auth_methods_supported?: string[]
}

interface Pending {
  nonce: string
  verifier: string
  redirectUri: string
  endsMs: number
}

/** As {@link Oidc}. */
export class CodeFlow implements Oidc {
  readonly issuer: string
  readonly #needs: OidcNeeds
  readonly #log: Logger
  readonly #options: OidcOptions
  readonly #pending = new LRUCache<string, Pending>({ max: PENDING_MAX })
  #metadata: { value: Metadata; atMs: number } | undefined
  #keys: { value: JSONWebKeySet; atMs: number } | undefined

  constructor(needs: OidcNeeds, options: OidcOptions) {
    this.#needs = needs
    this.#log = needs.log.child('Auth')
    this.#options = options
    this.issuer = options.issuer
  }

  async begin(redirectUri: string) {
    const { authorization_endpoint } = await this.#provider()
    const [state, nonce, verifier] = [this.#secret(), this.#secret(), this.#secret()]
    this.#pending.set(state, {
      nonce,
      verifier,
      redirectUri,
      endsMs: this.#needs.clock.nowMs() + OIDC_LOGIN_TTL_S * 1_000,
    })
    const address = new URL(authorization_endpoint)
    const asked = {
      response_type: 'code',
      client_id: this.#options.clientId,
      redirect_uri: redirectUri,
      scope: 'openid profile email',
      state,
      nonce,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    }
    for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value)
    return { address: address.href, state }
  }

  async finish({ state, code, issuer }: { state: string; code: string; issuer?: string }) {
    const pending = this.#pending.get(state)
    this.#pending.delete(state)
    if (!pending || pending.endsMs <= this.#needs.clock.nowMs())
      throw refused('it was begun elsewhere, or too long ago')
    // Another provider's answer, mixed in (RFC 9207).
    if (issuer !== undefined && issuer !== this.issuer) throw refused('another provider answered')
    const claims = await this.#verified(await this.#idToken(code, pending), pending.nonce)
    const person = { name: this.#nameIn(claims), role: this.#roleIn(claims) }
    this.#log.info('Signed in by OpenID Connect', { ...person, subject: claims.sub })
    return person
  }

  /** Trades the code at the provider (RFC 6749 section 4.1.3, RFC 7636 section 4.5). */
  async #idToken(code: string, { verifier, redirectUri }: Pending): Promise<string> {
    const { token_endpoint: url, token_endpoint_auth_methods_supported: methods } = await this.#provider()
    const { clientId } = this.#options
    const clientSecret = this.#options.clientSecret()
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      client_id: clientId,
    })
    const headers: Record<string, string> = {}
    if (clientSecret !== undefined) {
      // Without a word of the provider it takes Basic (OpenID Connect Discovery 1.0 section 3).
      if (!methods || methods.includes('client_secret_basic')) {
        const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
        headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
      } else form.set('client_secret', clientSecret)
    }
    const { status, body } = await this.#needs.fetchJson(url, { form: form.toString(), headers })
    const { id_token: token } = body as { id_token?: unknown }
    if (status !== 200 || typeof token !== 'string')
      throw refused(`the provider did not take its code (status ${status})`)
    return token
  }

  /** OpenID Connect Core 1.0 section 3.1.3.7. */
  async #verified(token: string, nonce: string): Promise<JWTPayload> {
    const { clientId } = this.#options
    try {
      const { payload } = await jwtVerify(token, createLocalJWKSet(await this.#keysFor(token)), {
        algorithms: ALGORITHMS,
        issuer: this.issuer,
        audience: clientId,
        requiredClaims: ['sub', 'iat', 'exp', 'nonce'],
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: new Date(this.#needs.clock.wallMs()),
      })
      const { azp, aud } = payload
      if (payload['nonce'] !== nonce) throw new errors.JWTInvalid('the nonce is another')
      if (Array.isArray(aud) && aud.length > 1 && azp === undefined) throw new errors.JWTInvalid('azp is missing')
      if (azp !== undefined && azp !== clientId) throw new errors.JWTInvalid('it is for another client')
      return payload
    } catch (error) {
      if (error instanceof RpcError) throw error
      this.#log.warning('An ID token was refused', { reason: messageOf(error) })
      throw refused('its ID token does not verify', error)
    }
  }

  /** The provider's keys, asked for again when the token names one that is not among them. */
  async #keysFor(token: string): Promise<JSONWebKeySet> {
    const { kid } = decodeProtectedHeader(token)
    const nowMs = this.#needs.clock.nowMs()
    const known = this.#keys
    const isKnown = known?.value.keys.some((key) => kid === undefined || key.kid === kid)
    if (known && (isKnown ? nowMs - known.atMs < METADATA_MS : nowMs - known.atMs < KEYS_MS_MIN)) return known.value
    const { jwks_uri } = await this.#provider()
    const { status, body } = await this.#needs.fetchJson(jwks_uri)
    const value = body as Partial<JSONWebKeySet>
    if (status !== 200 || !Array.isArray(value.keys)) throw unavailable(`${jwks_uri} has no keys (status ${status})`)
    this.#keys = { value: value as JSONWebKeySet, atMs: nowMs }
    return this.#keys.value
  }

  async #provider(): Promise<Metadata> {
    const nowMs = this.#needs.clock.nowMs()
    if (this.#metadata && nowMs - this.#metadata.atMs < METADATA_MS) return this.#metadata.value
    const url = `${this.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const { status, body } = await this.#needs.fetchJson(url)
    const value = body as Partial<Metadata>
    const { issuer, authorization_endpoint, token_endpoint, jwks_uri } = value
    if (status !== 200 || issuer !== this.issuer) throw unavailable(`${url} does not describe ${this.issuer}`)
    for (const endpoint of [authorization_endpoint, token_endpoint, jwks_uri]) {
      if (URL.parse(endpoint ?? '')?.protocol !== 'https:')
        throw unavailable(`${url} names an address that is not https`)
    }
    this.#metadata = { value: value as Metadata, atMs: nowMs }
    return this.#metadata.value
  }

  #nameIn(claims: JWTPayload): string {
    for (const value of [claimAt(claims, this.#options.nameClaim), claims.sub]) {
      const name = typeof value === 'string' ? value.toLowerCase() : ''
      if (NAME.test(name)) return `oidc:${name}`
    }
    throw refused(`neither the claim ${this.#options.nameClaim} nor sub is a name`)
  }

  /** The highest role that any value of the claim is mapped to. */
  #roleIn(claims: JWTPayload): PersonRole {
    const { roleClaim, roles } = this.#options
    const values = [claimAt(claims, roleClaim)].flat()
    const given = values.map((value) =>
      typeof value === 'string' && Object.hasOwn(roles, value) ? roles[value] : undefined,
    )
    const role = PERSON_ROLES.findLast((candidate) => given.includes(candidate))
    if (role) return role
    throw refused(`the claim ${roleClaim} gives no role here; ask who looks after the provider`)
  }

  #secret(): string {
    return toBase64Url(this.#needs.random.bytes(32))
  }
}

function claimAt(claims: JWTPayload, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return value
}

function refused(why: string, cause?: unknown): RpcError {
  return new RpcError('P2P_AUTH_OIDC_REFUSED', `The sign-in by OpenID Connect is refused: ${why}`, {}, { cause })
}

function unavailable(why: string): RpcError {
  return new RpcError('P2P_AUTH_OIDC_UNAVAILABLE', `The OpenID Connect provider cannot be used now: ${why}`)
}
