import type { Component } from '../base/component.ts'
import { messageOf } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { InterfaceFact } from '../base/interface-fact.ts'
import type { Logger } from '../base/log.ts'
import type { PeerChannel } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'
import type { MovablePeers } from '../transport/index.ts'
import { betterAddresses } from './addresses.ts'

export interface PathKeeperNeeds {
  peers: Pick<MovablePeers, 'list' | 'move'>
  clock: Clock
  random: Random
  log: Logger
  /** This machine's network interfaces as they are now. */
  interfaces: () => readonly InterfaceFact[]
  /** `host:port` of a member, as it announces them now. */
  addressesOf: (nodeId: NodeId) => readonly string[]
}

/** Interfaces and announced addresses are looked at this often. */
const LOOK_EVERY_MS = 5_000
/** Pauses between attempts at paths that do not work: a LAN elsewhere with the same numbers, a firewall, a cable that stays cut. */
const PAUSE_MS_MIN = 10_000
const PAUSE_MS_MAX = 300_000
/** Attempts under way at once. */
const ATTEMPTS_MAX = 8

/**
 * Brings channels back to the best path: what had to go over the VPN while a cable was cut returns to the LAN. Of the two
 * ends of a channel the one that dialled it sees to that. A path that cannot be had is tried ever more seldom, and at once
 * when the addresses have changed on either side.
 */
export function createPathKeeper(needs: PathKeeperNeeds): Component {
  return new PathKeeper(needs)
}

interface Attempts {
  /** The addresses of either side with which they were made. */
  circumstances: string
  failures: number
  dueMs: number
}

class PathKeeper implements Component {
  readonly name = 'path keeper'
  readonly #needs: PathKeeperNeeds
  readonly #attempts = new Map<NodeId, Attempts>()
  readonly #moves = new Set<Promise<void>>()
  readonly #ended = new AbortController()
  #timer: Timer | undefined

  constructor(needs: PathKeeperNeeds) {
    this.#needs = needs
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#timer = this.#needs.clock.every(LOOK_EVERY_MS, () => this.#look())
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    this.#ended.abort(new Error('The node is stopping.'))
    await Promise.all(this.#moves)
  }

  #look(): void {
    const { peers, interfaces, addressesOf } = this.#needs
    const own = interfaces()
    const ownAddresses = own.map(({ address }) => address).join()
    const channels = peers.list()
    for (const channel of channels.filter(({ dialled }) => dialled)) {
      const { nodeId } = channel.peer
      const better = betterAddresses(own, addressesOf(nodeId), channel.remoteAddress)
      const circumstances = `${ownAddresses} ${better.join()}`
      if (better.length === 0) this.#attempts.delete(nodeId)
      else if (this.#isDue(nodeId, circumstances)) this.#begin(channel, better, circumstances)
    }
    const connected = new Set(channels.map(({ peer }) => peer.nodeId))
    for (const nodeId of this.#attempts.keys()) if (!connected.has(nodeId)) this.#attempts.delete(nodeId)
  }

  #isDue(nodeId: NodeId, circumstances: string): boolean {
    if (this.#moves.size >= ATTEMPTS_MAX) return false
    const attempts = this.#attempts.get(nodeId)
    return attempts?.circumstances !== circumstances || this.#needs.clock.nowMs() >= attempts.dueMs
  }

  #begin(channel: PeerChannel, better: readonly string[], circumstances: string): void {
    const { clock, random } = this.#needs
    const { nodeId } = channel.peer
    const before = this.#attempts.get(nodeId)
    const failures = before?.circumstances === circumstances ? before.failures + 1 : 0
    // Between one and two times the pause, so that the nodes of a network do not come all at once.
    const pauseMs = Math.min(PAUSE_MS_MIN * 2 ** failures, PAUSE_MS_MAX) * (1 + random.float())
    this.#attempts.set(nodeId, { circumstances, failures, dueMs: clock.nowMs() + pauseMs })
    const move = this.#move(channel, better).finally(() => this.#moves.delete(move))
    this.#moves.add(move)
  }

  /** Never rejects. */
  async #move(channel: PeerChannel, better: readonly string[]): Promise<void> {
    const { peers, log } = this.#needs
    const { nodeId } = channel.peer
    try {
      const { remoteAddress } = await peers.move(channel, better, this.#ended.signal)
      log.info('A session has moved to a better path.', {
        peer: nodeId,
        from: channel.remoteAddress,
        to: remoteAddress,
      })
    } catch (error) {
      if (this.#ended.signal.aborted) return
      log.debug('A better path does not work.', { peer: nodeId, why: messageOf(error) })
    }
  }
}
