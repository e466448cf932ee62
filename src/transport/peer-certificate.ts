import type { X509Certificate } from 'node:crypto'
import { type NodeIdentity, parseSpiffeId } from '../base/identity.ts'

/**
 * Who a node certificate names: its one URI SAN, a SPIFFE id (X.509-SVID section 2). The chain must have been verified.
 * @returns undefined when there is no URI, more than one, or one of another form
 */
export function nodeIdentityOf(certificate: X509Certificate): NodeIdentity | undefined {
  const names = certificate.subjectAltName ?? ''
  // Node quotes a name that could be mistaken for a separator; none of ours needs it, so such a list is not split at all.
  if (names.includes('"')) return undefined
  const uris = names.split(', ').filter((name) => name.startsWith('URI:'))
  return uris.length === 1 ? parseSpiffeId((uris[0] as string).slice('URI:'.length)) : undefined
}

/** The serial as {@link RevocationList} wants it: lower-case hex. */
export function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase()
}

/** The serials that may be revoked: the certificate's own, and that of the CA which issued it, as it was shown. */
export function serialsOf(certificate: X509Certificate | undefined): string[] {
  return [certificate, certificate?.issuerCertificate].flatMap((each) => (each ? [serialOf(each)] : []))
}
