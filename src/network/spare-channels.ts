import type { PeerChannel, ReleasablePeers } from '../base/peer.ts'
import { type Random, shuffle } from '../base/random.ts'

/**
 * Open channels that membership keeps. So many neighbours, chosen by chance, spread a rumour among thousands in a few
 * hops and look at each other often enough; a channel costs some 50 kB at each end, and a PING every 30 s.
 */
export const CHANNELS_KEPT = 64

/**
 * Gives back channels when more are open than membership needs, so that a node of a large cluster does not end with a
 * session to everybody. Kept are those that calls have gone over, those to coordinators, and those that the peer opened:
 * maybe it can only dial out. For the same reason a node that nobody has dialled keeps all.
 * @param opened the channel that has just come; it was opened to be used
 */
export function releaseSpareChannels(
  peers: Pick<ReleasablePeers, 'list' | 'release'>,
  random: Random,
  opened: PeerChannel,
): void {
  const channels = peers.list()
  let surplus = channels.length - CHANNELS_KEPT
  if (surplus <= 0 || channels.every(({ dialled }) => dialled)) return
  const spare = channels.filter(({ dialled, peer }) => dialled && peer.role !== 'coordinator')
  for (const channel of shuffle(random, spare)) {
    if (surplus <= 0) return
    if (channel !== opened && peers.release(channel)) surplus--
  }
}
