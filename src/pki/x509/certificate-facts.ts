import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import { type NodeIdentity, parseSpiffeId } from '../../base/identity.ts'
import { canonicalAddress } from '../address.ts'

/** What P2P Core reads from a certificate. */
export interface CertificateFacts {
  /** Lower-case hex. */
  serial: string
  /** Undefined unless the certificate has exactly one URI SAN and it is a node's SPIFFE id. */
  identity: NodeIdentity | undefined
  /** Unix milliseconds, inclusive. */
  notBeforeMs: number
  /** Unix milliseconds, inclusive. */
  notAfterMs: number
  /** SHA-256 of the SubjectPublicKeyInfo, lower-case hex. */
  keyFingerprint: string
  dnsNames: string[]
  ipAddresses: string[]
}

/**
 * Reads a certificate; says nothing of whether it can be trusted.
 * @param certificate PEM (the first block counts) or DER
 * @throws when it is not a certificate
 */
export function readCertificate(certificate: string | Uint8Array): CertificateFacts {
  return certificateFacts(new X509Certificate(certificate))
}

/** {@link readCertificate} for a certificate already parsed. */
export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  const names = alternativeNames(certificate)
  const uris = names.get('URI') ?? []
  return {
    serial: certificate.serialNumber.toLowerCase(),
    identity: uris.length === 1 ? parseSpiffeId(uris[0] as string) : undefined,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    keyFingerprint: keyFingerprint(certificate.publicKey),
    dnsNames: names.get('DNS') ?? [],
    ipAddresses: (names.get('IP Address') ?? []).map((address) => canonicalAddress(address) ?? address),
  }
}

/** SHA-256 of a public key's SubjectPublicKeyInfo, lower-case hex: what people compare. */
export function keyFingerprint(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/** The fingerprint by which a cluster's CA is recognised: SHA-256 of the root's SubjectPublicKeyInfo, lower-case hex. */
export function rootFingerprint(rootPem: string): string {
  return keyFingerprint(new X509Certificate(rootPem).publicKey)
}

/** Whole days until the certificate ends; negative when it has ended. */
export function daysLeft(facts: CertificateFacts, nowMs: number): number {
  return Math.floor((facts.notAfterMs - nowMs) / 86_400_000)
}

/**
 * Node writes the SANs as one line, and puts a name in quotes when it holds a comma or the like
 * (CVE-2021-44532). No name of ours does, so a line with a quote has none for us.
 */
function alternativeNames(certificate: X509Certificate): Map<string, string[]> {
  const names = new Map<string, string[]>()
  const line = certificate.subjectAltName ?? ''
  if (line === '' || line.includes('"')) return names
  for (const part of line.split(', ')) {
    const colon = part.indexOf(':')
    const type = part.slice(0, colon)
    names.set(type, [...(names.get(type) ?? []), part.slice(colon + 1)])
  }
  return names
}
