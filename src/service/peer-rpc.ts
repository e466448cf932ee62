import { utf8 } from '../base/bytes.ts'
import { codeOf, messageOf, P2PError, RpcError, TransportError } from '../base/errors.ts'
import type { NodeId, Principal } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { PeerChannel, Peers } from '../base/peer.ts'
import type { Clock } from '../base/time.ts'
import { DeadlineTimer } from './deadline-timer.ts'
import type { CallOrigin, Invocation } from './invocation.ts'
import { errorFromRpcObject, errorText, resultText } from './jsonrpc/index.ts'
import { cancelText, parsePeerMessage, type PeerCallContext, requestText } from './peer-message.ts'

/** Calls to one peer that wait for their answers, and calls of one peer that are being answered. */
export const CALLS_PER_PEER_MAX = 8_192

export interface PeerRpcNeeds {
  clock: Clock
  log: Logger
  peers: Peers
  /** Starts a call that came from a peer. @throws {RpcError} when there is no such method */
  serve(method: string, params: unknown, origin: CallOrigin): Invocation
  cancel(invocation: Invocation, reason: Error): void
}

/** A call that goes out. `signal` gives it up, also on the other side. */
export interface OutgoingCall {
  method: string
  params: unknown
  deadlineMs: number
  context: Omit<PeerCallContext, 'timeoutMs'>
  signal?: AbortSignal | undefined
}

/** Both directions of JSON-RPC on the channels to other nodes. */
export class PeerRpc {
  readonly #needs: PeerRpcNeeds
  readonly #links = new Map<PeerChannel, Link>()
  readonly #timer: DeadlineTimer

  constructor(needs: PeerRpcNeeds) {
    this.#needs = needs
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endExpired(nowMs))
  }

  start(): void {
    this.#needs.peers.handle('rpc', (channel, payload) => this.#onFrame(channel, payload))
  }

  stop(): void {
    this.#timer.stop()
    for (const channel of this.#links.keys()) this.#drop(channel, new Error('this node is stopping'))
  }

  /** Calls to this node that wait for their answers. */
  inFlight(nodeId: NodeId): number {
    const channel = this.#needs.peers.get(nodeId)
    return (channel && this.#links.get(channel)?.pending.size) ?? 0
  }

  tableSizes(): { channels: number; calling: number; serving: number } {
    let calling = 0
    let serving = 0
    for (const link of this.#links.values()) {
      calling += link.pending.size
      serving += link.serving.size
    }
    return { channels: this.#links.size, calling, serving }
  }

  /** @throws {RpcError} what the peer answered; P2P_RPC_DEADLINE_EXCEEDED, P2P_RPC_CANCELLED, P2P_RPC_OVERLOADED; {TransportError} */
  call(channel: PeerChannel, call: OutgoingCall): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { method, deadlineMs, signal } = call
      const { nodeId } = channel.peer
      const link = this.#linkOf(channel)
      const timeoutMs = deadlineMs - this.#needs.clock.nowMs()
      if (timeoutMs <= 0) throw exceeded(method, nodeId)
      if (signal?.aborted) throw cancelled(method, nodeId)
      if (link.pending.size >= CALLS_PER_PEER_MAX) throw overloaded(method, nodeId)
      const id = link.nextId++
      // `send` throws when the channel is closed or full; nothing was noted by then.
      channel.send('rpc', utf8(requestOf(id, call, timeoutMs)))
      const pending: Pending = { method, deadlineMs, resolve, reject, signal, onAbort: undefined }
      if (signal) {
        pending.onAbort = () => this.#cancel(link, id)
        signal.addEventListener('abort', pending.onAbort, { once: true })
      }
      link.pending.set(id, pending)
      this.#timer.note(deadlineMs)
    })
  }

  #linkOf(channel: PeerChannel): Link {
    const known = this.#links.get(channel)
    if (known) return known
    const { nodeId } = channel.peer
    if (channel.closed.aborted) throw closed(nodeId, channel.closed.reason)
    const link = new Link(channel)
    this.#links.set(channel, link)
    channel.closed.addEventListener('abort', () => this.#drop(channel, channel.closed.reason), { once: true })
    return link
  }

  #drop(channel: PeerChannel, reason: unknown): void {
    const link = this.#links.get(channel)
    if (!link) return
    this.#links.delete(channel)
    const failure = closed(channel.peer.nodeId, reason)
    for (const pending of link.pending.values()) {
      settled(pending)
      pending.reject(failure)
    }
    link.pending.clear()
    for (const invocation of link.serving.values()) this.#needs.cancel(invocation, cancelled(invocation.method.name))
    link.serving.clear()
  }

  #cancel(link: Link, id: number): void {
    const pending = link.take(id)
    if (!pending) return
    pending.reject(cancelled(pending.method, link.channel.peer.nodeId))
    this.#send(link.channel, cancelText(id))
  }

  #endExpired(nowMs: number): number {
    let nextMs = Infinity
    for (const link of this.#links.values()) {
      for (const [id, pending] of link.pending) {
        if (pending.deadlineMs > nowMs) {
          if (pending.deadlineMs < nextMs) nextMs = pending.deadlineMs
          continue
        }
        // The peer knows the deadline too: there is nothing to tell it.
        link.take(id)
        pending.reject(exceeded(pending.method, link.channel.peer.nodeId))
      }
    }
    return nextMs
  }

  #onFrame(channel: PeerChannel, payload: Uint8Array): void {
    if (channel.closed.aborted) return
    const message = parsePeerMessage(payload)
    if (message.kind === 'invalid') {
      this.#needs.log.debug('A peer sent what is no message', { peer: channel.peer.nodeId, reason: message.reason })
      return
    }
    const link = this.#linkOf(channel)
    switch (message.kind) {
      case 'result':
        // An answer that comes after its deadline finds nobody.
        link.take(message.id)?.resolve(message.result)
        break
      case 'error':
        link.take(message.id)?.reject(errorFromRpcObject(message.error, channel.peer.nodeId))
        break
      case 'cancel': {
        const invocation = link.serving.get(message.id)
        if (invocation) this.#needs.cancel(invocation, cancelled(invocation.method.name))
        break
      }
      case 'request':
        this.#serve(link, message.id, message.method, message.params, message.context)
        break
    }
  }

  #serve(link: Link, id: number, method: string, params: unknown, context: PeerCallContext): void {
    const { traceId } = context
    // A peer that uses an id twice could not tell the answers apart: the first call keeps it.
    if (link.serving.has(id)) return
    try {
      if (link.serving.size >= CALLS_PER_PEER_MAX) throw overloaded(method)
      const deadlineMs = this.#needs.clock.nowMs() + context.timeoutMs
      const invocation = this.#needs.serve(method, params, originOf(link.channel, context, deadlineMs))
      link.serving.set(id, invocation)
      void this.#answerWith(link, id, invocation)
    } catch (error) {
      this.#send(link.channel, errorText('2.0', id, error, traceId))
    }
  }

  /** Never rejects. */
  async #answerWith({ channel, serving }: Link, id: number, { result, method, traceId }: Invocation): Promise<void> {
    let text: string
    try {
      text = resultText('2.0', id, await result, method.name)
    } catch (error) {
      text = errorText('2.0', id, error, traceId)
    }
    serving.delete(id)
    const failure = this.#send(channel, text)
    if (codeOf(failure) === 'P2P_TRANSPORT_TOO_LARGE') this.#send(channel, errorText('2.0', id, failure, traceId))
  }

  /**
   * Sends what nobody waits for on this side. A peer that does not read what it asked for is cut off: its calls then
   * fail at once and may be retried, instead of waiting for answers that were dropped.
   */
  #send(channel: PeerChannel, text: string): P2PError | undefined {
    if (channel.closed.aborted) return undefined
    try {
      channel.send('rpc', utf8(text))
      return undefined
    } catch (error) {
      if (!(error instanceof P2PError)) throw error
      if (error.code === 'P2P_TRANSPORT_OVERLOADED') channel.close('answers to its calls are not being read')
      return error
    }
  }
}

