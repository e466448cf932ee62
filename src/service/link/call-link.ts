import type { NodeId, Principal } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import type { RawJson } from '../calls/raw-json.ts'
import type { Cancellation } from '../calls/cancellation.ts'
import { AnsweringSide } from './answering-side.ts'
import { CallingSide } from './calling-side.ts'
import type { LinkChannel } from './link-channel.ts'
import type { Heading } from './heading.ts'
import { BATCH_BYTES_MAX } from './link-limits.ts'
import { LENGTH_BYTES, parseLinkMessage } from './link-message.ts'
import { LinkWriter } from './link-writer.ts'
import { cutOff, sendUnawaited } from './send-unawaited.ts'

/** What travels with a request beside method and parameters. */
export interface LinkContext {
  /** How long the caller still waits, at least 1. */
  timeoutMs: number
  /** 32 hex digits. */
  traceId: string
  /** 16 hex digits: the caller's span, where it has one. */
  spanId?: string | undefined
  /** From a node to its own service process: `spanId` is the call's own, not its caller's; the node tells of it. */
  isOwnSpan?: true | undefined
  /** How many calls made one another before this one; absent: 0. */
  hops?: number | undefined
  /** Between a node and its own service process: the verified caller, as the node knows it. Between nodes: absent. */
  caller?: Principal | undefined
  relayedBy?: NodeId | undefined
  /** Between nodes: the calling service of the node at the other end. */
  service?: string | undefined
  /** Between nodes: the person whose call is passed on. */
  person?: { name: string; role: 'viewer' | 'operator' | 'admin' } | undefined
  /** From a service's process: where the call is to run (see CallTarget). */
  target?: string | undefined
  /** From a service's process: how often it may be made again when it failed and may have run. */
  retries?: number | undefined
}

/** What came with a request, and by when its answer is waited for. */
export interface ServedContext extends LinkContext {
  /** On the monotonic clock of this end. */
  deadlineMs: number
}

/** A call that goes out. `signal` gives it up, also on the other side. */
export interface LinkCall {
  method: string
  /** Any JSON value, or a {@link RawJson} that is passed on unread. */
  params: unknown
  deadlineMs: number
  context: Omit<LinkContext, 'timeoutMs'>
  signal?: AbortSignal | undefined
  /** As `signal`, at a tenth of its cost. */
  cancellation?: Cancellation | undefined
}

/**
 * Who is told how a call ended: by one of the two, once. A promise's own functions are one; who passes calls on is one itself, and
 * saves the promise.
 */
export interface Reply {
  /** @param value any JSON value, a {@link RawJson}, or an AsyncIterable: then every item is sent as the other end asks for more */
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** A call that came in and is being answered. */
export interface ServedCall {
  /** Its caller went away. */
  cancel(reason: Error): void
}

export interface CallLinkNeeds {
  clock: Clock
  log: Logger
  channel: LinkChannel
  /** Starts a call that came in; its reply may come before this returns. @throws {RpcError} when it cannot be started */
  serve(method: string, params: RawJson | undefined, context: ServedContext, reply: Reply): ServedCall
}

/**
 * Calls in both directions over one channel: JSON-RPC 2.0 with deadlines, cancellation and streams (docs/protocol/jsonrpc.md).
 * What is open is bounded in each direction.
 */
export interface CallLink {
  /** Calls that wait for their answers, streams included. */
  readonly pending: number
  /** Calls that are being answered, streams included. */
  readonly serving: number
  /**
   * @returns a {@link RawJson}; or for a method that streams an AsyncIterable of RawJson or Uint8Array items, which must be
   *   read to its end or returned from
   * @throws {RpcError} what the other end answered; P2P_RPC_DEADLINE_EXCEEDED, P2P_RPC_CANCELLED, P2P_RPC_OVERLOADED; {TransportError}
   */
  call(call: LinkCall): Promise<unknown>
  /** As `call`, for who needs no promise. Never throws. */
  begin(call: LinkCall, reply: Reply): void
  /** Takes one message from the channel. Never throws. Items of streams may be views of the payload: its memory is not written to again. */
  receive(payload: Uint8Array): void
  /** Ends what is open in both directions, without closing the channel: as if it had closed for that reason. */
  end(reason: unknown): void
}

export function createCallLink(needs: CallLinkNeeds): CallLink {
  return new JsonCallLink(needs)
}

class JsonCallLink implements CallLink {
  readonly #needs: CallLinkNeeds
  readonly #calling: CallingSide
  readonly #answering: AnsweringSide
  readonly #writer: LinkWriter
  /** That the other end has told, by their numbers. */
  readonly #headings: (Heading | undefined)[] = []
  #isClosed = false

  constructor(needs: CallLinkNeeds) {
    this.#needs = needs
    const { channel } = needs
    this.#writer = new LinkWriter({
      channel,
      unsent: (error, { firstRequest, hasResults }) => {
        if (firstRequest !== undefined) this.#calling.failFrom(firstRequest, error)
        if (hasResults) cutOff(channel)
      },
    })
    this.#calling = new CallingSide(needs, this.#writer)
    this.#answering = new AnsweringSide(needs, this.#writer)
    const { closed } = channel
    const onClosed = (): void => {
      this.#isClosed = true
      this.end(closed.reason)
    }
    closed.addEventListener('abort', onClosed, { once: true })
  }

  get pending(): number {
    return this.#calling.size
  }

  get serving(): number {
    return this.#answering.size
  }

  call(call: LinkCall): Promise<unknown> {
    return new Promise((resolve, reject) => this.#calling.begin(call, { resolve, reject }))
  }

  begin(call: LinkCall, reply: Reply): void {
    this.#calling.begin(call, reply)
  }

  end(reason: unknown): void {
    this.#calling.end(reason)
    this.#answering.end()
  }

  receive(payload: Uint8Array): void {
    this.#receive(payload, 0, payload.length, this.#needs.clock.nowMs())
  }

  #receive(payload: Uint8Array, begin: number, end: number, nowMs: number): void {
    const { channel, log } = this.#needs
    if (this.#isClosed) return
    const message = parseLinkMessage(payload, this.#headings, begin, end)
    switch (message.kind) {
      case 'batch':
        // A batch within a batch would let a few bytes nest without end.
        if (begin === 0 && end <= BATCH_BYTES_MAX) this.#receiveBatch(payload as Buffer, message.begin, nowMs)
        break
      case 'greeting':
        sendUnawaited(channel, () => this.#writer.greeted())
        break
      case 'heading':
        this.#headings[message.number] = message.heading
        break
      case 'result':
        this.#calling.answered(message.id, message.result)
        break
      case 'error':
        this.#calling.failed(message.id, message.error)
        break
      case 'stream':
        this.#calling.beginStream(message.id)
        break
      case 'item':
        this.#calling.takeItem(message.id, message.item, message.cost)
        break
      case 'request':
        this.#answering.serve(message.id, message.method, message.params, message.context, nowMs)
        break
      case 'cancel':
        this.#answering.cancel(message.id)
        break
      case 'credit':
        this.#answering.takeCredit(message.id, message.bytes)
        break
      case 'confirm':
        this.#answering.confirm(message.bytes)
        break
      case 'invalid':
        log.debug('What came over a link is no message', { from: channel.label, reason: message.reason })
    }
  }

  #receiveBatch(bytes: Buffer, begin: number, nowMs: number): void {
    let at = begin
    while (at + LENGTH_BYTES <= bytes.length) {
      const from = at + LENGTH_BYTES
      at = from + bytes.readUInt32BE(at)
      if (at > bytes.length) break
      this.#receive(bytes, from, at, nowMs)
    }
  }
}
