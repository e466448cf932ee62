/** What a node shows and trusts in TLS. PEM texts. */
export interface TlsMaterial {
  /** Leaf first, then the issuing CA; the root is left out (RFC 8446 section 4.4.2). */
  certificateChainPem: string
  keyPem: string
  /** One or more trusted roots. */
  trustPem: string
}

/** The node's current TLS material; it changes while running, at every renewal. */
export interface Credentials {
  current(): TlsMaterial
  /** @returns a function that unregisters the listener */
  onChange(listener: () => void): () => void
}

/** Serials (lower-case hex, no leading zeros beyond DER's) of certificates no longer to be trusted. Asked per request: must be a lookup. */
export interface RevocationList {
  isRevoked(serialHex: string): boolean
  onChange(listener: () => void): () => void
}
