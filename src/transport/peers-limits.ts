import type { ChannelLimits } from './channel.ts'

export interface PeersLimits extends ChannelLimits {
  /** From the first packet to the end of the handshake, for each address; then once more for the peer's consent. */
  dialTimeoutMs: number
  /** Head start of one address over the next (RFC 8305 section 5). */
  dialHeadStartMs: number
  /** How often channels are looked at; `patience` counts in this. */
  checkMs: number
  /** How long a channel that was moved to another path, or released, stays for the answers of what was asked on it. */
  moveGraceMs: number
  /** Channels of one peer that are not closed yet: the one in use and those that were moved. */
  channelsPerPeerMax: number
}

export const DEFAULT_PEERS_LIMITS: PeersLimits = {
  // A full state exchange of the gossip (TRUST.md: 8 MiB) in one frame.
  frameBytesMax: 8 * 1024 * 1024,
  // Two of the largest frames.
  sendQueueBytesMax: 16 * 1024 * 1024,
  dialTimeoutMs: 5_000,
  dialHeadStartMs: 250,
  checkMs: 1_000,
  // Something was sent and nothing came back: PING within 1 s, cut 2 s later. TCP has sent what was lost three times more by then.
  // Idle: a PING often enough for the tables of firewalls and NAT (60 s and more). Dead peers are the membership's to find.
  patience: { idleChecks: 30, answerChecks: 2 },
  // Longer than calls wait for their answers unless they say so (the key read_timeout: 45 s).
  moveGraceMs: 60_000,
  // A certificate of a minute is renewed, and its channel moved, three times a minute at most; paths change seldom.
  channelsPerPeerMax: 8,
  closeGraceMs: 1_000,
}
