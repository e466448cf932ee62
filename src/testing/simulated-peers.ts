import type { NodeId } from '../base/identity.ts'
import type { FrameHandler, FrameKind, PeerChannel, PeerTarget } from '../base/peer.ts'
import type { ChannelOwner, ReleasableChannel } from './simulated-link.ts'

/** The channels of one simulated process. */
export class SimulatedPeers implements ChannelOwner {
  readonly #dial: (target: PeerTarget) => Promise<PeerChannel>
  readonly #channels = new Map<NodeId, ReleasableChannel>()
  readonly #dials = new Map<string, Promise<PeerChannel>>()
  readonly #handlers = new Map<FrameKind, FrameHandler>()
  readonly #openListeners = new Set<(channel: PeerChannel) => void>()
  readonly #closeListeners = new Set<(channel: PeerChannel) => void>()

  constructor(dial: (target: PeerTarget) => Promise<PeerChannel>) {
    this.#dial = dial
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
      dial = this.#dial(target).finally(() => this.#dials.delete(key))
      this.#dials.set(key, dial)
    }
    return signal ? unlessAborted(dial, signal) : dial
  }

  release(channel: PeerChannel): boolean {
    const current = this.#channels.get(channel.peer.nodeId)
    if (!current || current !== channel || current.hasCarriedCalls) return false
    current.announceRelease()
    this.onReleased(current)
    return true
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
  register(channel: ReleasableChannel): void {
    const replaced = this.#channels.get(channel.peer.nodeId)
    this.#channels.set(channel.peer.nodeId, channel)
    replaced?.close('the peer opened a newer one')
    for (const listener of this.#openListeners) listener(channel)
  }

  onReleased(channel: ReleasableChannel): void {
    if (this.#channels.get(channel.peer.nodeId) !== channel) return
    this.#channels.delete(channel.peer.nodeId)
    channel.retire()
    for (const listener of this.#closeListeners) listener(channel)
  }

  onClosed(channel: ReleasableChannel): void {
    if (this.#channels.get(channel.peer.nodeId) === channel) this.#channels.delete(channel.peer.nodeId)
    // The listeners were told when it was taken out of use.
    if (channel.isOutOfUse) return
    for (const listener of this.#closeListeners) listener(channel)
  }

  onFrame(channel: PeerChannel, kind: FrameKind, payload: Uint8Array): void {
    this.#handlers.get(kind)?.(channel, payload)
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
