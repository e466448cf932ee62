import { z } from 'zod'
import type { CertificateAnswer, CertificateRequest, NonceAnswer, TrustAnswer } from '../base/enrolment.ts'
import { ERROR_CODES, type ErrorCode, PkiError } from '../base/errors.ts'
import type { Clock } from '../base/time.ts'
import { withDeadline } from './deadline.ts'
import { SUCCESSIONS_MAX } from './succession.ts'

const ANSWER_MS_MAX = 10_000
/** A pending request is held open by the coordinator until it is decided; this ends one that has been forgotten. */
const DECISION_MS_MAX = 120_000

/** One TLS connection to a coordinator that nobody has verified yet; all requests travel on it. The transport layer's fits. */
export interface EnrolmentSession {
  /** What the server showed, leaf first; not checked in any way. */
  readonly peerChainPem: string[]
  /** 32 bytes, the same on both ends of this connection and on no other. */
  exporter(): Uint8Array
  request(
    method: string,
    path: string,
    json?: unknown,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: unknown }>
  close(): Promise<void>
}

/** Connects to `host:port` without checking the server's certificate, and shows `clientCertificate` if there is one. */
export type EnrolmentDial = (
  address: string,
  options: { clientCertificate?: { certificateChainPem: string; keyPem: string }; signal: AbortSignal },
) => Promise<EnrolmentSession>

const PEM = z.string().max(16_384)
const HEX_SHA256 = z.string().regex(/^[0-9a-f]{64}$/)
const trustSchema: z.ZodType<TrustAnswer> = z.object({
  cluster: z.string().max(63),
  ca_certificate: PEM,
  issuing_certificate: PEM,
  ca_fingerprint: HEX_SHA256,
  trusted_roots: z.array(PEM).max(4).optional(),
  succession: z
    .array(z.object({ root: PEM, link: PEM }))
    .max(SUCCESSIONS_MAX + 1)
    .optional(),
})
const nonceSchema: z.ZodType<NonceAnswer> = z.object({
  nonce: z.string().max(128),
  expires_in_ms: z.number(),
  time_ms: z.number(),
  plot_proof: HEX_SHA256.optional(),
})
const certificateSchema: z.ZodType<CertificateAnswer> = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('issued'),
    cluster: z.string().max(63),
    certificate_chain: z.string().max(65_536),
    ca_certificate: PEM,
    trusted_roots: z.array(PEM).max(4).optional(),
  }),
  z.object({ status: z.literal('pending'), request_id: z.string().max(128), fingerprint: HEX_SHA256 }),
])

/** Problem details (RFC 9457) with our error code. */
const problemSchema = z.object({ code: z.string(), detail: z.string().max(2_000).optional() })

/** The requests of a joining node, typed, with the answers checked and refusals turned into errors. */
export class CoordinatorSession {
  readonly address: string
  readonly #session: EnrolmentSession
  readonly #clock: Clock

  constructor(address: string, session: EnrolmentSession, clock: Clock) {
    this.address = address
    this.#session = session
    this.#clock = clock
  }

  get peerChainPem(): string[] {
    return this.#session.peerChainPem
  }

  exporter(): Uint8Array {
    return this.#session.exporter()
  }

  trust(signal: AbortSignal): Promise<TrustAnswer> {
    return this.#ask('GET', '/internal/ca-cert', undefined, trustSchema, ANSWER_MS_MAX, signal)
  }

  nonce(clientNonce: string, signal: AbortSignal): Promise<NonceAnswer> {
    return this.#ask('POST', '/internal/cert-nonce', { client_nonce: clientNonce }, nonceSchema, ANSWER_MS_MAX, signal)
  }

  certificate(request: CertificateRequest, signal: AbortSignal): Promise<CertificateAnswer> {
    return this.#ask('POST', '/internal/cert-request', request, certificateSchema, DECISION_MS_MAX, signal)
  }

  async #ask<T>(
    method: string,
    path: string,
    json: unknown,
    schema: z.ZodType<T>,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<T> {
    const late = (): Error => this.#obstacle(`did not answer ${path} within ${limitMs / 1_000} s`)
    const { status, body } = await withDeadline(this.#clock, limitMs, signal, late, (until) =>
      this.#session.request(method, path, json, until),
    )
    if (status >= 400) throw this.#refusal(status, path, body)
    const answer = schema.safeParse(body)
    if (!answer.success) throw this.#obstacle(`gave an answer to ${path} that is not understood`)
    return answer.data
  }

  #refusal(status: number, path: string, body: unknown): Error {
    const problem = problemSchema.safeParse(body)
    const code = problem.data?.code
    const isKnown = code !== undefined && Object.hasOwn(ERROR_CODES, code)
    if (!isKnown) return this.#obstacle(`answered ${path} with status ${status}; is it the address of a coordinator?`)
    const detail = problem.data?.detail ?? code
    return new PkiError(code as ErrorCode, `Coordinator ${this.address}: ${detail}`, { coordinator: this.address })
  }

  /** Something that is not as it should be, but may be next time. */
  #obstacle(what: string): PkiError {
    return new PkiError('P2P_PKI_BUSY', `${this.address} ${what}`, { coordinator: this.address })
  }
}
