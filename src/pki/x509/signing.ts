// The library's dependency injection needs the metadata API before it loads.
import 'reflect-metadata'
import { createHash, createPublicKey, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  type Name,
  Pkcs10CertificateRequest,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import { messageOf, PkiError } from '../../base/errors.ts'
import { derInteger } from './der.ts'
import { fromPem, toPem } from './pem.ts'
import { type CertificateSigningRequest, CSR_PEM_CHARACTERS_MAX, rejected } from './read-csr.ts'

/*
 * What a CA writes besides the certificates of nodes, on @peculiar/x509. This file is loaded with `import()` at the first use: the
 * library costs 0.1 s and 20 MB, and a coordinator that starts from an existing vault needs none of it.
 */

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
/** A P-256 request has some 20 nodes; room for requested extensions, which are ignored. */
const CSR_LIMITS = { berOptions: { maxDepth: 32, maxNodes: 1_000, maxContentLength: CSR_PEM_CHARACTERS_MAX } }
const CRL_NUMBER = '2.5.29.20'

/** A certificate with its private key, PEM: how a CA is stored. */
export interface CaMaterial {
  certificatePem: string
  keyPem: string
}

/** A CA ready to sign. */
export interface Signer {
  certificatePem: string
  subject: Name
  /** Subject key identifier, hex. */
  keyId: string
  key: webcrypto.CryptoKey
}

export interface Validity {
  notBeforeMs: number
  notAfterMs: number
}

/** A request for a server certificate: what it asks to be named is compared with what was proved, and then written by us. */
export interface ServerSigningRequest extends CertificateSigningRequest {
  dnsNames: string[]
  ipAddresses: string[]
}

/**
 * Checks the request of a program that is no node: as `readCsr`, but RSA keys of 2048 to 4096 bits will do as well, and its names are
 * read: those of the SAN extension and the common name. Other extensions are not.
 * @throws {PkiError} P2P_PKI_CSR_REJECTED
 */
export async function readServerCsr(der: Uint8Array): Promise<ServerSigningRequest> {
  if (der.length > CSR_PEM_CHARACTERS_MAX) throw rejected(`it is longer than ${CSR_PEM_CHARACTERS_MAX} bytes`)
  try {
    const request = new Pkcs10CertificateRequest(der as Uint8Array<ArrayBuffer>, CSR_LIMITS)
    checkServerKey(new Uint8Array(request.publicKey.rawData))
    if (!(await request.verify())) throw rejected('its signature was not made with its key')
    const publicKeyDer = new Uint8Array(request.publicKey.rawData)
    const extension = request.extensions.find((candidate) => candidate instanceof SubjectAlternativeNameExtension)
    const names = extension?.names.items ?? []
    const foreign = names.find(({ type }) => type !== 'dns' && type !== 'ip')
    if (foreign) throw rejected(`it asks for a name of type ${foreign.type}; only DNS names and IP addresses are given`)
    const ofType = (wanted: string): string[] =>
      names.filter(({ type }) => type === wanted).map(({ value }) => value.toLowerCase())
    const commonNames = request.subjectName.getField('CN').map((name) => name.toLowerCase())
    const ipAddresses = ofType('ip')
    const dnsNames = new Set([...ofType('dns'), ...commonNames.filter((name) => !ipAddresses.includes(name))])
    return { der, publicKeyDer, keyFingerprint: keyIdOf(publicKeyDer), dnsNames: [...dnsNames], ipAddresses }
  } catch (error) {
    throw error instanceof PkiError ? error : rejected(messageOf(error))
  }
}

const RSA_BITS = { min: 2_048, max: 4_096 } as const

function checkServerKey(publicKeyDer: Uint8Array): void {
  const key = createPublicKey({ key: Buffer.from(publicKeyDer), format: 'der', type: 'spki' })
  const { modulusLength = 0, namedCurve, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ec' && (namedCurve === 'prime256v1' || namedCurve === 'secp384r1')) return
  const isSound = modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max && publicExponent >= 65_537n
  if (key.asymmetricKeyType === 'rsa' && isSound) return
  const shown = namedCurve ?? `${key.asymmetricKeyType} ${modulusLength || ''}`.trim()
  throw rejected(`its key is ${shown}; use an EC key on P-256 or P-384, or RSA with 2048 to 4096 bits`)
}

/** A new self-signed root: signs only issuing CAs (pathLen 1). */
export async function createRoot(commonName: string, serial: string, validity: Validity): Promise<CaMaterial> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    ...certificateTimes(validity),
    serialNumber: serial,
    signingAlgorithm: P256,
    keys,
    extensions: [...caExtensions(1), new SubjectKeyIdentifierExtension(keyIdOf(await spkiOf(keys.publicKey)))],
  })
  return { certificatePem: pemOf(certificate.rawData), keyPem: await exportKey(keys.privateKey) }
}

/** A new issuing CA under the root: signs only leaves and the CRL (pathLen 0). */
export async function createIssuing(
  root: Signer,
  commonName: string,
  serial: string,
  validity: Validity,
): Promise<CaMaterial> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [commonName] }],
    issuer: root.subject,
    ...certificateTimes(validity),
    serialNumber: serial,
    signingAlgorithm: P256,
    publicKey: keys.publicKey,
    signingKey: root.key,
    extensions: [...caExtensions(0), ...keyIdentifiers(await spkiOf(keys.publicKey), root)],
  })
  return { certificatePem: pemOf(certificate.rawData), keyPem: await exportKey(keys.privateKey) }
}

