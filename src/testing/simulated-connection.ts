import { TransportError } from '../base/errors.ts'
import type { NodeId, NodeIdentity } from '../base/identity.ts'
import type { FrameKind } from '../base/peer.ts'
import {
  type NetworkNode,
  RELEASE_MS,
  type ReleasableChannel,
  RETRANSMIT_MS,
  type SegmentKind,
  SILENCE_MS_MAX,
  type SimulatedLink,
  UNANSWERED_MS_MAX,
} from './simulated-link.ts'

interface Segment {
  kind: SegmentKind
  payload: Uint8Array
  sentMs: number
  hasArrived: boolean
}

const NO_PAYLOAD = new Uint8Array(0)

/** A TCP connection between two processes, with a channel at each end. */
export class SimulatedConnection {
  readonly nodes: readonly [NetworkNode, NetworkNode]
  readonly #link: SimulatedLink
  readonly #ends: readonly [SimulatedChannel, SimulatedChannel]
  readonly #onOver: (connection: SimulatedConnection) => void

  /** @param onOver called once both ends are closed */
  constructor(
    link: SimulatedLink,
    dialler: NetworkNode,
    acceptor: NetworkNode,
    onOver: (connection: SimulatedConnection) => void,
  ) {
    this.#onOver = onOver
    this.#link = link
    this.nodes = [dialler, acceptor]
    this.#ends = [
      new SimulatedChannel(link, this, dialler, acceptor, true),
      new SimulatedChannel(link, this, acceptor, dialler, false),
    ]
  }

  hasEnd(nodeId: NodeId): boolean {
    return this.nodes.some((node) => node.identity.nodeId === nodeId)
  }

  endOf(nodeId: NodeId): SimulatedChannel {
    return this.#ends[this.nodes[0].identity.nodeId === nodeId ? 0 : 1]
  }

  otherEnd(end: SimulatedChannel): SimulatedChannel {
    return this.#ends[end === this.#ends[0] ? 1 : 0]
  }

  /** The process at this end is gone: its end is closed without anybody noticing there. */
  forget(nodeId: NodeId): void {
    this.endOf(nodeId).abandon()
    this.release()
  }

  /** One machine says that the connection is over; the other hears it if the link works. */
  resetFrom(nodeId: NodeId): void {
    const end = this.endOf(nodeId)
    const other = this.otherEnd(end)
    const { clock } = this.#link
    const carries = this.#link.carries(nodeId, end.peer.nodeId)
    clock.after(this.#link.delayMs() + (carries ? 0 : SILENCE_MS_MAX), () => other.end('the peer closed it'))
  }

  /** Both ends are over now. */
  cut(reason: string): void {
    for (const end of this.#ends) end.end(reason)
  }

  release(): void {
    if (this.#ends.every((end) => end.closed.aborted)) this.#onOver(this)
  }
}

/** One end of a simulated connection. */
class SimulatedChannel implements ReleasableChannel {
  readonly peer: NodeIdentity
  readonly peerSerial = '01'
  readonly remoteAddress: string
  readonly dialled: boolean
  readonly #link: SimulatedLink
  readonly #connection: SimulatedConnection
  readonly #owner: NetworkNode
  readonly #life: number
  readonly #closed = new AbortController()
  /** Sent and not handed to the peer's process yet, in order. */
  readonly #segments: Segment[] = []
  #hasCarriedCalls = false
  #isOutOfUse = false

  constructor(
    link: SimulatedLink,
    connection: SimulatedConnection,
    owner: NetworkNode,
    peer: NetworkNode,
    dialled: boolean,
  ) {
    this.#link = link
    this.#connection = connection
    this.#owner = owner
    this.#life = owner.host.life
    this.peer = peer.identity
    this.remoteAddress = peer.addresses[0] ?? ''
    this.dialled = dialled
  }

  get closed(): AbortSignal {
    return this.#closed.signal
  }

  get hasCarriedCalls(): boolean {
    return this.#hasCarriedCalls
  }

  send(kind: FrameKind, payload: Uint8Array): void {
    if (this.closed.aborted) throw this.closed.reason
    this.#hasCarriedCalls ||= kind !== 'gossip'
    this.#enqueue(kind, payload)
  }

  get isOutOfUse(): boolean {
    return this.#isOutOfUse
  }

  retire(): void {
    this.#isOutOfUse = true
    const { host } = this.#owner
    this.#link.clock.after(RELEASE_MS, () => host.run(this.#life, () => this.close('it was out of use')))
  }

  announceRelease(): void {
    this.#enqueue('release', NO_PAYLOAD)
  }

  #enqueue(kind: SegmentKind, payload: Uint8Array): void {
    const segment: Segment = { kind, payload, sentMs: this.#link.clock.nowMs(), hasArrived: false }
    this.#segments.push(segment)
    this.#transmit(segment, RETRANSMIT_MS)
  }

  close(reason = 'this node closed it'): void {
    if (this.closed.aborted) return
    this.#abort(reason)
    this.#connection.resetFrom(this.#owner.identity.nodeId)
  }

  /** The connection is over; the process hears of it. */
  end(reason: string): void {
    if (!this.closed.aborted) this.#owner.host.run(this.#life, () => this.#abort(reason))
  }

  /** The process that owned this end is gone. */
  abandon(): void {
    this.#closed.abort()
  }

  #abort(reason: string): void {
    if (this.closed.aborted) return
    const message = `The channel to ${this.peer.nodeId} is closed: ${reason}.`
    this.#closed.abort(new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', message))
    this.#segments.length = 0
    this.#connection.release()
    this.#owner.peers.onClosed(this)
  }

  /** TCP: what is not acknowledged is sent again, ever later, until the transport gives the connection up. */
  #transmit(segment: Segment, retransmitMs: number): void {
    const { clock } = this.#link
    const [from, to] = [this.#owner.identity.nodeId, this.peer.nodeId]
    const isThere = segment.hasArrived || (this.#link.carries(from, to) && !this.#link.isLost())
    if (isThere && !segment.hasArrived) {
      clock.after(this.#link.delayMs(), () => {
        segment.hasArrived = true
        this.#deliver()
      })
    }
    if (isThere && this.#link.carries(to, from)) return
    clock.after(retransmitMs, () => {
      if (this.closed.aborted) return
      const isOverdue = segment.kind === 'rpc' && clock.nowMs() - segment.sentMs > UNANSWERED_MS_MAX
      if (isOverdue) this.end('the peer did not answer any more')
      else this.#transmit(segment, retransmitMs * 2)
    })
  }

  /** In order: a segment waits for those sent before it. */
  #deliver(): void {
    const other = this.#connection.otherEnd(this)
    while (this.#segments[0]?.hasArrived) {
      const { kind, payload } = this.#segments.shift() as Segment
      other.receive(kind, payload)
    }
  }

  receive(kind: SegmentKind, payload: Uint8Array): void {
    this.#owner.host.run(this.#life, () => {
      if (this.closed.aborted) return
      if (kind === 'release') this.#owner.peers.onReleased(this)
      else {
        this.#hasCarriedCalls ||= kind !== 'gossip'
        this.#owner.peers.onFrame(this, kind, payload)
      }
    })
  }
}
