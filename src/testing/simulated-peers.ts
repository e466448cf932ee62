import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { FrameHandler, FrameKind, PeerChannel, Peers, PeerTarget } from '../base/peer.ts'
import type { SimulatedChannel } from './simulated-connection.ts'
import type { SimulatedHost } from './simulated-host.ts'
import type { SimulatedNetwork } from './simulated-network.ts'

/** The channels of one simulated process. */
export class SimulatedPeers implements Peers {
  readonly #network: SimulatedNetwork
  readonly #identity: NodeIdentity
  readonly #host: SimulatedHost
  readonly #channels = new Map<NodeId, SimulatedChannel>()
  readonly #dials = new Map<string, Promise<PeerChannel>>()
  readonly #handlers = new Map<FrameKind, FrameHandler>()
  readonly #openListeners = new Set<(channel: PeerChannel) => void>()
  readonly #closeListeners = new Set<(channel: PeerChannel) => void>()

  constructor(network: SimulatedNetwork, identity: NodeIdentity, host: SimulatedHost) {
    this.#network = network
    this.#identity = identity
    this.#host = host
  }

  get(nodeId: NodeId): PeerChannel | undefined {
    return this.#channels.get(nodeId)
  }

  list(): PeerChannel[] {
    return [...this.#channels.values()]
  }

  open(target: PeerTarget, signal?: AbortSignal): Promise<PeerChannel> {
    const open = target.nodeId === undefined ? undefined : this.get(target.nodeId)
    if (open) return Promise.resolve(open)
    const key = target.nodeId ?? target.addresses.join(' ')
    let dial = this.#dials.get(key)
    if (!dial) {
      const from = this.#network.nodeOf(this.#identity.nodeId)
      dial = this.#network.dial(from, target.nodeId, target.addresses).finally(() => this.#dials.delete(key))
      this.#dials.set(key, dial)
    }
    return signal ? unlessAborted(dial, signal) : dial
  }

  handle(kind: FrameKind, handler: FrameHandler): void {
    this.#handlers.set(kind, handler)
  }

  onOpen(listener: (channel: PeerChannel) => void): () => void {
    this.#openListeners.add(listener)
    return () => this.#openListeners.delete(listener)
  }

  onClose(listener: (channel: PeerChannel) => void): () => void {
    this.#closeListeners.add(listener)
    return () => this.#closeListeners.delete(listener)
  }

  /** A new channel takes the place of the one to the same peer, whose other end is gone. */
  register(channel: SimulatedChannel): void {
    const replaced = this.#channels.get(channel.peer.nodeId)
    this.#channels.set(channel.peer.nodeId, channel)
    replaced?.close('the peer opened a newer one')
    for (const listener of this.#openListeners) listener(channel)
  }

  onClosed(channel: SimulatedChannel): void {
    if (this.#channels.get(channel.peer.nodeId) === channel) this.#channels.delete(channel.peer.nodeId)
    for (const listener of this.#closeListeners) listener(channel)
  }

  onFrame(channel: SimulatedChannel, kind: FrameKind, payload: Uint8Array): void {
    this.#handlers.get(kind)?.(channel, payload)
  }

  /** Closes all channels, as a process does that ends in order. */
  closeAll(): void {
    if (this.#host.state !== 'running') return
    for (const channel of this.#channels.values()) channel.close('the node is stopping')
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
