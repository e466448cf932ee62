import { messageOf, RpcError } from '../../base/errors.ts'
import { DeadlineTimer } from '../calls/deadline-timer.ts'
import { errorFromRpcObject } from '../jsonrpc/index.ts'
import { RawJson } from '../calls/raw-json.ts'
import type { Cancellation } from '../calls/cancellation.ts'
import type { CallLinkNeeds, LinkCall, Reply } from './call-link.ts'
import { CallTable } from './call-table.ts'
import { IncomingStream, type StreamItem } from './incoming-stream.ts'
import { cancelled, closed, exceeded, idle, overloaded, tooManyStreams } from './link-failure.ts'
import {
  CALLS_PER_LINK_MAX,
  CONFIRM_BYTES,
  LINK_CREDIT_BYTES_MAX,
  STREAM_CREDIT_BYTES,
  STREAM_CREDIT_BYTES_MAX,
  STREAM_ITEM_BYTES_MAX,
  STREAMS_PER_LINK_MAX,
} from './link-limits.ts'
import { cancelMessage, confirmMessage, creditMessage } from './link-message.ts'
import type { LinkWriter } from './link-writer.ts'
import { sendUnawaited } from './send-unawaited.ts'

/** A call that waits for its answer, or whose stream is being read. */
interface Pending {
  readonly id: number
  readonly method: string
  readonly reply: Reply
  readonly signal: AbortSignal | undefined
  readonly cancellation: Cancellation | undefined
  /** Listens to those two, where there are any. */
  onAbort: (() => void) | undefined
  /** Of the answer; of a stream: when nothing has moved for `idleMs`. */
  deadlineMs: number
  readonly idleMs: number
  reading: Reading | undefined
}

/** A stream that is being read. */
interface Reading {
  readonly stream: IncomingStream
  /** Credit given beyond the first. */
  readonly extraCredit: number
  /** Cost of what was read and has not become new credit yet. */
  taken: number
}

/** The calls that one end of a link makes. */
export class CallingSide {
  readonly #needs: CallLinkNeeds
  readonly #writer: LinkWriter
  readonly #pending = new CallTable<Pending>()
  readonly #timer: DeadlineTimer
  #nextId = 1
  #streams = 0
  /** Credit given to streams beyond their first. */
  #extraCredit = 0
  /** Cost of items that came in and were not confirmed yet. */
  #toConfirm = 0

