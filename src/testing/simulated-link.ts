import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { FrameKind, PeerChannel, ReleasablePeers } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import type { SimulatedHost } from './simulated-host.ts'

/** The first retransmission of a segment (Linux: TCP_RTO_MIN). */
export const RETRANSMIT_MS = 200
/** The transport cuts a channel on which a call was sent, and nothing came back, at the latest after this. */
export const UNANSWERED_MS_MAX = 3_000
/** An idle one on which nothing comes, not even the answer to a PING, it cuts after a time between these. */
export const SILENCE_MS_MIN = 30_000
export const SILENCE_MS_MAX = 33_000
/** A channel that was taken out of use stays for what is under way on it. */
export const RELEASE_MS = 60_000

/** What goes over a connection; `release` says that the sender has taken the channel out of use. */
export type SegmentKind = FrameKind | 'release'

/** What a connection sees of the network it runs through. */
export interface SimulatedLink {
  readonly clock: Clock
  /** Whether a packet sent now from one machine reaches the other, apart from chance. */
  carries(from: NodeId, to: NodeId): boolean
  /** Whether chance loses this packet. */
  isLost(): boolean
  delayMs(): number
}

/** A channel that can be taken out of use. */
export interface ReleasableChannel extends PeerChannel {
  /** Whether anything but gossip has gone over it, in either direction. */
  readonly hasCarriedCalls: boolean
  readonly isOutOfUse: boolean
  /** Tells the other end that it is out of use here. */
  announceRelease(): void
  /** Nothing new is sent on it; it is closed when what is under way on it has arrived. */
  retire(): void
}

/** The channels of a process, and what its connections tell it. */
export interface ChannelOwner extends ReleasablePeers {
  register(channel: ReleasableChannel): void
  onClosed(channel: ReleasableChannel): void
  /** The peer has taken the channel out of use. */
  onReleased(channel: ReleasableChannel): void
  onFrame(channel: PeerChannel, kind: FrameKind, payload: Uint8Array): void
}

/** A machine in the network and the process on it. */
export interface NetworkNode {
  readonly identity: NodeIdentity
  readonly addresses: readonly string[]
  readonly host: SimulatedHost
  peers: ChannelOwner
}
