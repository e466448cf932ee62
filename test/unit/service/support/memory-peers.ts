import { TransportError } from '../../../../src/base/errors.ts'
import type { NodeId, NodeIdentity } from '../../../../src/base/identity.ts'
import {
  FRAME_KINDS,
  type FrameHandler,
  type FrameKind,
  type PeerChannel,
  type Peers,
  type PeerTarget,
} from '../../../../src/base/peer.ts'

/** Frames larger than this are refused, as the real transport does. */
export const FRAME_BYTES_MAX = 1_048_576

/** Connects nodes of one process; every frame arrives in a later microtask, as bytes. */
export class MemoryNetwork {
  readonly #nodes = new Map<NodeId, MemoryPeers>()
  readonly unreachable = new Set<NodeId>()
  /** Node ids that were dialled, in order. */
  readonly dialled: NodeId[] = []
  /** Holds a dial back until it resolves or the signal aborts. */
  dialGate: Promise<void> | undefined

  join(identity: NodeIdentity): MemoryPeers {
    const peers = new MemoryPeers(this, identity)
    this.#nodes.set(identity.nodeId, peers)
    return peers
  }

  connect(from: MemoryPeers, nodeId: NodeId): MemoryChannel {
    const to = this.#nodes.get(nodeId)
    if (!to || this.unreachable.has(nodeId)) {
      throw new TransportError('P2P_TRANSPORT_UNREACHABLE', `Node ${nodeId} is unreachable`)
    }
    const near = new MemoryChannel(to.identity, true, from)
    const far = new MemoryChannel(from.identity, false, to)
    near.other = far
    far.other = near
    from.adopt(near)
    to.adopt(far)
    return near
  }
}

export class MemoryPeers implements Peers {
  readonly identity: NodeIdentity
  readonly #network: MemoryNetwork
  readonly #channels = new Map<NodeId, MemoryChannel>()
  readonly #handlers = new Map<FrameKind, FrameHandler>()

  constructor(network: MemoryNetwork, identity: NodeIdentity) {
    this.#network = network
    this.identity = identity
  }

  get(nodeId: NodeId): MemoryChannel | undefined {
    return this.#channels.get(nodeId)
  }

  list(): PeerChannel[] {
    return [...this.#channels.values()]
  }

  async open(target: PeerTarget, signal?: AbortSignal): Promise<PeerChannel> {
    const nodeId = target.nodeId as NodeId
    this.#network.dialled.push(nodeId)
    if (this.#network.dialGate) {
      const aborted = new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      })
      await Promise.race([this.#network.dialGate, aborted])
    }
    return this.#channels.get(nodeId) ?? this.#network.connect(this, nodeId)
  }

  handle(kind: FrameKind, handler: FrameHandler): void {
    this.#handlers.set(kind, handler)
  }

  onOpen(): () => void {
    return () => {}
  }

  onClose(): () => void {
    return () => {}
  }

  adopt(channel: MemoryChannel): void {
    this.#channels.set(channel.peer.nodeId, channel)
  }

  drop(channel: MemoryChannel): void {
    if (this.#channels.get(channel.peer.nodeId) === channel) this.#channels.delete(channel.peer.nodeId)
  }

  receive(channel: MemoryChannel, kind: FrameKind, payload: Uint8Array): void {
    this.#handlers.get(kind)?.(channel, payload)
  }
}

export class MemoryChannel implements PeerChannel {
  readonly peer: NodeIdentity
  readonly peerSerial = '01'
  readonly remoteAddress = '127.0.0.1:1'
  readonly dialled: boolean
  readonly #owner: MemoryPeers
  readonly #closing = new AbortController()
  /** Texts of the frames that were sent. */
  readonly sent: string[] = []
  other: MemoryChannel | undefined
  /** The next sends fail as if the other side did not read. */
  isFull = false
  /** Keeps what was sent for tests that look at it. */
  recordsFrames = false

  constructor(peer: NodeIdentity, dialled: boolean, owner: MemoryPeers) {
    this.peer = peer
    this.dialled = dialled
    this.#owner = owner
  }

  get closed(): AbortSignal {
    return this.#closing.signal
  }

  send(kind: FrameKind, payload: Uint8Array): void {
    if (this.closed.aborted) throw this.closed.reason
    if (this.isFull) throw new TransportError('P2P_TRANSPORT_OVERLOADED', 'The send queue is full')
    if (payload.length > FRAME_BYTES_MAX) throw new TransportError('P2P_TRANSPORT_TOO_LARGE', 'The frame is too large')
    if (this.recordsFrames) this.sent.push(Buffer.from(payload).toString())
    if (FRAME_KINDS[kind] === undefined) throw new Error(`no frame kind ${kind}`)
    queueMicrotask(() => this.other?.arrive(kind, payload))
  }

  arrive(kind: FrameKind, payload: Uint8Array): void {
    if (!this.closed.aborted) this.#owner.receive(this, kind, payload)
  }

  close(reason = 'closed'): void {
    if (this.closed.aborted) return
    this.#owner.drop(this)
    this.#closing.abort(new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', reason))
    this.other?.close(reason)
  }
}
