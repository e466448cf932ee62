import type { NodeId, NodeRole } from './identity.ts'

/*
 * The border between the certificate authority (pki), the HTTP surface (service) and the command line:
 * what travels, in the field names of the wire.
 */

/** Label of the TLS exporter (RFC 8446 section 7.5, RFC 9266) that ties a proof to one connection; 32 bytes. */
export const EXPORTER_LABEL = 'EXPORTER-p2p-core-join'

/** Facts about the connection a request came in on; no client can forge them. */
export interface EnrolmentConnection {
  /** The requester's own address, without port. */
  remoteAddress: string
  /** 32 bytes of keying material, the same on both ends of this TLS connection and on no other. */
  exporter(): Uint8Array
  /** The client certificate as DER, if one was shown. The handshake proved its key; nothing else is checked yet (it may have expired). */
  peerCertificateDer: Uint8Array | undefined
}

/** `GET /internal/ca-cert`: open to all, trusted by nobody before it was compared with a token, plot proof or fingerprint. */
export interface TrustAnswer {
  cluster: string
  /** Root certificate, PEM. */
  ca_certificate: string
  /** Issuing CA certificate, PEM. */
  issuing_certificate: string
  /** SHA-256 of the root's SubjectPublicKeyInfo, lower-case hex. */
  ca_fingerprint: string
  /** All roots that nodes are to trust now, PEM, `ca_certificate` among them; absent when it is the only one. */
  trusted_roots?: string[]
  /** How earlier roots handed over to later ones, oldest first; absent when there was one only. */
  succession?: RootSuccession[]
}

/** One root certifies the next (RFC 4210 section 4.4): who trusts the first can trust the second. */
export interface RootSuccession {
  /** The older root, PEM. */
  root: string
  /** The newer root's key, certified by the older one, PEM. */
  link: string
}

/**
 * Of a rotation: `distributing` the trust in a new root, `renewing` the nodes' certificates under the new CA, `dropping` the old CA,
 * `done`. A rotation of the issuing CA alone begins with `renewing`.
 */
export type CaRotationPhase = 'distributing' | 'renewing' | 'dropping' | 'done'

/** A node that a rotation waits for. */
export interface RotationLaggard {
  node_id: NodeId
  status: 'alive' | 'suspect' | 'dead' | 'left' | 'absent'
  /** It does not trust the new root yet, has no certificate under the new CA, or still trusts the old root. */
  missing: 'trust' | 'certificate' | 'drop'
}

export interface CaRotation {
  kind: 'root' | 'issuing'
  phase: CaRotationPhase
  started_at_ms: number
  phase_since_ms: number
  /** Of the roots; of the issuing CAs when only that is rotated. SHA-256 of the public key, lower-case hex. */
  old_fingerprint: string
  new_fingerprint: string
  /** Nodes with a valid certificate: how many there are, and how many have done what this phase asks for. */
  nodes_total: number
  nodes_followed: number
  waiting_for: RotationLaggard[]
  /** Nodes that somebody decided not to wait for. */
  left_behind: NodeId[]
}

/** Exchanging the CA while everything runs; coordinator only. */
export interface CaRotationAdmin {
  /** The latest rotation, if there was one. */
  status(): CaRotation | undefined
  /** @throws {PkiError} P2P_PKI_ROTATION_RUNNING */
  begin(kind: 'root' | 'issuing'): Promise<CaRotation>
  /**
   * Goes on without those that are waited for now; the coordinator itself is always waited for.
   * @throws {PkiError} P2P_PKI_ROTATION_WAITS when somebody is and `force` is not set; P2P_PKI_REQUEST_UNKNOWN when nothing is rotated
   */
  finish(options: { force: boolean }): Promise<CaRotation>
}

/** Body of `POST /internal/cert-nonce`. */
export interface NonceRequest {
  /** 16 to 128 base64url characters of the requester's choice; the plot proof covers them. */
  client_nonce: string
}

/** Answer of `POST /internal/cert-nonce`: a single-use nonce, bound to this connection's exporter, valid for 60 s. */
export interface NonceAnswer {
  nonce: string
  expires_in_ms: number
  /** The coordinator's wall clock, so that a node can name clock skew. Unix milliseconds. */
  time_ms: number
  /** HMAC with the plot's join key over exporter, client nonce and CA fingerprint: proves that the coordinator has the same plot. Hex. */
  plot_proof?: string
}

