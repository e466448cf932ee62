import { createPublicKey, type KeyObject } from 'node:crypto'
import type { FlattenedJWSInput, JWK } from 'jose'
import { fromBase64Url } from '../../base/bytes.ts'
import { AcmeProblem } from '../acme/problem.ts'

/** What accounts may sign with; each fits one kind of key only, so that none can be taken for another. */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256'] as const
const RSA_BITS_MIN = 2_048
const HEADER_CHARACTERS_MAX = 16_384

/** Loaded at the first request: most coordinators never get one. */
const jose = () => import('jose')

/** The protected header of a request (RFC 8555 section 6.2); not verified yet. */
export interface AcmeHeader {
  alg: string
  nonce: string | undefined
  url: string
  /** Exactly one of these two. */
  jwk: JWK | undefined
  kid: string | undefined
}

/**
 * Reads a request's shape and header, before any signature is looked at.
 * @throws {AcmeProblem} malformed, badSignatureAlgorithm
 */
export function readJws(value: unknown): { jws: FlattenedJWSInput; header: AcmeHeader } {
  const { protected: encoded, payload, signature, header: open } = asObject(value, 'The request')
  if (typeof encoded !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') {
    throw new AcmeProblem('malformed', 'The request is no flattened JWS: protected, payload and signature are texts')
  }
  if (open !== undefined) throw new AcmeProblem('malformed', 'The JWS must have no unprotected header')
  if (encoded.length > HEADER_CHARACTERS_MAX) throw new AcmeProblem('malformed', 'The protected header is too long')
  const { alg, nonce, url, jwk, kid } = asObject(parsed(fromBase64Url(encoded)), 'The protected header')
  if (typeof alg !== 'string' || !(ALGORITHMS as readonly string[]).includes(alg)) {
    throw new AcmeProblem('badSignatureAlgorithm', `Requests are signed with ${ALGORITHMS.join(', ')}`, {
      algorithms: ALGORITHMS,
    })
  }
  if (typeof url !== 'string') throw new AcmeProblem('malformed', 'The protected header has no url')
  if ((jwk === undefined) === (kid === undefined) || (kid !== undefined && typeof kid !== 'string')) {
    throw new AcmeProblem('malformed', 'The protected header has either jwk or kid')
  }
  const key = jwk === undefined ? undefined : publicJwk(jwk)
  const header = {
    alg,
    nonce: typeof nonce === 'string' ? nonce : undefined,
    url,
    jwk: key,
    kid,
  }
  return { jws: { protected: encoded, payload, signature }, header }
}

/**
 * Verifies the signature and gives the payload; undefined for the empty one of POST-as-GET (RFC 8555 section 6.3).
 * @throws {AcmeProblem} badPublicKey, unauthorized, malformed
 */
export async function verifiedPayload(
  jws: FlattenedJWSInput,
  jwk: JWK,
  algorithms: readonly string[] = ALGORITHMS,
): Promise<Record<string, unknown> | undefined> {
  const key = accountKey(jwk)
  let payload: Uint8Array
  try {
    const { flattenedVerify } = await jose()
    payload = (await flattenedVerify(jws, key, { algorithms: [...algorithms] })).payload
  } catch {
    // What exactly did not fit helps only who tries; a client has one key and one way to sign.
    throw new AcmeProblem('unauthorized', 'The signature was not made with the key of the account over this request')
  }
  return payload.length === 0 ? undefined : asObject(parsed(payload), 'The payload')
}

/**
 * Checks the binding to an external account: signed with the credential's key over the account's own key, for this URL
 * (RFC 8555 section 7.3.4).
 * @throws {AcmeProblem} unauthorized, malformed
 */
export async function checkBinding(
  value: unknown,
  expected: { url: string; accountThumbprint: string; hmacKey: Uint8Array },
): Promise<void> {
  const { protected: encoded, payload, signature } = asObject(value, 'externalAccountBinding')
  const refused = new AcmeProblem(
    'unauthorized',
    'The external account binding was not made with this key for this URL',
  )
  if (typeof encoded !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') throw refused
  const { url, nonce } = asObject(parsed(fromBase64Url(encoded)), 'Its protected header')
  if (url !== expected.url || nonce !== undefined) throw refused
  let bound: Uint8Array
  try {
    const { flattenedVerify } = await jose()
    const jws = { protected: encoded, payload, signature }
    bound = (await flattenedVerify(jws, expected.hmacKey, { algorithms: ['HS256'] })).payload
  } catch {
    throw refused
  }
  const jwk = publicJwk(parsed(bound))
  if ((await thumbprintOf(jwk)) !== expected.accountThumbprint) throw refused
}

/** The `kid` of an external account binding; it says which key to check it with. @throws {AcmeProblem} malformed */
export function bindingKid(value: unknown): string {
  const { protected: encoded } = asObject(value, 'externalAccountBinding')
  if (typeof encoded !== 'string' || encoded.length > HEADER_CHARACTERS_MAX) {
    throw new AcmeProblem('malformed', 'externalAccountBinding is no flattened JWS')
  }
  const { kid } = asObject(parsed(fromBase64Url(encoded)), 'Its protected header')
  if (typeof kid === 'string') return kid
  throw new AcmeProblem('malformed', 'The protected header of externalAccountBinding has no kid')
}

/** RFC 7638, SHA-256, base64url. */
export async function thumbprintOf(jwk: JWK): Promise<string> {
  return (await jose()).calculateJwkThumbprint(jwk, 'sha256')
}

/** A JWK as a key that is sound enough to be trusted with certificates. @throws {AcmeProblem} badPublicKey */
export function accountKey(jwk: JWK): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    throw new AcmeProblem('badPublicKey', 'The key of the account is not a usable public key')
  }
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {}
  const isWeakRsa =
    key.asymmetricKeyType === 'rsa' && ((modulusLength ?? 0) < RSA_BITS_MIN || (publicExponent ?? 0n) < 65_537n)
  if (isWeakRsa) throw new AcmeProblem('badPublicKey', `An RSA key has at least ${RSA_BITS_MIN} bits`)
  return key
}

/** Only the members of a public key: whatever else a client put beside them is not kept. */
function publicJwk(value: unknown): JWK {
  const { kty, crv, x, y, n, e } = asObject(value, 'jwk')
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, member]) => typeof member === 'string')
  if (typeof kty !== 'string' || kty === 'oct') throw new AcmeProblem('badPublicKey', 'jwk is no public key')
  return Object.fromEntries(members) as JWK
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    throw new AcmeProblem('malformed', 'What was signed is not JSON')
  }
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new AcmeProblem('malformed', `${what} must be an object`)
}
