import { X509Certificate } from 'node:crypto'
import type { Credentials } from '../base/credentials.ts'

/**
 * Whether issuing CAs are still under a root that is trusted now. A handshake decides by the roots of its moment; this is asked about
 * connections that were open when the roots changed.
 */
export class TrustedIssuers {
  readonly #credentials: Pick<Credentials, 'current'>
  #trustPem = ''
  #roots: X509Certificate[] = []
  readonly #known = new Map<string, boolean>()

  constructor(credentials: Pick<Credentials, 'current'>) {
    this.#credentials = credentials
  }

  /** The roots of this moment: what a handshake now is decided by. */
  get trustPem(): string {
    return this.#credentials.current().trustPem
  }

  /** @param verifiedUnder the roots by which its connection was verified: they need not be asked again */
  isTrusted(issuer: X509Certificate | undefined, verifiedUnder: string): boolean {
    const { trustPem } = this
    if (trustPem === verifiedUnder) return true
    if (!issuer) return false
    if (trustPem !== this.#trustPem) this.#read(trustPem)
    const known = this.#known.get(issuer.fingerprint256)
    if (known !== undefined) return known
    const isTrusted = this.#roots.some((root) => issuer.checkIssued(root) && issuer.verify(root.publicKey))
    this.#known.set(issuer.fingerprint256, isTrusted)
    return isTrusted
  }

  #read(trustPem: string): void {
    const blocks = trustPem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
    this.#roots = blocks.map((block) => new X509Certificate(block))
    this.#known.clear()
    this.#trustPem = trustPem
  }
}