/**
 * The key of a new root certified by the old one ("new with old", RFC 4210 section 4.4), PEM. Both roots have the same name, so it is
 * self-issued and does not count against the old root's path length (RFC 5280 section 4.2.1.9).
 */
export async function signLink(old: Signer, next: Signer, serial: string, validity: Validity): Promise<string> {
  const certificate = new X509Certificate(next.certificatePem)
  const publicKeyDer = new Uint8Array(certificate.publicKey.rawData)
  const link = await X509CertificateGenerator.create({
    subject: next.subject,
    issuer: old.subject,
    ...certificateTimes(validity),
    serialNumber: serial,
    signingAlgorithm: P256,
    publicKey: certificate.publicKey,
    signingKey: old.key,
    extensions: [...caExtensions(1), ...keyIdentifiers(publicKeyDer, old)],
  })
  return pemOf(link.rawData)
}

/** Makes stored CA material ready to sign. */
export async function loadSigner(material: CaMaterial): Promise<Signer> {
  const der = fromPem('PRIVATE KEY', material.keyPem)
  if (!der) throw new PkiError('P2P_STORAGE_DAMAGED', 'The stored key of the certificate authority is not a PEM key')
  const certificate = new X509Certificate(material.certificatePem)
  return {
    certificatePem: material.certificatePem,
    subject: certificate.subjectName,
    keyId: keyIdOf(new Uint8Array(certificate.publicKey.rawData)),
    key: await webcrypto.subtle.importKey('pkcs8', der as Uint8Array<ArrayBuffer>, P256, false, ['sign']),
  }
}

/**
 * The certificate of a server that is no node: serverAuth only, and no SPIFFE name, so that no node takes it for one of its own.
 * @returns PEM of the leaf alone
 */
export async function signServerLeaf(
  issuing: Signer,
  leaf: {
    publicKeyDer: Uint8Array
    dnsNames: readonly string[]
    ipAddresses: readonly string[]
    serial: string
    validity: Validity
    crlUrl: string | undefined
  },
): Promise<string> {
  const names = [
    ...leaf.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...leaf.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ]
  const certificate = await X509CertificateGenerator.create({
    subject: [],
    issuer: issuing.subject,
    ...certificateTimes(leaf.validity),
    serialNumber: leaf.serial,
    signingAlgorithm: P256,
    publicKey: new PublicKey(leaf.publicKeyDer as Uint8Array<ArrayBuffer>),
    signingKey: issuing.key,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      // Critical, because the subject is empty (RFC 5280 section 4.2.1.6).
      new SubjectAlternativeNameExtension(names, true),
      ...keyIdentifiers(leaf.publicKeyDer, issuing),
      ...(leaf.crlUrl ? [new CRLDistributionPointsExtension([leaf.crlUrl])] : []),
    ],
  })
  return pemOf(certificate.rawData)
}

/** The issuing CA's revocation list, DER (RFC 5280 section 5). `number` must grow from list to list. */
export async function signCrl(
  issuing: Signer,
  list: {
    number: number
    thisUpdateMs: number
    nextUpdateMs: number
    revoked: readonly { serial: string; revokedAtMs: number }[]
  },
): Promise<Uint8Array> {
  const crl = await X509CrlGenerator.create({
    issuer: issuing.subject,
    thisUpdate: new Date(list.thisUpdateMs),
    nextUpdate: new Date(list.nextUpdateMs),
    signingAlgorithm: P256,
    signingKey: issuing.key,
    entries: list.revoked.map(({ serial, revokedAtMs }) => ({
      serialNumber: serial,
      revocationDate: new Date(revokedAtMs),
    })),
    extensions: [
      new AuthorityKeyIdentifierExtension(issuing.keyId),
      new Extension(CRL_NUMBER, false, derInteger(list.number) as Uint8Array<ArrayBuffer>),
    ],
  })
  return new Uint8Array(crl.rawData)
}

function caExtensions(pathLength: number): Extension[] {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ]
}

function keyIdentifiers(publicKeyDer: Uint8Array, issuer: Signer): Extension[] {
  return [new SubjectKeyIdentifierExtension(keyIdOf(publicKeyDer)), new AuthorityKeyIdentifierExtension(issuer.keyId)]
}

/** SHA-256 of the SubjectPublicKeyInfo (RFC 7093 section 2, method 4): the fingerprint people see. */
function keyIdOf(publicKeyDer: Uint8Array): string {
  return createHash('sha256').update(publicKeyDer).digest('hex')
}

async function spkiOf(publicKey: webcrypto.CryptoKey): Promise<Uint8Array> {
  return new Uint8Array(await webcrypto.subtle.exportKey('spki', publicKey))
}

function certificateTimes(validity: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(validity.notBeforeMs), notAfter: new Date(validity.notAfterMs) }
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return toPem('PRIVATE KEY', new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', key)))
}

function pemOf(der: ArrayBuffer): string {
  return toPem('CERTIFICATE', new Uint8Array(der))
}
