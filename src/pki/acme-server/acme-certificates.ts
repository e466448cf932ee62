import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import type { JWK } from 'jose'
import type { AcmeAnswer } from '../../base/acme.ts'
import { fromBase64Url, toHex } from '../../base/bytes.ts'
import { AcmeProblem } from '../acme/problem.ts'
import type { AcmeAccount, AcmeCertificate } from './acme-records.ts'
import { type AcmeContext, json, type SignedRequest } from './acme-context.ts'

const SERIAL = /^[0-9a-f]{40}$/
/** RFC 5280 section 5.3.1; 7 is not used, 8 takes an entry out of a list. */
const REASONS: ReadonlySet<unknown> = new Set([undefined, 0, 1, 2, 3, 4, 5, 6, 9, 10])
/** How often a client should ask (RFC 9773 section 4.3). */
const ASK_AGAIN_S = 6 * 3_600

/** Download, revocation (RFC 8555 sections 7.4.2, 7.6) and renewal information (RFC 9773). */
export class AcmeCertificates {
  readonly #context: AcmeContext

  constructor(context: AcmeContext) {
    this.#context = context
  }

  async download(account: AcmeAccount, { segments }: SignedRequest): Promise<AcmeAnswer> {
    const certificate = await this.#certificate(segments[1])
    if (certificate?.accountId !== account.id) {
      throw new AcmeProblem('malformed', 'There is no such certificate of this account', { status: 404 })
    }
    const { chainPem } = certificate
    return { status: 200, headers: {}, contentType: 'application/pem-certificate-chain', body: chainPem }
  }

  async revokeByAccount(account: AcmeAccount, request: SignedRequest): Promise<AcmeAnswer> {
    const certificate = await this.#named(request)
    if (certificate.accountId === account.id) return this.#revoke(certificate, request)
    throw new AcmeProblem('unauthorized', 'The certificate was issued to another account')
  }

  /** Whoever holds the certificate's own key may have it revoked. */
  async revokeByOwnKey(request: SignedRequest, jwk: JWK): Promise<AcmeAnswer> {
    const certificate = await this.#named(request)
    if (isServedBy(jwk, certificate.keyFingerprint)) return this.#revoke(certificate, request)
    throw new AcmeProblem('unauthorized', 'The request was not signed with the key of the certificate')
  }

  async renewalInfo(certificateId: string): Promise<AcmeAnswer> {
    const serial = certificateSerial(certificateId)
    const certificate = serial === undefined ? undefined : await this.#certificate(serial)
    if (!certificate) throw new AcmeProblem('malformed', 'That is no certificate of this server', { status: 404 })
    const { notBeforeMs, notAfterMs } = certificate
    const lifeMs = notAfterMs - notBeforeMs
    const { ca } = this.#context
    const isOutdated = ca.revocations.isRevoked(certificate.serial) || !ca.isOfCurrentCa(certificate.serial)
    // At two thirds of its life, as nodes do; at once when it was revoked or another CA issues now.
    const startMs = isOutdated ? notBeforeMs : notBeforeMs + (lifeMs * 2) / 3
    const window = { start: iso(startMs), end: iso(startMs + lifeMs / 24) }
    return json(200, { suggestedWindow: window }, { 'retry-after': String(ASK_AGAIN_S) })
  }

  async #revoke({ serial }: AcmeCertificate, { payload }: SignedRequest): Promise<AcmeAnswer> {
    if (!REASONS.has(payload?.reason)) {
      throw new AcmeProblem('badRevocationReason', 'reason is a number of RFC 5280 section 5.3.1')
    }
    if (!(await this.#context.ca.revokeSerial(serial))) {
      throw new AcmeProblem('alreadyRevoked', 'The certificate has been revoked already')
    }
    return { status: 200, headers: {} }
  }

  /** @throws {AcmeProblem} malformed */
  async #named({ payload }: SignedRequest): Promise<AcmeCertificate> {
    if (typeof payload?.certificate !== 'string') {
      throw new AcmeProblem('malformed', 'certificate is missing: base64url of the DER')
    }
    const der = fromBase64Url(payload.certificate)
    const found = await this.#certificate(serialOf(der))
    // Byte for byte: a certificate that only has the serial of one of ours is none of ours.
    const isOurs = found && Buffer.from(new X509Certificate(found.chainPem).raw).equals(Buffer.from(der))
    if (isOurs) return found
    throw new AcmeProblem('malformed', 'The certificate was not issued by this server', { status: 404 })
  }

  async #certificate(serial: string | undefined): Promise<AcmeCertificate | undefined> {
    return serial !== undefined && SERIAL.test(serial) ? this.#context.records.certificate(serial) : undefined
  }
}

/** The serial in a certificate id of RFC 9773 section 4.1: key identifier, dot, serial, in base64url. */
export function certificateSerial(certificateId: string): string | undefined {
  const serial = certificateId.split('.')[1]
  return serial === undefined ? undefined : toHex(fromBase64Url(serial)).replace(/^00(?=[89a-f])/, '')
}

/** Whether the key has this fingerprint (SHA-256 of its SubjectPublicKeyInfo, hex). */
export function isServedBy(jwk: JWK, fingerprint: string): boolean {
  const der = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(der).digest('hex') === fingerprint
}

function serialOf(der: Uint8Array): string | undefined {
  try {
    return new X509Certificate(der).serialNumber.toLowerCase()
  } catch {
    return undefined
  }
}

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
