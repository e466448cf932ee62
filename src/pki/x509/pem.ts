import { Buffer } from 'node:buffer'

/** The PEM text of DER bytes (RFC 7468). */
export function toPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** @returns the DER bytes of a text that is exactly one PEM block with this label, else undefined */
export function fromPem(label: string, pem: string): Uint8Array | undefined {
  const text = pem.trim()
  const begin = `-----BEGIN ${label}-----`
  const end = `-----END ${label}-----`
  if (!text.startsWith(begin) || !text.endsWith(end)) return undefined
  const base64 = text.slice(begin.length, -end.length).replace(/\s+/g, '')
  if (base64 === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  return Buffer.from(base64, 'base64')
}

/** The CERTIFICATE blocks of a text, in order. */
export function splitCertificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []
}
