import type { NodeRole } from '../base/identity.ts'

/**
 * What a starting or running node tells whoever runs it: the command line shows it, and a node that was
 * started with an IPC channel sends it to its parent (`p2p local`, tests).
 */
export type NodeEvent =
  /** Work that takes a while, for people: "Making the plot". `fraction` is 0 to 1 where it is known. */
  | { type: 'progress'; text: string; fraction?: number }
  /** A vault was made. The recovery key is shown this once; it is stored nowhere. */
  | { type: 'vault-created'; path: string; recoveryKey: string }
  /** The certificate authority was made. */
  | { type: 'ca-created'; fingerprint: string }
  /** A stranger to the cluster waits for a person; `fingerprint` is that of its key. */
  | { type: 'pending'; nodeId: string; fingerprint: string; coordinator: string }
  /** The coordinator did not answer; the node keeps trying. Sent once a state change, not once a try. */
  | { type: 'unreachable'; addresses: readonly string[]; reason: string }
  /** Another member answered for the first time: the node is part of its cluster. */
  | { type: 'joined'; nodeId: string; met: string }
  /** The node answers on its port. */
  | {
      type: 'ready'
      nodeId: string
      role: NodeRole
      cluster: string
      url: string
      caFingerprint: string
      operatorFile?: string
    }
  | { type: 'stopping'; reason: string }
