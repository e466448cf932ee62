import { TransportError } from '../base/errors.ts'
import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { PeerChannel, ReleasablePeers } from '../base/peer.ts'
import { type Random, randomInt } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { SimulatedConnection } from './simulated-connection.ts'
import { SimulatedHost } from './simulated-host.ts'
import {
  type NetworkNode,
  RETRANSMIT_MS,
  SILENCE_MS_MAX,
  SILENCE_MS_MIN,
  type SimulatedLink,
} from './simulated-link.ts'
import { SimulatedPeers } from './simulated-peers.ts'

/** How bad the network is. Channels are reliable streams: a lost packet is sent again and delays what follows it. */
export interface NetworkConditions {
  /** One way. */
  delayMsMin: number
  delayMsMax: number
  /** Share of packets lost. */
  lossRatio: number
  /** Share of dials refused although the peer listens. */
  refusalRatio: number
}

export const LAN_CONDITIONS: NetworkConditions = { delayMsMin: 0.2, delayMsMax: 2, lossRatio: 0, refusalRatio: 0 }

/** The first retransmission of a SYN (RFC 6298 section 2.1). */
const SYN_RETRANSMIT_MS = 1_000
const DIAL_TIMEOUT_MS = 5_000
/** Round trips until a channel is usable: TCP, TLS 1.3, the request for the channel. */
const HANDSHAKE_ROUND_TRIPS = 3

/** Links between simulated machines, with seeded chance and faults that a test switches on and off. */
export class SimulatedNetwork implements SimulatedLink {
  readonly clock: Clock
  readonly random: Random
  conditions: NetworkConditions
  readonly #nodes = new Map<NodeId, NetworkNode>()
  readonly #byAddress = new Map<string, NetworkNode>()
  /** `from>to` of links that carry nothing. */
  readonly #blocked = new Set<string>()
  /** Machines that can dial out and cannot be dialled. */
  readonly #hidden = new Set<NodeId>()
  readonly #connections = new Set<SimulatedConnection>()
  #connectionsMade = 0

  constructor(clock: Clock, random: Random, conditions: NetworkConditions = LAN_CONDITIONS) {
    this.clock = clock
    this.random = random
    this.conditions = conditions
  }

