import type { NodeId } from '../base/identity.ts'

/** Why a node has no certificate yet; told once a state change, not once a try. */
export type Waiting =
  /** A person must approve the key with this fingerprint. `coordinator` is the address that was asked. */
  | { type: 'pending'; nodeId: NodeId; fingerprint: string; coordinator: string }
  /** No coordinator answered, or none could serve the request now; it is tried again. */
  | { type: 'unreachable'; addresses: readonly string[]; reason: string }
