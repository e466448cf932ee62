import { createHash, createPrivateKey, sign, X509Certificate } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { assert } from '../../base/assert.ts'
import { utf8 } from '../../base/bytes.ts'
import { formatSpiffeId, type NodeIdentity } from '../../base/identity.ts'
import { COMMON_NAME, ECDSA_WITH_SHA256 } from './csr.ts'
import { DER, der, type DerElement, readDer } from './der.ts'
import { fromPem, toPem } from './pem.ts'
import type { CaMaterial, Validity } from './signing.ts'

/*
 * Node certificates are written by hand, although there is a library in the program: it takes some 8 ms of CPU for each, this 0.3 ms,
 * and all of them are of one form (RFC 5280 section 4.1), which openssl verifies by its strict rules in the tests.
 */

export interface Leaf {
  publicKeyDer: Uint8Array
  identity: NodeIdentity
  dnsNames: readonly string[]
  /** In the form of `canonicalAddress`. */
  ipAddresses: readonly string[]
  /** Hex, positive, 20 octets. */
  serial: string
  validity: Validity
  crlUrl: string | undefined
}

/** Signs the certificates of nodes with the key of an issuing CA. */
export interface LeafSigner {
  /**
   * A node's certificate: one SPIFFE URI SAN, the names and addresses given, serverAuth and clientAuth.
   * @returns PEM of the leaf alone
   */
  sign(leaf: Leaf): string
}

/** Arcs below 2.5.29, certificate extensions. */
const EXTENSION = {
  subjectKeyIdentifier: 14,
  keyUsage: 15,
  subjectAltName: 17,
  basicConstraints: 19,
  crlDistributionPoints: 31,
  authorityKeyIdentifier: 35,
  extendedKeyUsage: 37,
} as const

/** GeneralName (RFC 5280 section 4.2.1.6), and context-specific tags of others. */
const TAG = { dnsName: 0x82, uri: 0x86, ipAddress: 0x87, keyIdentifier: 0x80, context0: 0xa0 } as const

const ALGORITHM = der(DER.sequence, der(DER.oid, ECDSA_WITH_SHA256))
const VERSION_3 = Uint8Array.of(DER.context0, 3, DER.integer, 1, 2)
const TRUE = Uint8Array.of(DER.boolean, 1, 0xff)

/** No CA; digital signatures only; TLS server and client. The same in every leaf. */
const FIXED_EXTENSIONS = [
  extension(EXTENSION.basicConstraints, der(DER.sequence), { isCritical: true }),
  extension(EXTENSION.keyUsage, Uint8Array.of(DER.bitString, 2, 7, 0x80), { isCritical: true }),
  extension(EXTENSION.extendedKeyUsage, der(DER.sequence, keyPurpose(1), keyPurpose(2))),
]

/** @param issuing an EC key on P-256, and its certificate */
export function createLeafSigner(issuing: CaMaterial): LeafSigner {
  const key = createPrivateKey(issuing.keyPem)
  const certificate = new X509Certificate(issuing.certificatePem)
  const issuer = subjectOf(issuing.certificatePem)
  const issuerKeyId = keyIdOf(certificate.publicKey.export({ type: 'spki', format: 'der' }))
  const authority = extension(EXTENSION.authorityKeyIdentifier, der(DER.sequence, der(TAG.keyIdentifier, issuerKeyId)))
  return {
    sign({ publicKeyDer, identity, dnsNames, ipAddresses, serial, validity, crlUrl }) {
      const names = der(
        DER.sequence,
        der(TAG.uri, utf8(formatSpiffeId(identity))),
        ...dnsNames.map((name) => der(TAG.dnsName, ascii(name))),
        ...ipAddresses.map((address) => der(TAG.ipAddress, addressBytes(address))),
      )
      const extensions = [
        ...FIXED_EXTENSIONS,
        extension(EXTENSION.subjectAltName, names),
        extension(EXTENSION.subjectKeyIdentifier, der(DER.octetString, keyIdOf(publicKeyDer))),
        authority,
        ...(crlUrl === undefined ? [] : [extension(EXTENSION.crlDistributionPoints, distributionPoint(crlUrl))]),
      ]
      const subject = der(DER.sequence, der(DER.oid, COMMON_NAME), der(DER.utf8String, utf8(identity.nodeId)))
      const certified = der(
        DER.sequence,
        VERSION_3,
        der(DER.integer, Buffer.from(serial, 'hex')),
        ALGORITHM,
        issuer,
        der(DER.sequence, time(validity.notBeforeMs), time(validity.notAfterMs)),
        der(DER.sequence, der(DER.set, subject)),
        publicKeyDer,
        der(DER.context3, der(DER.sequence, ...extensions)),
      )
      const signature = der(DER.bitString, Uint8Array.of(0), sign('sha256', certified, key))
      return toPem('CERTIFICATE', der(DER.sequence, certified, ALGORITHM, signature))
    },
  }
}

function extension(arc: number, value: Uint8Array, { isCritical = false } = {}): Uint8Array {
  const id = Uint8Array.of(DER.oid, 3, 0x55, 0x1d, arc)
  return der(DER.sequence, id, ...(isCritical ? [TRUE] : []), der(DER.octetString, value))
}

/** 1.3.6.1.5.5.7.3 and an arc: 1 for servers, 2 for clients. */
function keyPurpose(arc: number): Uint8Array {
  return der(DER.oid, Uint8Array.of(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, arc))
}

function distributionPoint(url: string): Uint8Array {
  const name = der(TAG.context0, der(TAG.context0, der(TAG.uri, ascii(url))))
  return der(DER.sequence, der(DER.sequence, name))
}

/** UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5). */
function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  return digits < '2050' ? der(DER.utcTime, utf8(digits.slice(2))) : der(DER.generalizedTime, utf8(digits))
}

/** SHA-256 of the SubjectPublicKeyInfo (RFC 7093 section 2, method 4): the fingerprint people see. */
function keyIdOf(publicKeyDer: Uint8Array): Uint8Array {
  return createHash('sha256').update(publicKeyDer).digest()
}

/** The subject of a certificate of our own as it is written: an issuer is known by the same bytes. */
function subjectOf(certificatePem: string): Uint8Array {
  const bytes = fromPem('CERTIFICATE', certificatePem)
  assert(bytes, 'a CA is stored as PEM')
  const [certificate] = readDer(bytes)
  const [certified] = readDer((certificate as DerElement).contents)
  // Version, serial, algorithm, issuer, validity, subject.
  const subject = readDer((certified as DerElement).contents)[5]
  return (subject as DerElement).encoded
}

function ascii(text: string): Uint8Array {
  assert(/^[\x20-\x7e]+$/.test(text), 'names in certificates are ASCII')
  return utf8(text)
}

/** 4 or 16 octets in network order. */
function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number)
  const [head = '', tail] = address.split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [front, back] = [groups(head), groups(tail ?? '')]
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - front.length - back.length }, () => '0')
  const all = [...front, ...zeros, ...back]
  assert(all.length === 8, `${address} is an address in its canonical form`)
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
