import type { KeyObject } from 'node:crypto'
import type { TlsMaterial } from '../base/credentials.ts'

/** A key that needs a certificate, and what its node has so far. */
export interface CertificateWish {
  key: KeyObject
  csrPem: string
  ipAddresses: readonly string[]
  dnsNames: readonly string[]
  /** The certificate to be renewed, also an expired one; undefined to join. */
  current: TlsMaterial | undefined
  /** The root trusted since an earlier contact without a certificate, PEM. */
  firstUseRootPem: string | undefined
  /** Set by a node that had a certificate and must join anew. */
  anew?: JoinAnew | undefined
}

/** A join by a node that the coordinator has no record of any more. */
export interface JoinAnew {
  /** The roots it trusts: the coordinator must be of them, whatever else admits the node. */
  trustPem: string
  /** A person is to decide: nothing else admitted the node. */
  asksPerson: boolean
}

export type CertificateOutcome =
  | { status: 'issued'; certificateChainPem: string; trustPem: string }
  /** Waits for a person; ask again at once. `rootPem` was trusted on first use and must be kept. */
  | { status: 'pending'; rootPem: string }

/** What a node is to trust now. */
export interface TrustNow {
  /** PEM, the root that issues first. */
  trustPem: string
  /** Key identifier of the CA that issues now, hex. */
  issuerId: string
}

/** Where a node's certificates come from: the coordinator over the network, or the CA in the same process. */
export interface CertificateSource {
  /** The join token it would use. A node given one it has not used yet turns to the coordinator at once. */
  readonly token: { id: string; caFingerprint: string } | undefined
  /** Where it asks, `host:port`; none for the CA in the same process. */
  readonly addresses: readonly string[]
  /**
   * One attempt.
   * @throws {PkiError} a refusal (not retryable) or an obstacle (retryable); other errors are obstacles
   */
  obtain(wish: CertificateWish, signal: AbortSignal): Promise<CertificateOutcome>
  /**
   * One attempt to learn what is to be trusted now by a node that trusts `current`.
   * @throws as {@link obtain}
   */
  trust(current: TlsMaterial, signal: AbortSignal): Promise<TrustNow>
  /** Ends what is kept open between attempts. */
  release(): Promise<void>
}
