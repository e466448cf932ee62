import 'reflect-metadata'
import { SubjectAlternativeNameExtension, X509Certificate } from '@peculiar/x509'

/** id-pe-acmeIdentifier (RFC 8737 section 3). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'
const OCTET_STRING_32 = Uint8Array.of(0x04, 0x20)

/**
 * What a certificate shown for `acme-tls/1` says. Loads the X.509 library: import it when needed.
 * @returns undefined when it is none: its acmeIdentifier is missing, not critical, or not one SHA-256 digest
 */
export function readAcmeTlsCertificate(der: Uint8Array): { digest: Uint8Array; names: string[] } | undefined {
  try {
    const certificate = new X509Certificate(der as Uint8Array<ArrayBuffer>)
    const identifier = certificate.extensions.find(({ type }) => type === ACME_IDENTIFIER)
    const alternative = certificate.extensions.find((one) => one instanceof SubjectAlternativeNameExtension)
    if (!identifier?.critical || !alternative) return undefined
    const value = new Uint8Array(identifier.value)
    const isDigest = value.length === 34 && OCTET_STRING_32.every((byte, index) => value[index] === byte)
    if (!isDigest) return undefined
    return { digest: value.slice(2), names: alternative.names.items.map((name) => name.value.toLowerCase()) }
  } catch {
    return undefined
  }
}
