/** Who may open an account with the ACME server (external account binding, RFC 8555 section 7.3.4). */
export interface AcmeCredentialFacts {
  /** The key identifier a client is configured with. */
  kid: string
  /** For people: which program on which machine. */
  label: string
  /**
   * Names it may get certificates for: exact names, `*.` and a domain for everything below it, addresses. Empty: whatever its
   * challenges prove.
   */
  names: string[]
  uses_left: number
  created_at_ms: number
  /** After this no account is opened with it; accounts that were stay. */
  expires_at_ms: number
}

/** The answer to one ACME request; `body` is an object (sent as JSON), a text of `contentType`, or nothing. */
export interface AcmeAnswer {
  status: number
  headers: Record<string, string>
  contentType?: string
  body?: object | string
}

/** An ACME request as it came, apart from its body. */
export interface AcmeRequest {
  /** `https://host:port` as the client wrote it: the URL it signed begins so. */
  base: string
  /** `/acme/…` */
  path: string
  /** Whether the client is on this very machine: only then may a challenge lead to the loopback interface. */
  isSameHost: boolean
  /** Told the type of problem (RFC 8555 section 6.7) once, when a challenge that the request began fails: often after the answer. */
  onChallengeFailed: (problemType: string) => void
}

/**
 * The ACME server of a coordinator (RFC 8555, renewal information by RFC 9773): certificates for what is on the network but no node.
 * What goes wrong is an answer; it never throws for what was sent.
 */
export interface Acme {
  directory(base: string): object
  nonce(): string
  /** @param body parsed JSON: a flattened JWS (RFC 7515 section 7.2.2) */
  post(request: AcmeRequest, body: unknown, signal: AbortSignal): Promise<AcmeAnswer>
  renewalInfo(base: string, certificateId: string): Promise<AcmeAnswer>
}

/** What an admin may do with it. */
export interface AcmeAdmin {
  /** @returns the key, base64url, shown this once. @throws {PkiError} P2P_RPC_INVALID_PARAMS, P2P_PKI_BUSY */
  createCredential(options: {
    label: string
    names: string[]
    uses: number
    ttlMs: number
  }): Promise<{ hmac_key: string; facts: AcmeCredentialFacts }>
  listCredentials(): Promise<AcmeCredentialFacts[]>
  /** No new account, and the accounts opened with it get nothing more. @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN */
  revokeCredential(kid: string): Promise<void>
}
