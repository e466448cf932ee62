import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { FrameKind, PeerChannel, Peers } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import type { SimulatedHost } from './simulated-host.ts'

/** The first retransmission of a segment (Linux: TCP_RTO_MIN). */
export const RETRANSMIT_MS = 200
/** The transport cuts a channel on which something was sent, and nothing came back, at the latest after this. */
export const UNANSWERED_MS_MAX = 3_000
/** An idle one on which nothing comes, not even the answer to a PING, it cuts after a time between these. */
export const SILENCE_MS_MIN = 15_000
export const SILENCE_MS_MAX = 18_000

/** What a connection sees of the network it runs through. */
export interface SimulatedLink {
  readonly clock: Clock
  /** Whether a packet sent now from one machine reaches the other, apart from chance. */
  carries(from: NodeId, to: NodeId): boolean
  /** Whether chance loses this packet. */
  isLost(): boolean
  delayMs(): number
}

/** The channels of a process, and what its connections tell it. */
export interface ChannelOwner extends Peers {
  register(channel: PeerChannel): void
  onClosed(channel: PeerChannel): void
  onFrame(channel: PeerChannel, kind: FrameKind, payload: Uint8Array): void
}

/** A machine in the network and the process on it. */
export interface NetworkNode {
  readonly identity: NodeIdentity
  readonly addresses: readonly string[]
  readonly host: SimulatedHost
  peers: ChannelOwner
}
