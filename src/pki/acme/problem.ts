/** Kinds of ACME errors used here, with their status (RFC 8555 section 6.7; `alreadyReplaced` RFC 9773 section 7.4). */
const STATUS = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 403,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedIdentifier: 400,
} as const

export type AcmeErrorType = keyof typeof STATUS

/** An ACME error as it is sent and stored (RFC 8555 section 6.7). */
export interface AcmeProblemDocument {
  type: `urn:ietf:params:acme:error:${AcmeErrorType}`
  detail: string
  status: number
}

/** A refusal in the client's own vocabulary; the text is for the person behind the client. */
export class AcmeProblem extends Error {
  override readonly name = 'AcmeProblem'
  readonly type: AcmeErrorType
  readonly status: number
  /** Members beside the usual ones, for example `algorithms`. */
  readonly extra: Readonly<Record<string, unknown>>

  constructor(type: AcmeErrorType, detail: string, extra: { status?: number } & Record<string, unknown> = {}) {
    super(detail)
    const { status, ...members } = extra
    this.type = type
    this.status = status ?? STATUS[type]
    this.extra = members
  }

  document(): AcmeProblemDocument {
    return { type: `urn:ietf:params:acme:error:${this.type}`, detail: this.message, status: this.status, ...this.extra }
  }
}
