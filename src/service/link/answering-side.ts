import { codeOf } from '../../base/errors.ts'
import { DeadlineTimer } from '../deadline-timer.ts'
import { errorText } from '../jsonrpc/index.ts'
import { isStream, type RawJson, textOf } from '../raw-json.ts'
import type { CallLinkNeeds, LinkContext, ServedCall } from './call-link.ts'
import { cancelled, idle, overloaded, tooManyStreams } from './link-failure.ts'
import { CALLS_PER_LINK_MAX, LINK_WINDOW_BYTES, STREAMS_PER_LINK_MAX } from './link-limits.ts'
import { resultMessage, streamMessage } from './link-message.ts'
import { OutgoingStream, type StreamSink } from './outgoing-stream.ts'
import { sendUnawaited } from './send-unawaited.ts'

/** A call that is being answered. */
interface Serving {
  readonly method: string
  readonly traceId: string
  readonly idleMs: number
  readonly call: ServedCall
  /** When nothing has moved in its stream for `idleMs`; a call without one has its deadline where it runs. */
  deadlineMs: number
  stream: OutgoingStream | undefined
}

/** The calls that the other end of a link makes. */
export class AnsweringSide {
  readonly #needs: CallLinkNeeds
  readonly #serving = new Map<number, Serving>()
  readonly #timer: DeadlineTimer
  #streams = 0
  /** Cost of items sent and not confirmed yet. */
  #unconfirmed = 0

  constructor(needs: CallLinkNeeds) {
    this.#needs = needs
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endIdle(nowMs))
  }

  get size(): number {
    return this.#serving.size
  }

  serve(id: number, method: string, params: RawJson | undefined, context: LinkContext): void {
    const { traceId } = context
    // Another end that uses an id twice could not tell the answers apart: the first call keeps it.
    if (this.#serving.has(id)) return
    let call: ServedCall
    try {
      if (this.#serving.size >= CALLS_PER_LINK_MAX) throw overloaded(method, 'of this caller')
      call = this.#needs.serve(method, params, context)
    } catch (error) {
      this.#sendError(id, error, traceId)
      return
    }
    const idleMs = context.timeoutMs
    const serving: Serving = { method, traceId, idleMs, call, deadlineMs: Infinity, stream: undefined }
    this.#serving.set(id, serving)
    call.result.then(
      (value) => {
        if (isStream(value)) void this.#stream(id, serving, value)
        else this.#answer(id, serving, value)
      },
      (error: unknown) => this.#fail(id, serving, error),
    )
  }

  cancel(id: number): void {
    const serving = this.#serving.get(id)
    if (serving) this.#cancel(serving, cancelled(serving.method))
  }

  takeCredit(id: number, bytes: number): void {
    const serving = this.#serving.get(id)
    if (!serving?.stream) return
    this.#touch(serving)
    serving.stream.grant(bytes)
  }

  confirm(bytes: number): void {
    this.#unconfirmed = Math.max(0, this.#unconfirmed - bytes)
    if (this.#streams === 0) return
    for (const { stream } of this.#serving.values()) stream?.roomMade()
  }

  /** Nobody waits for anything any more. */
  end(): void {
    this.#timer.stop()
    for (const serving of this.#serving.values()) this.#cancel(serving, cancelled(serving.method))
    this.#serving.clear()
  }

  #cancel({ call, stream }: Serving, reason: Error): void {
    stream?.cancel(reason)
    call.cancel(reason)
  }

  #answer(id: number, serving: Serving, value: unknown): void {
    let text: string
    try {
      text = textOf(serving.method, value)
    } catch (error) {
      this.#fail(id, serving, error)
      return
    }
    this.#serving.delete(id)
    const failure = sendUnawaited(this.#needs.channel, resultMessage(id, text))
    if (codeOf(failure) === 'P2P_TRANSPORT_TOO_LARGE') this.#sendError(id, failure, serving.traceId)
  }

  #fail(id: number, serving: Serving, error: unknown): void {
    this.#serving.delete(id)
    this.#sendError(id, error, serving.traceId)
  }

  /** Never rejects. */
  async #stream(id: number, serving: Serving, items: AsyncIterable<unknown>): Promise<void> {
    const { method } = serving
    if (this.#streams >= STREAMS_PER_LINK_MAX || !this.#serving.has(id)) {
      const reason = tooManyStreams(method, this.#needs.channel.label)
      serving.call.cancel(reason)
      this.#fail(id, serving, reason)
      return
    }
    this.#streams++
    serving.stream = new OutgoingStream(id, method, this.#sinkOf(serving))
    this.#touch(serving)
    this.#timer.note(serving.deadlineMs)
    sendUnawaited(this.#needs.channel, streamMessage(id))
    try {
      await serving.stream.send(items)
      this.#answer(id, serving, null)
    } catch (error) {
      this.#fail(id, serving, error)
    }
    this.#streams--
  }

  #sinkOf(serving: Serving): StreamSink {
    return {
      hasRoom: () => this.#unconfirmed < LINK_WINDOW_BYTES,
      sendItem: (message, cost) => {
        this.#needs.channel.send(message)
        this.#unconfirmed += cost
        this.#touch(serving)
      },
    }
  }

  #touch(serving: Serving): void {
    serving.deadlineMs = this.#needs.clock.nowMs() + serving.idleMs
  }

  #endIdle(nowMs: number): number {
    let nextMs = Infinity
    for (const serving of this.#serving.values()) {
      if (serving.deadlineMs <= nowMs) {
        serving.deadlineMs = Infinity
        this.#cancel(serving, idle(serving.method, serving.idleMs))
      } else if (serving.deadlineMs < nextMs) nextMs = serving.deadlineMs
    }
    return nextMs
  }

  #sendError(id: number, error: unknown, traceId: string): void {
    sendUnawaited(this.#needs.channel, Buffer.from(errorText('2.0', id, error, traceId)))
  }
}