/** How the requester shows that it may join; `none` waits for a person. A shown client certificate takes precedence (renewal). */
export type JoinProof =
  | { kind: 'none' }
  | { kind: 'token'; token_id: string; mac: string }
  | { kind: 'plot'; mac: string }
  | { kind: 'host'; mac: string }

/** `POST /internal/cert-request`. */
export interface CertificateRequest {
  node_id: NodeId
  role: NodeRole
  /** PKCS#10, PEM, at most 16 KiB. */
  csr: string
  ip_addresses: string[]
  dns_names: string[]
  /** 32 to 84 base64url characters; the requester's challenge server answers them with its key authorization. */
  challenge: string
  challenge_port: number
  nonce: string
  proof: JoinProof
}

export type CertificateAnswer =
  | {
      status: 'issued'
      cluster: string
      /** PEM: leaf, then issuing CA. */
      certificate_chain: string
      ca_certificate: string
      /** As {@link TrustAnswer}. */
      trusted_roots?: string[]
    }
  | { status: 'pending'; request_id: string; fingerprint: string }

/** The coordinator's side of joining. All methods throw PkiError with the code that names the refusal. */
export interface Enrolment {
  trust(): TrustAnswer
  nonce(clientNonce: string, connection: EnrolmentConnection): NonceAnswer
  /** Waits (until `signal`) while the request is pending, so that an approval is answered at once; then answers `pending`. */
  request(request: CertificateRequest, connection: EnrolmentConnection, signal: AbortSignal): Promise<CertificateAnswer>
  /**
   * Certificate revocation list, DER, of the issuing CA with this key identifier (hex); without one, of the CA that issues now.
   * @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN when there is no such CA
   */
  crl(issuer?: string): Promise<Uint8Array>
}

/** A stranger waiting for a person. */
export interface PendingNode {
  request_id: string
  node_id: NodeId
  role: NodeRole
  /** SHA-256 of the CSR's public key, lower-case hex: what the person compares. */
  fingerprint: string
  remote_address: string
  ip_addresses: string[]
  dns_names: string[]
  /** Set when another key holds this node id: fingerprint of the key whose certificates an approval revokes. */
  replaces?: string
  /** Unix milliseconds. */
  requested_at_ms: number
}

/** A node that may not join again, whatever it shows. */
export interface NodeBan {
  node_id: NodeId
  /** Keys it is known to have had, SHA-256 of the public key, lower-case hex: they let nobody in under another name either. */
  key_fingerprints: string[]
  reason?: string
  /** Unix milliseconds. */
  banned_at_ms: number
}

export interface JoinTokenFacts {
  token_id: string
  role: NodeRole
  uses_left: number
  expires_at_ms: number
  created_at_ms: number
}

export interface IssuedCertificate {
  serial: string
  /** The node; of a server's certificate `acme:` and the account it was issued to, which no node can be named. */
  node_id: NodeId
  /** `server`: issued by the ACME server to what is no node. */
  role: NodeRole | 'server'
  /** Of a server's certificate: the names and addresses it is for. */
  names?: string[]
  not_before_ms: number
  not_after_ms: number
  revoked_at_ms?: number
}

export interface CaDescription extends TrustAnswer {
  not_after_ms: number
  leaf_lifetime_ms: number
  issued: IssuedCertificate[]
}

/** What an admin may do with nodes, tokens and the CA; coordinator only. */
export interface TrustAdmin {
  pending(): PendingNode[]
  /** The fingerprint, when given, must match: approval is of a key, not of a name. */
  approve(requestIdOrNodeId: string, fingerprint?: string): Promise<PendingNode>
  reject(requestIdOrNodeId: string): Promise<PendingNode>
  /** @returns the whole token, `P2P1-<ca fingerprint>-<secret>`; the only time the secret exists outside its owner's hands */
  createToken(options: {
    role: NodeRole
    uses: number
    ttlMs: number
  }): Promise<{ token: string; facts: JoinTokenFacts }>
  listTokens(): Promise<JoinTokenFacts[]>
  revokeToken(tokenId: string): Promise<void>
  describeCa(): Promise<CaDescription>
  /** Revokes every certificate of the node. */
  revokeNode(nodeId: NodeId): Promise<IssuedCertificate[]>
  bans(): NodeBan[]
  /** Bans the node id, every key it was certified with and the one given, then revokes its certificates. */
  banNode(nodeId: NodeId, options?: { fingerprint?: string; reason?: string }): Promise<NodeBan>
  /** The node may join again, as a node that was revoked may. */
  unbanNode(nodeId: NodeId): Promise<NodeBan>
}
