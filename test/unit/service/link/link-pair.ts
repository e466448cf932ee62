import { TransportError } from '../../../../src/base/errors.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import {
  type CallLink,
  type CallLinkNeeds,
  createCallLink,
  type LinkContext,
  type ServedCall,
} from '../../../../src/service/link/call-link.ts'
import type { LinkChannel } from '../../../../src/service/link/link-channel.ts'
import type { RawJson } from '../../../../src/service/calls/raw-json.ts'
import { ManualClock } from '../support/manual-clock.ts'

export const CONTEXT = { traceId: '0123456789abcdef0123456789abcdef' }

/** A channel in memory: what is sent arrives in a later microtask. */
export class PairChannel implements LinkChannel {
  readonly label: string
  readonly #closing = new AbortController()
  /** Messages that were sent. */
  readonly sent: Buffer[] = []
  other: PairChannel | undefined
  link: CallLink | undefined
  /** Why the next sends fail. */
  failure: TransportError | undefined
  bytesMax = Infinity
  /** Messages are kept back until it is taken away. */
  held: Buffer[] | undefined

  constructor(label: string) {
    this.label = label
  }

  get closed(): AbortSignal {
    return this.#closing.signal
  }

  send(payload: Uint8Array): void {
    if (this.closed.aborted) throw this.closed.reason
    if (this.failure) throw this.failure
    if (payload.length > this.bytesMax) throw new TransportError('P2P_TRANSPORT_TOO_LARGE', 'too large')
    const message = Buffer.copyBytesFrom(payload)
    this.sent.push(message)
    if (this.held) this.held.push(message)
    else this.#deliver(message)
  }

  release(): void {
    const messages = this.held ?? []
    this.held = undefined
    for (const message of messages) this.#deliver(message)
  }

  /** As if the other end had sent it. */
  arrive(message: string | Buffer): void {
    this.link?.receive(Buffer.from(message))
  }

  close(reason = 'closed'): void {
    if (this.closed.aborted) return
    this.#closing.abort(new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', reason))
    this.other?.close(reason)
  }

  #deliver(message: Buffer): void {
    queueMicrotask(() => this.other?.arrive(message))
  }
}

export interface LinkPair {
  clock: ManualClock
  near: CallLink
  far: CallLink
  nearChannel: PairChannel
  farChannel: PairChannel
}

/** A call that came in, and the promise of its answer. */
export interface PromisedCall extends ServedCall {
  result: Promise<unknown>
}

/** Answers with what a promise gives. */
export function promised(
  serve: (method: string, params: RawJson | undefined, context: LinkContext) => PromisedCall,
): CallLinkNeeds['serve'] {
  return (method, params, context, reply) => {
    const call = serve(method, params, context)
    call.result.then(reply.resolve.bind(reply), reply.reject.bind(reply))
    return call
  }
}

/** Two ends of one link; `far` answers with `serve`. */
export function linkPair(serve: CallLinkNeeds['serve'], serveNear: CallLinkNeeds['serve'] = serve): LinkPair {
  const clock = new ManualClock()
  const nearChannel = new PairChannel('far end')
  const farChannel = new PairChannel('near end')
  nearChannel.other = farChannel
  farChannel.other = nearChannel
  const near = createCallLink({ clock, log: silentLogger, channel: nearChannel, serve: serveNear })
  const far = createCallLink({ clock, log: silentLogger, channel: farChannel, serve })
  nearChannel.link = near
  farChannel.link = far
  return { clock, near, far, nearChannel, farChannel }
}
