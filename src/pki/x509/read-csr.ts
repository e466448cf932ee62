import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { toHex } from '../../base/bytes.ts'
import { messageOf, PkiError } from '../../base/errors.ts'
import { DER, type DerElement, readDer } from './der.ts'
import { fromPem } from './pem.ts'

/*
 * Read by hand, although there is a library in the program: it takes some 5 ms of CPU for what is done here in 0.3 ms, and a thousand
 * machines may be switched on together. Only the outermost structure is read; key and signature are OpenSSL's to judge.
 */

export const CSR_PEM_CHARACTERS_MAX = 16 * 1024

/** A certificate request whose signature was verified. */
export interface CertificateSigningRequest {
  der: Uint8Array
  /** The requester's SubjectPublicKeyInfo, DER. */
  publicKeyDer: Uint8Array
  /** SHA-256 of `publicKeyDer`, lower-case hex. */
  keyFingerprint: string
}

/** ECDSA with SHA-256, SHA-384 and SHA-512 (RFC 5758 section 3.2), as contents of an AlgorithmIdentifier. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['06082a8648ce3d040302', 'sha256'],
  ['06082a8648ce3d040303', 'sha384'],
  ['06082a8648ce3d040304', 'sha512'],
])
const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1'])

/**
 * Checks a request (RFC 2986 section 4): at most 16 KiB, well-formed, an EC key on P-256 or P-384, and signed with that
 * key. Names and extensions in it are not read.
 * @throws {PkiError} P2P_PKI_CSR_REJECTED
 */
export function readCsr(pem: string): CertificateSigningRequest {
  if (pem.length > CSR_PEM_CHARACTERS_MAX) throw rejected(`it is longer than ${CSR_PEM_CHARACTERS_MAX} characters`)
  const der = fromPem('CERTIFICATE REQUEST', pem)
  if (!der) throw rejected('it is not one PEM block labelled CERTIFICATE REQUEST')
  try {
    const [info, algorithm, signature] = childrenOf(only(readDer(der), DER.sequence), 3)
    const [version, , publicKeyInfo] = childrenOf(ofTag(info, DER.sequence), 4)
    if (toHex(version.encoded) !== '020100') throw rejected('its version is not the one there is')
    const key = readKey(ofTag(publicKeyInfo, DER.sequence).encoded)
    const hash = HASHES.get(toHex(ofTag(algorithm, DER.sequence).contents))
    if (hash === undefined) throw rejected('it is not signed by ECDSA with SHA-256, SHA-384 or SHA-512')
    const bits = ofTag(signature, DER.bitString).contents
    const isSigned = bits[0] === 0 && verify(hash, info.encoded, key, bits.subarray(1))
    if (!isSigned) throw rejected('its signature was not made with its key')
    const publicKeyDer = new Uint8Array(publicKeyInfo.encoded)
    return { der, publicKeyDer, keyFingerprint: createHash('sha256').update(publicKeyDer).digest('hex') }
  } catch (error) {
    throw error instanceof PkiError ? error : rejected(messageOf(error))
  }
}

export function rejected(reason: string): PkiError {
  return new PkiError('P2P_PKI_CSR_REJECTED', `The certificate request was refused: ${reason}`)
}

function readKey(publicKeyInfo: Uint8Array): KeyObject {
  const key = createPublicKey({ key: Buffer.from(publicKeyInfo), format: 'der', type: 'spki' })
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  if (!CURVES.has(namedCurve)) {
    const shown = namedCurve ?? `${key.asymmetricKeyType} ${modulusLength ?? ''}`.trim()
    throw rejected(`its key is ${shown}; use an EC key on P-256 or P-384`)
  }
  // A key is known by the hash of its bytes: there must be one way only to write it.
  if (key.export({ type: 'spki', format: 'der' }).equals(publicKeyInfo)) return key
  throw rejected('its key is not written in the usual form')
}

function only(elements: readonly DerElement[], tag: number): DerElement {
  if (elements.length !== 1) throw new RangeError('something is before or behind it')
  return ofTag(elements[0] as DerElement, tag)
}

function ofTag(element: DerElement, tag: number): DerElement {
  if (element.tag !== tag) throw new RangeError('it has another structure than PKCS#10')
  return element
}

/** @throws {RangeError} there are more or fewer */
function childrenOf<N extends 3 | 4>(parent: DerElement, count: N): N extends 3 ? Triple : Quadruple {
  const children = readDer(parent.contents)
  if (children.length !== count) throw new RangeError('it has another structure than PKCS#10')
  return children as N extends 3 ? Triple : Quadruple
}

type Triple = [DerElement, DerElement, DerElement]
type Quadruple = [...Triple, DerElement]
