import type { ChannelLimits } from './channel.ts'

export interface PeersLimits extends ChannelLimits {
  /** From the first packet to the end of the handshake, for each address; then once more for the peer's consent. */
  dialTimeoutMs: number
  /** Head start of one address over the next (RFC 8305 section 5). */
  dialHeadStartMs: number
  /** A channel on which nothing came for this long gets a PING; silent for as long again, it is cut. */
  keepAliveMs: number
}

export const DEFAULT_PEERS_LIMITS: PeersLimits = {
  // A full state exchange of the gossip (TRUST.md: 8 MiB) in one frame.
  frameBytesMax: 8 * 1024 * 1024,
  // Two of the largest frames.
  sendQueueBytesMax: 16 * 1024 * 1024,
  dialTimeoutMs: 5_000,
  dialHeadStartMs: 250,
  keepAliveMs: 3_000,
  closeGraceMs: 1_000,
}
