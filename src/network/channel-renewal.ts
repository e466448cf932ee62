import { messageOf } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { PeerChannel } from '../base/peer.ts'
import { type Clock, delay } from '../base/time.ts'
import type { MovablePeers } from '../transport/index.ts'

export interface ChannelRenewalNeeds {
  peers: Pick<MovablePeers, 'untrusted' | 'move'>
  clock: Clock
  log: Logger
  /** `host:port` of a member, best first. */
  addressesOf: (nodeId: NodeId) => readonly string[]
}

/** Both ends of a channel do this at about the same time, and the one that comes second gets the channel there is, which may be the old one. */
const ROUNDS_MAX = 5
const ROUND_PAUSE_MS = 200

/**
 * After a change of trust, or when certificates have ended: puts a new channel into the place of each whose other end is no longer to be believed. Who has followed shows
 * a new certificate on it, and calls under way are answered on the old channel; who has not is cut off.
 * @returns when none of them is left; never rejects
 */
export async function renewUntrustedChannels(needs: ChannelRenewalNeeds, signal: AbortSignal): Promise<void> {
  const { peers, clock, log } = needs
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const channels = peers.untrusted()
    if (channels.length === 0) return
    if (round > 1) await delay(clock, ROUND_PAUSE_MS, signal).catch(() => {})
    await Promise.all(channels.map((channel) => renew(needs, channel, signal)))
    if (signal.aborted) return
  }
  for (const channel of peers.untrusted()) {
    log.warning('A node was cut off: its certificate has ended, or is of a CA that is not trusted any more', {
      peer: channel.peer.nodeId,
      serial: channel.peerSerial,
    })
    channel.close('its certificate has ended, or the CA of it is not trusted any more')
  }
}

async function renew(needs: ChannelRenewalNeeds, channel: PeerChannel, signal: AbortSignal): Promise<void> {
  const { nodeId } = channel.peer
  try {
    await needs.peers.move(channel, needs.addressesOf(nodeId), signal)
  } catch (error) {
    needs.log.debug('A channel could not be renewed from here', { peer: nodeId, why: messageOf(error) })
  }
}