interface Pending {
  method: string
  deadlineMs: number
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined
}

/** The calls on one channel. */
class Link {
  readonly channel: PeerChannel
  /** Calls of this node, by id. */
  readonly pending = new Map<number, Pending>()
  /** Calls of the peer, by its id. */
  readonly serving = new Map<number, Invocation>()
  nextId = 1

  constructor(channel: PeerChannel) {
    this.channel = channel
  }

  take(id: number): Pending | undefined {
    const pending = this.pending.get(id)
    if (!pending) return undefined
    this.pending.delete(id)
    settled(pending)
    return pending
  }
}

function settled(pending: Pending): void {
  if (pending.onAbort) pending.signal?.removeEventListener('abort', pending.onAbort)
}

function requestOf(id: number, { method, params, context }: OutgoingCall, timeoutMs: number): string {
  try {
    return requestText(id, method, params, { ...context, timeoutMs })
  } catch (error) {
    throw new RpcError('P2P_RPC_INVALID_PARAMS', `${method}: the parameters cannot be JSON: ${messageOf(error)}`, {
      method,
    })
  }
}

/** The caller is the node on the other end; a person in the context only takes rights away. */
function originOf(channel: PeerChannel, context: PeerCallContext, deadlineMs: number): CallOrigin {
  const { nodeId, role } = channel.peer
  const { service, person, traceId } = context
  const node: Principal = { kind: 'node', nodeId, role, ...(service !== undefined && { service }) }
  if (!person) return { caller: node, traceId, deadlineMs }
  return { caller: { kind: 'person', ...person }, relayedBy: nodeId, traceId, deadlineMs }
}

function exceeded(method: string, nodeId: NodeId): RpcError {
  return new RpcError('P2P_RPC_DEADLINE_EXCEEDED', `Node ${nodeId} did not answer ${method} in time`, {
    method,
    node: nodeId,
  })
}

function cancelled(method: string, nodeId?: NodeId): RpcError {
  const where = nodeId === undefined ? '' : ` on node ${nodeId}`
  return new RpcError('P2P_RPC_CANCELLED', `The call of ${method}${where} was given up by its caller`, { method })
}

function overloaded(method: string, nodeId?: NodeId): RpcError {
  const where = nodeId === undefined ? 'of this peer' : `to node ${nodeId}`
  const message = `${method} was not called: ${CALLS_PER_PEER_MAX} calls ${where} wait for their answers; try again later`
  return new RpcError('P2P_RPC_OVERLOADED', message, { method })
}

function closed(nodeId: NodeId, reason: unknown): TransportError {
  const message = `The connection to node ${nodeId} closed before the answer came: ${messageOf(reason)}`
  return new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', message, { node: nodeId })
}
