import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { type ControlStore, getJson, jsonValue } from '../../base/control-store.ts'
import type { Random } from '../../base/random.ts'

/** An Ed25519 key pair as JWKs (RFC 8037 section 2). */
export interface SigningKey {
  kid: string
  publicJwk: { kty: 'OKP'; crv: 'Ed25519'; x: string; kid: string; alg: 'EdDSA'; use: 'sig' }
  privateJwk: { kty: 'OKP'; crv: 'Ed25519'; x: string; d: string }
}

const STORE_KEY = 'auth/signing-key'

/** PKCS#8 wrapping of a raw Ed25519 private key (RFC 8410 section 7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The key in the store; made on the first start. When two coordinators of one store start together, the first to write wins. */
export async function loadSigningKey(store: ControlStore, random: Random): Promise<SigningKey> {
  const stored = await getJson<SigningKey['privateJwk']>(store, STORE_KEY)
  if (stored) return fromPrivateJwk(stored)
  const privateJwk = newPrivateJwk(random)
  const { succeeded } = await store.transact({
    compares: [{ key: STORE_KEY, revision: 0 }],
    operations: [{ type: 'put', key: STORE_KEY, value: jsonValue(privateJwk) }],
  })
  return succeeded ? fromPrivateJwk(privateJwk) : loadSigningKey(store, random)
}

function newPrivateJwk(random: Random): SigningKey['privateJwk'] {
  const der = Buffer.concat([PKCS8_PREFIX, random.bytes(32)])
  const { x, d } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' })
  return { kty: 'OKP', crv: 'Ed25519', x: x as string, d: d as string }
}

function fromPrivateJwk(privateJwk: SigningKey['privateJwk']): SigningKey {
  const { x } = createPublicKey({ key: privateJwk, format: 'jwk' }).export({ format: 'jwk' })
  // JWK thumbprint: the required members in lexical order (RFC 7638 section 3.2, RFC 8037 appendix A.3).
  const thumbprint = createHash('sha256').update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
  const kid = thumbprint.digest('base64url')
  return { kid, privateJwk, publicJwk: { kty: 'OKP', crv: 'Ed25519', x: x as string, kid, alg: 'EdDSA', use: 'sig' } }
}
