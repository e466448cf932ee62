import { messageOf } from '../base/errors.ts'
import type { NodeId } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { PeerChannel, Peers, PeerTarget } from '../base/peer.ts'

/** Dials under way at once; what is to go to more peers than that is dropped and repaired by later rounds. */
const DIALS_MAX = 64
/** Frames kept for a peer that is being dialled. */
const WAITING_FRAMES_MAX = 64
/** How deep the causes of a failed dial are looked at. */
const CAUSE_DEPTH_MAX = 5

export interface OutboxNeeds {
  peers: Peers
  log: Logger
  targetOf: (nodeId: NodeId) => PeerTarget | undefined
  /** A dial failed; `isRefused`: the machine answered, and nothing listens there. */
  onUnreachable: (nodeId: NodeId, isRefused: boolean) => void
}

/** Sends frames to members over their open channel, or over a new one where there is none. */
export class Outbox {
  readonly #needs: OutboxNeeds
  readonly #ended = new AbortController()
  readonly #waiting = new Map<NodeId, Uint8Array[]>()
  readonly #dials = new Set<Promise<void>>()
  /** Channels this node closed itself: their end says nothing of the peer. */
  readonly #given = new WeakSet<PeerChannel>()
  #framesSent = 0
  #bytesSent = 0
  #framesUnsent = 0

  constructor(needs: OutboxNeeds) {
    this.#needs = needs
  }

  get counters(): { framesSent: number; bytesSent: number; unsent: number } {
    return { framesSent: this.#framesSent, bytesSent: this.#bytesSent, unsent: this.#framesUnsent }
  }

  /** No frames: only opens the channel. */
  send(nodeId: NodeId, frames: readonly Uint8Array[]): void {
    const channel = this.#needs.peers.get(nodeId)
    if (channel && !channel.closed.aborted) this.#write(channel, frames)
    else this.#dial(nodeId, frames)
  }

  disconnect(nodeId: NodeId): void {
    const channel = this.#needs.peers.get(nodeId)
    if (!channel) return
    this.#given.add(channel)
    channel.close('the membership protocol got no answer on it')
  }

  /** Whether this node closed the channel, by {@link disconnect}. */
  hasGivenUp(channel: PeerChannel): boolean {
    return this.#given.has(channel)
  }

  /** Ends the dials under way; resolves when they are over. */
  async stop(): Promise<void> {
    this.#ended.abort(new Error('Gossip has been stopped.'))
    await Promise.all(this.#dials)
  }

  #dial(nodeId: NodeId, frames: readonly Uint8Array[]): void {
    if (this.#ended.signal.aborted) return
    const waiting = this.#waiting.get(nodeId)
    if (waiting) {
      const room = WAITING_FRAMES_MAX - waiting.length
      waiting.push(...frames.slice(0, room))
      this.#framesUnsent += Math.max(0, frames.length - room)
    } else if (this.#waiting.size >= DIALS_MAX) this.#framesUnsent += frames.length
    else {
      this.#waiting.set(nodeId, [...frames])
      const dial = this.#open(nodeId).finally(() => this.#dials.delete(dial))
      this.#dials.add(dial)
    }
  }

  /** Never rejects. */
  async #open(nodeId: NodeId): Promise<void> {
    const { peers, log, targetOf, onUnreachable } = this.#needs
    try {
      const channel = await peers.open(targetOf(nodeId) ?? { nodeId, addresses: [] }, this.#ended.signal)
      this.#write(channel, this.#takeWaiting(nodeId))
    } catch (error) {
      this.#framesUnsent += this.#takeWaiting(nodeId).length
      if (this.#ended.signal.aborted) return
      log.debug('Cannot reach a member.', { peer: nodeId, why: messageOf(error) })
      onUnreachable(nodeId, isRefused(error))
    }
  }

  #takeWaiting(nodeId: NodeId): Uint8Array[] {
    const frames = this.#waiting.get(nodeId) ?? []
    this.#waiting.delete(nodeId)
    return frames
  }

  #write(channel: PeerChannel, frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      try {
        channel.send('gossip', frame)
        this.#framesSent++
        this.#bytesSent += frame.length
      } catch (error) {
        // The channel is closing or its queue is full: later rounds repair what this frame would have said.
        this.#framesUnsent++
        this.#needs.log.debug('Dropped a gossip frame.', { peer: channel.peer.nodeId, why: messageOf(error) })
      }
    }
  }
}

/** Whether an operating system answered the dial with "connection refused", however deep that fact is wrapped. */
export function isRefused(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > CAUSE_DEPTH_MAX) return false
  if ('code' in error && error.code === 'ECONNREFUSED') return true
  if (error instanceof AggregateError && error.errors.some((inner) => isRefused(inner, depth + 1))) return true
  return isRefused(error.cause, depth + 1)
}