  /** Adds a machine, without a process as yet. */
  add(identity: NodeIdentity, addresses: readonly string[]): NetworkNode {
    const host = new SimulatedHost(this.clock)
    const node: NetworkNode = { identity, addresses, host, peers: this.#peersOf(identity.nodeId) }
    this.#nodes.set(identity.nodeId, node)
    for (const address of addresses) this.#byAddress.set(address, node)
    return node
  }

  /** Starts a process. @returns its channels */
  boot(nodeId: NodeId): ReleasablePeers {
    const node = this.#node(nodeId)
    node.host.boot()
    node.peers = this.#peersOf(nodeId)
    return node.peers
  }

  /** Ends the process at once. Its kernel closes its connections, unless the whole machine goes `silent`. */
  kill(nodeId: NodeId, state: 'killed' | 'silent'): void {
    this.#node(nodeId).host.die(state)
    for (const connection of this.#of(nodeId)) {
      connection.forget(nodeId)
      if (state === 'killed') connection.resetFrom(nodeId)
      else this.#cutWhileBroken(connection)
    }
  }

  stop(nodeId: NodeId): void {
    this.#node(nodeId).host.stop()
    for (const connection of this.#of(nodeId)) this.#cutWhileBroken(connection)
  }

  resume(nodeId: NodeId): void {
    this.#node(nodeId).host.resume()
  }

  /** From now on nothing gets from one to the other; the way back stays open. */
  block(from: NodeId, to: NodeId): void {
    this.#blocked.add(`${from}>${to}`)
    for (const connection of this.#of(from)) if (connection.hasEnd(to)) this.#cutWhileBroken(connection)
  }

  /** From now on nobody can dial the machine, as behind a router that translates addresses; its own dials work. */
  hide(nodeId: NodeId): void {
    this.#hidden.add(nodeId)
  }

  /** Connections made so far, and those that are there now. */
  get connections(): { made: number; open: number } {
    return { made: this.#connectionsMade, open: this.#connections.size }
  }

  /** Cuts the network into groups that hear nothing of each other. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue
        for (const from of group) for (const to of other) this.block(from, to)
      }
    }
  }

  /** Every link carries again. */
  heal(): void {
    this.#blocked.clear()
  }

  /** Whether any link of the machine is blocked. */
  isCutOff(nodeId: NodeId): boolean {
    return [...this.#blocked].some((link) => link.split('>').includes(nodeId))
  }

  /** Breaks some of the open channels at once, at both ends. */
  resetSome(ratio: number): void {
    for (const connection of this.#connections) {
      if (this.random.float() < ratio) connection.cut('reset by the network')
    }
  }

  /** Whether a packet sent now from one machine reaches the other, apart from chance. */
  carries(from: NodeId, to: NodeId): boolean {
    return (
      !this.#blocked.has(`${from}>${to}`) &&
      this.#node(from).host.state !== 'silent' &&
      this.#node(to).host.state !== 'silent'
    )
  }

  isLost(): boolean {
    return this.conditions.lossRatio > 0 && this.random.float() < this.conditions.lossRatio
  }

  delayMs(): number {
    const { delayMsMin, delayMsMax } = this.conditions
    return delayMsMin + this.random.float() * (delayMsMax - delayMsMin)
  }

  #peersOf(nodeId: NodeId): SimulatedPeers {
    return new SimulatedPeers((target) => this.#dial(this.#node(nodeId), target.nodeId, target.addresses))
  }

  /** @throws {TransportError} P2P_TRANSPORT_UNREACHABLE */
  async #dial(from: NetworkNode, nodeId: NodeId | undefined, addresses: readonly string[]): Promise<PeerChannel> {
    let failure: unknown = unreachable(nodeId ?? 'the peer', 'no address of it is known')
    for (const address of addresses) {
      try {
        return await this.#dialAddress(from, nodeId, address)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  nodeOf(nodeId: NodeId): NetworkNode {
    return this.#node(nodeId)
  }

  #dialAddress(from: NetworkNode, nodeId: NodeId | undefined, address: string): Promise<PeerChannel> {
    const to = this.#byAddress.get(address)
    const { life } = from.host
    return new Promise((resolve, reject) => {
      const after = (delayMs: number, fn: () => void): void => {
        this.clock.after(delayMs, () => from.host.run(life, fn))
      }
      const fail = (why: string, cause?: Error): void => reject(unreachable(address, why, cause))
      const deadlineMs = this.clock.nowMs() + DIAL_TIMEOUT_MS
      const attempt = (waitMs: number): void => {
        if (!to || to === from) {
          after(this.delayMs(), () => fail('nobody has this address'))
          return
        }
        const isThrough =
          !this.#hidden.has(to.identity.nodeId) && this.#isThrough(from.identity.nodeId, to.identity.nodeId)
        if (isThrough && (to.host.state === 'killed' || this.random.float() < this.conditions.refusalRatio)) {
          const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
          after(this.delayMs() + this.delayMs(), () => fail('refused', refused))
        } else if (isThrough && to.host.state === 'running') {
          after(this.#handshakeMs(), () => establish())
        } else if (this.clock.nowMs() + waitMs >= deadlineMs) {
          after(deadlineMs - this.clock.nowMs(), () => fail('it did not answer in time'))
        } else after(waitMs, () => attempt(waitMs * 2))
      }
      const establish = (): void => {
        if (!to || to.host.state !== 'running' || !this.#isLinked(from.identity.nodeId, to.identity.nodeId)) {
          after(Math.max(0, deadlineMs - this.clock.nowMs()), () => fail('the handshake did not end in time'))
        } else if (nodeId !== undefined && to.identity.nodeId !== nodeId)
          fail(`it is ${to.identity.nodeId}, not ${nodeId}`)
        else resolve(this.#connect(from, to))
      }
      attempt(SYN_RETRANSMIT_MS)
    })
  }

  #connect(from: NetworkNode, to: NetworkNode): PeerChannel {
    const open = from.peers.get(to.identity.nodeId)
    if (open && to.peers.get(from.identity.nodeId)) return open
    const connection = new SimulatedConnection(this, from, to, (over) => this.#connections.delete(over))
    this.#connections.add(connection)
    this.#connectionsMade++
    to.peers.register(connection.endOf(to.identity.nodeId))
    from.peers.register(connection.endOf(from.identity.nodeId))
    return connection.endOf(from.identity.nodeId)
  }

  #handshakeMs(): number {
    let timeMs = 0
    for (let flight = 0; flight < 2 * HANDSHAKE_ROUND_TRIPS; flight++) {
      timeMs += this.delayMs()
      for (let waitMs = RETRANSMIT_MS; this.isLost() && waitMs < DIAL_TIMEOUT_MS; waitMs *= 2) timeMs += waitMs
    }
    return timeMs
  }

  /** A packet and its answer. */
  #isThrough(from: NodeId, to: NodeId): boolean {
    return this.#isLinked(from, to) && !this.isLost() && !this.isLost()
  }

  #isLinked(from: NodeId, to: NodeId): boolean {
    return this.carries(from, to) && this.carries(to, from)
  }

  /** Both ends notice after a while that nothing comes any more, if that still is so. */
  #cutWhileBroken(connection: SimulatedConnection): void {
    const waitMs = SILENCE_MS_MIN + randomInt(this.random, SILENCE_MS_MAX - SILENCE_MS_MIN)
    this.clock.after(waitMs, () => {
      const [a, b] = connection.nodes
      const isWorking =
        this.#isLinked(a.identity.nodeId, b.identity.nodeId) && a.host.state !== 'stopped' && b.host.state !== 'stopped'
      if (!isWorking) connection.cut('nothing came on it any more')
    })
  }

  #of(nodeId: NodeId): SimulatedConnection[] {
    return [...this.#connections].filter((connection) => connection.hasEnd(nodeId))
  }

  #node(nodeId: NodeId): NetworkNode {
    const node = this.#nodes.get(nodeId)
    if (!node) throw new Error(`The simulated network has no node ${nodeId}.`)
    return node
  }
}

function unreachable(address: string, why: string, cause?: unknown): TransportError {
  return new TransportError('P2P_TRANSPORT_UNREACHABLE', `${address} cannot be reached: ${why}`, { address }, { cause })
}