  constructor(needs: CallLinkNeeds, writer: LinkWriter) {
    this.#needs = needs
    this.#writer = writer
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endExpired(nowMs))
  }

  get size(): number {
    return this.#pending.size
  }

  /** Never throws. */
  begin(call: LinkCall, reply: Reply): void {
    try {
      this.#begin(call, reply)
    } catch (error) {
      reply.reject(error)
    }
  }

  #begin(call: LinkCall, reply: Reply): void {
    const { method, deadlineMs, signal, cancellation, context } = call
    const { channel, clock } = this.#needs
    const timeoutMs = deadlineMs - clock.nowMs()
    if (timeoutMs <= 0) throw exceeded(method, channel.label)
    if (signal?.aborted || cancellation?.reason) throw cancelled(method, channel.label)
    if (channel.closed.aborted) throw closed(channel.label, channel.closed.reason)
    if (this.#pending.size >= CALLS_PER_LINK_MAX) throw overloaded(method, `to ${channel.label}`)
    const id = this.#nextId++
    // Throws when the channel is closed or full; nothing was noted by then.
    this.#writer.request({ id, method, params: paramsOf(call), timeoutMs, context })
    const pending: Pending = {
      id,
      method,
      reply,
      signal,
      cancellation,
      onAbort: undefined,
      deadlineMs,
      idleMs: timeoutMs,
      reading: undefined,
    }
    if (signal || cancellation) {
      const onAbort = (): void => this.#giveUp(id, cancelled(method, channel.label))
      pending.onAbort = onAbort
      signal?.addEventListener('abort', onAbort, { once: true })
      cancellation?.listen(onAbort)
    }
    this.#pending.add(pending)
    this.#timer.note(deadlineMs)
  }

  /** Requests did not leave: the calls from this one on. */
  failFrom(first: number, error: unknown): void {
    for (let id = first; id < this.#nextId; id++) this.#fail(id, error)
  }

  /** An answer that comes after its deadline finds nobody. A stream ends with an answer too. */
  answered(id: number, result: RawJson): void {
    const pending = this.#take(id)
    if (pending?.reading) pending.reading.stream.finish()
    else pending?.reply.resolve(result)
  }

  /** @param error the error object of the answer */
  failed(id: number, error: unknown): void {
    if (this.#pending.get(id)) this.#fail(id, errorFromRpcObject(error, this.#needs.channel.label))
  }

  beginStream(id: number): void {
    const pending = this.#pending.get(id)
    if (!pending || pending.reading) return
    if (this.#streams >= STREAMS_PER_LINK_MAX) {
      this.#giveUp(id, tooManyStreams(pending.method, this.#needs.channel.label))
      return
    }
    const stream = new IncomingStream({
      taken: (cost) => this.#noteTaken(id, cost),
      abandon: () => {
        if (this.#take(id)) this.#send(cancelMessage(id))
      },
    })
    const left = LINK_CREDIT_BYTES_MAX - this.#extraCredit
    const extraCredit = Math.min(STREAM_CREDIT_BYTES_MAX - STREAM_CREDIT_BYTES, left)
    pending.reading = { stream, extraCredit, taken: 0 }
    this.#streams++
    this.#extraCredit += extraCredit
    this.#touch(pending)
    if (extraCredit > 0) this.#send(creditMessage(id, extraCredit))
    pending.reply.resolve(stream)
  }

  /** @param item bytes are a view of the message */
  takeItem(id: number, item: StreamItem, cost: number): void {
    this.#confirm(cost)
    const pending = this.#pending.get(id)
    if (!pending?.reading) return
    this.#touch(pending)
    const { stream } = pending.reading
    stream.push(item instanceof RawJson ? item : kept(item), cost)
    if (stream.unread <= STREAM_CREDIT_BYTES_MAX + STREAM_ITEM_BYTES_MAX) return
    const { label } = this.#needs.channel
    const message = `${label} sent more of the stream of ${pending.method} than it was given credit for`
    this.#giveUp(id, new RpcError('P2P_RPC_INTERNAL', message, { method: pending.method }))
  }

  /** Every call fails as if the channel had closed. */
  end(reason: unknown): void {
    this.#timer.stop()
    if (this.#pending.size === 0) return
    const failure = closed(this.#needs.channel.label, reason)
    for (const { id } of this.#pending.list()) this.#fail(id, failure)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (!pending) return undefined
    this.#pending.delete(id)
    if (pending.onAbort) {
      pending.signal?.removeEventListener('abort', pending.onAbort)
      pending.cancellation?.unlisten(pending.onAbort)
    }
    if (pending.reading) {
      this.#streams--
      this.#extraCredit -= pending.reading.extraCredit
    }
    return pending
  }

  #fail(id: number, error: unknown): void {
    const pending = this.#take(id)
    if (pending?.reading) pending.reading.stream.fail(error)
    else pending?.reply.reject(error)
  }

  /** Ends a call here, and tells the other end that nobody waits any more. */
  #giveUp(id: number, error: unknown): void {
    if (!this.#pending.get(id)) return
    this.#fail(id, error)
    this.#send(cancelMessage(id))
  }

  #noteTaken(id: number, cost: number): void {
    const pending = this.#pending.get(id)
    if (!pending?.reading) return
    this.#touch(pending)
    const { reading } = pending
    reading.taken += cost
    if (reading.taken < (STREAM_CREDIT_BYTES + reading.extraCredit) / 4) return
    this.#send(creditMessage(id, reading.taken))
    reading.taken = 0
  }

  #confirm(cost: number): void {
    this.#toConfirm += cost
    if (this.#toConfirm < CONFIRM_BYTES) return
    this.#send(confirmMessage(this.#toConfirm))
    this.#toConfirm = 0
  }

  #touch(pending: Pending): void {
    pending.deadlineMs = this.#needs.clock.nowMs() + pending.idleMs
  }

  #endExpired(nowMs: number): number {
    let nextMs = Infinity
    for (const pending of this.#pending.list()) {
      const { id } = pending
      if (pending.deadlineMs > nowMs) {
        if (pending.deadlineMs < nextMs) nextMs = pending.deadlineMs
      } else if (pending.reading) this.#giveUp(id, idle(pending.method, pending.idleMs))
      // The other end knows the deadline too: there is nothing to tell it.
      else this.#fail(id, exceeded(pending.method, this.#needs.channel.label))
    }
    return nextMs
  }

  #send(message: Uint8Array): void {
    sendUnawaited(this.#needs.channel, () => this.#writer.send(message))
  }
}

/** A view of most of its memory is kept as it is, which saves a third of the reader's time; a small one would hold on to much more. */
function kept(item: Uint8Array): Uint8Array {
  return item.byteLength * 2 >= item.buffer.byteLength ? item : Buffer.copyBytesFrom(item)
}

function paramsOf({ method, params }: LinkCall): RawJson | undefined {
  if (params === undefined || params instanceof RawJson) return params
  try {
    return new RawJson(JSON.stringify(params))
  } catch (error) {
    throw new RpcError('P2P_RPC_INVALID_PARAMS', `${method}: the parameters cannot be JSON: ${messageOf(error)}`, {
      method,
    })
  }
}
