import type { NodeIdentity } from '../base/identity.ts'

/** Signs with the key of this node's certificate. */
export interface NodeSigner {
  sign(bytes: Uint8Array): Uint8Array
  /** Leaf first, root left out. */
  readonly certificateChainPem: string
}

export interface NodeVerifier {
  /** @returns the signer, or undefined when chain, validity, revocation or signature does not hold */
  verify(bytes: Uint8Array, signature: Uint8Array, certificateChainPem: string): NodeIdentity | undefined
}
