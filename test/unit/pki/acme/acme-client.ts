import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { exportJWK, FlattenedSign, type JWK } from 'jose'
import type { Acme, AcmeAnswer } from '../../../../src/base/acme.ts'
import { toBase64Url, utf8 } from '../../../../src/base/bytes.ts'

export const BASE = 'https://coordinator.test:8001'

export interface SentRequest {
  path: string
  payload: object | undefined
  /** What the protected header says instead of what it should. */
  header?: Record<string, unknown>
  isSameHost?: boolean
}

/** An ACME client that can be told to do everything wrong. */
export class AcmeTestClient {
  readonly #server: Acme
  readonly #key: KeyObject
  readonly #alg: string
  jwk: JWK = {}
  kid: string | undefined
  /** Types of problem of challenges that it had looked at. */
  readonly challengeFailures: string[] = []
  #nonce: string | undefined

  private constructor(server: Acme, key: KeyObject, alg: string) {
    this.#server = server
    this.#key = key
    this.#alg = alg
  }

  static async create(
    server: Acme,
    alg: 'ES256' | 'EdDSA' | 'RS256' = 'ES256',
    rsaBits = 2_048,
  ): Promise<AcmeTestClient> {
    const { privateKey, publicKey } =
      alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: rsaBits })
        : alg === 'EdDSA'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const client = new AcmeTestClient(server, privateKey, alg)
    client.jwk = await exportJWK(publicKey)
    return client
  }

  /** The same account at another server. */
  at(server: Acme): AcmeTestClient {
    return Object.assign(new AcmeTestClient(server, this.#key, this.#alg), { jwk: this.jwk, kid: this.kid })
  }

  /** The body of a request as it would be sent. */
  async sign({ path, payload, header = {} }: SentRequest): Promise<object> {
    const identity = this.kid === undefined ? { jwk: this.jwk } : { kid: this.kid }
    const protectedHeader = {
      alg: this.#alg,
      nonce: this.#nonce ?? this.#server.nonce(),
      url: BASE + path,
      ...identity,
      ...header,
    }
    const members = Object.entries(protectedHeader).filter(([, value]) => value !== undefined)
    const signer = new FlattenedSign(payload === undefined ? new Uint8Array() : utf8(JSON.stringify(payload)))
    return signer.setProtectedHeader(Object.fromEntries(members) as { alg: string }).sign(this.#key)
  }

  async post(path: string, payload?: object, more: Partial<SentRequest> = {}): Promise<AcmeAnswer> {
    const body = await this.sign({ path, payload, ...more })
    return this.send(path, body, more.isSameHost)
  }

  async send(path: string, body: unknown, isSameHost = false): Promise<AcmeAnswer> {
    const signal = new AbortController().signal
    const onChallengeFailed = (type: string): void => void this.challengeFailures.push(type)
    const answer = await this.#server.post({ base: BASE, path, isSameHost, onChallengeFailed }, body, signal)
    this.#nonce = answer.headers['replay-nonce']
    return answer
  }

  /** External account binding for this client's key. */
  async binding(kid: string, hmacKey: string, header: Record<string, unknown> = {}): Promise<object> {
    const protectedHeader = { alg: 'HS256', kid, url: `${BASE}/acme/new-account`, ...header }
    return new FlattenedSign(utf8(JSON.stringify(this.jwk)))
      .setProtectedHeader(protectedHeader)
      .sign(new Uint8Array(Buffer.from(hmacKey, 'base64url')))
  }

  async openAccount(credential: { hmac_key: string; facts: { kid: string } }): Promise<AcmeAnswer> {
    const externalAccountBinding = await this.binding(credential.facts.kid, credential.hmac_key)
    const answer = await this.post('/acme/new-account', { termsOfServiceAgreed: true, externalAccountBinding })
    if (answer.status === 201) this.kid = answer.headers.location
    return answer
  }
}

/** The path of a URL of the server. */
export function pathOf(url: unknown): string {
  return new URL(String(url)).pathname
}

export function base64UrlDer(pem: string): string {
  const base64 = pem.replaceAll(/-----[^-]+-----|\s/g, '')
  return toBase64Url(new Uint8Array(Buffer.from(base64, 'base64')))
}
