import type { NodeId, NodeIdentity } from './identity.ts'

/** What a frame on a peer channel carries; one byte on the wire. */
export const FRAME_KINDS = { rpc: 1, gossip: 2 } as const
export type FrameKind = keyof typeof FRAME_KINDS

/** Whom to dial. With a `nodeId` the peer's certificate must name it; a seed address is dialled without. */
export interface PeerTarget {
  nodeId?: NodeId
  /** `host:port`, `[v6]:port`; tried in order of preference, overlapping, the first that answers wins. */
  addresses: readonly string[]
}

/**
 * A framed, ordered, bidirectional stream to one verified peer, over mutual TLS. Either side may
 * have dialled. Frames sent in one tick leave in one write.
 */
export interface PeerChannel {
  readonly peer: NodeIdentity
  /** Serial of the peer's certificate, lower-case hex. */
  readonly peerSerial: string
  /** `host:port` of the other end of the socket. */
  readonly remoteAddress: string
  /** True on the side that opened it. */
  readonly dialled: boolean
  /** Aborted, with a TransportError as reason, when the channel is closed by either side. */
  readonly closed: AbortSignal
  /**
   * Queues one frame; the payload must not be changed afterwards.
   * @throws {TransportError} P2P_TRANSPORT_CHANNEL_CLOSED; P2P_TRANSPORT_OVERLOADED when the peer reads
   *   too slowly and the send queue is full; P2P_TRANSPORT_TOO_LARGE beyond the frame limit
   */
  send(kind: FrameKind, payload: Uint8Array): void
  close(reason?: string): void
}

/**
 * Called for each frame. The payload may be a view of much more memory, which is never written to again: copy what is kept
 * of it, unless it is most of it.
 */
export type FrameHandler = (channel: PeerChannel, payload: Uint8Array) => void

/** All channels of this node: at most one in use per peer, whoever dialled it. */
export interface Peers {
  /** The open channel to this node, if there is one. Never dials. */
  get(nodeId: NodeId): PeerChannel | undefined
  /** All open channels. */
  list(): PeerChannel[]
  /**
   * The open channel to the target, or a new one. Concurrent calls for one target share one dial.
   * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE, P2P_TRANSPORT_IDENTITY_MISMATCH, P2P_TRANSPORT_REFUSED
   */
  open(target: PeerTarget, signal?: AbortSignal): Promise<PeerChannel>
  /** Registers the only handler for a kind, and gives it what came before it was there, as far as that was kept: some MiB. */
  handle(kind: FrameKind, handler: FrameHandler): void
  onOpen(listener: (channel: PeerChannel) => void): () => void
  onClose(listener: (channel: PeerChannel) => void): () => void
}

/** Peers that give up channels which are open for nothing. */
export interface ReleasablePeers extends Peers {
  /**
   * Takes a channel out of use at both ends: it is not found any more and `onClose` is told, while `closed` is not aborted
   * yet. It is closed a while later, so that nothing under way on it is lost.
   * @returns false, and nothing has happened, when anything but gossip has gone over it: it is of use to others
   */
  release(channel: PeerChannel): boolean
}
