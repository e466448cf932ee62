import type { NodeId, Principal } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { PeerChannel, Peers } from '../../base/peer.ts'
import type { Clock } from '../../base/time.ts'
import type { CallOrigin } from './invocation.ts'
import {
  type CallLink,
  createCallLink,
  type LinkCall,
  type Reply,
  type ServedCall,
  type ServedContext,
} from '../link/call-link.ts'
import type { LinkChannel } from '../link/link-channel.ts'
import type { RawJson } from './raw-json.ts'

export interface PeerRpcNeeds {
  clock: Clock
  log: Logger
  peers: Peers
  /** Starts a call that came from a peer. @throws {RpcError} when there is no such method */
  serve(method: string, params: RawJson | undefined, origin: CallOrigin, reply: Reply): ServedCall
}

/** A {@link CallLink} on each channel to another node. */
export class PeerRpc {
  readonly #needs: PeerRpcNeeds
  readonly #links = new Map<PeerChannel, CallLink>()

  constructor(needs: PeerRpcNeeds) {
    this.#needs = needs
  }

  start(): void {
    this.#needs.peers.handle('rpc', (channel, payload) => this.#linkOf(channel)?.receive(payload))
  }

  /** Calls under way fail, on both sides. */
  stop(): void {
    for (const link of this.#links.values()) link.end(new Error('this node is stopping'))
    this.#links.clear()
  }

  /** Calls to this node that wait for their answers. */
  inFlight(nodeId: NodeId): number {
    const channel = this.#needs.peers.get(nodeId)
    return (channel && this.#links.get(channel)?.pending) ?? 0
  }

  tableSizes(): { channels: number; calling: number; serving: number } {
    let calling = 0
    let serving = 0
    for (const link of this.#links.values()) {
      calling += link.pending
      serving += link.serving
    }
    return { channels: this.#links.size, calling, serving }
  }

  /** @throws as {@link CallLink.call} */
  call(channel: PeerChannel, call: LinkCall): Promise<unknown> {
    return new Promise((resolve, reject) => this.begin(channel, call, { resolve, reject }))
  }

  /** As {@link CallLink.begin}. */
  begin(channel: PeerChannel, call: LinkCall, reply: Reply): void {
    const link = this.#linkOf(channel)
    if (link) link.begin(call, reply)
    else reply.reject(channel.closed.reason)
  }

  /** @returns undefined when the channel is closed */
  #linkOf(channel: PeerChannel): CallLink | undefined {
    const known = this.#links.get(channel)
    if (known) return known
    if (channel.closed.aborted) return undefined
    const { clock, log } = this.#needs
    const callers = new Callers(channel)
    const link = createCallLink({
      clock,
      log,
      channel: linkChannel(channel),
      serve: (method, params, context, reply) => this.#needs.serve(method, params, callers.originOf(context), reply),
    })
    this.#links.set(channel, link)
    channel.closed.addEventListener('abort', () => this.#links.delete(channel), { once: true })
    return link
  }
}

function linkChannel(channel: PeerChannel): LinkChannel {
  return {
    label: `node ${channel.peer.nodeId}`,
    closed: channel.closed,
    send: (payload) => channel.send('rpc', payload),
    close: (reason) => channel.close(reason),
  }
}

/** Services of one node whose principal is kept: more than it has. */
const SERVICES_MAX = 1_024

/** Who calls over a channel: the node at its other end, whatever the message says; a person in the context only takes rights away. */
class Callers {
  readonly #channel: PeerChannel
  readonly #services = new Map<string | undefined, Principal>()

  constructor(channel: PeerChannel) {
    this.#channel = channel
  }

  originOf({ service, person, traceId, spanId, hops, deadlineMs }: ServedContext): CallOrigin {
    const caller: Principal = person ? { kind: 'person', name: person.name, role: person.role } : this.#node(service)
    const { nodeId, role: peerRole } = this.#channel.peer
    const relayedBy = person ? nodeId : undefined
    return { caller, relayedBy, peerRole, traceId, parentSpanId: spanId, hops, deadlineMs }
  }

  #node(service: string | undefined): Principal {
    const known = this.#services.get(service)
    if (known) return known
    if (this.#services.size >= SERVICES_MAX) this.#services.clear()
    const { nodeId, role } = this.#channel.peer
    const principal: Principal = { kind: 'node', nodeId, role, ...(service !== undefined && { service }) }
    this.#services.set(service, principal)
    return principal
  }
}
