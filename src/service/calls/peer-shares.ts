import type { NodeId, Principal } from '../../base/identity.ts'

/** What one other node has this node do. */
export interface PeerShare {
  readonly nodeId: NodeId
  /** Its calls that have not returned, those it gave up included. */
  running: number
  /** Of their parameters: what their methods may hold on to until they return. */
  paramsBytes: number
}

/** Eight of the largest messages, or 64 calls with a mebibyte each; the usual ones, of some hundred bytes, run out of calls before. */
export const PARAMS_BYTES_MAX = 64 * 1024 * 1024

/** Nodes whose counts are kept although they are zero, so that a call costs a lookup and nothing is made for it. */
const AT_REST_MAX = 1_024

/** How many calls of each other node run here, whatever channels, services and people they come by. */
export class PeerShares {
  readonly #shares = new Map<NodeId, PeerShare>()

  of(nodeId: NodeId): PeerShare {
    const known = this.#shares.get(nodeId)
    if (known) return known
    if (this.#shares.size >= AT_REST_MAX) {
      for (const share of this.#shares.values()) if (share.running === 0) this.#shares.delete(share.nodeId)
    }
    const share: PeerShare = { nodeId, running: 0, paramsBytes: 0 }
    this.#shares.set(nodeId, share)
    return share
  }
}

/** The other node that brought a call, whoever it says the caller is; undefined: it began on this node. */
export function peerOf(
  { caller, relayedBy }: { caller: Principal; relayedBy?: NodeId | undefined },
  self: NodeId,
): NodeId | undefined {
  if (relayedBy !== undefined) return relayedBy
  return caller.kind === 'node' && caller.nodeId !== self ? caller.nodeId : undefined
}
