import { DeadlineTimer } from '../calls/deadline-timer.ts'
import { errorText } from '../jsonrpc/index.ts'
import { isStream, RawJson, textOf } from '../calls/raw-json.ts'
import type { CallLinkNeeds, LinkContext, Reply, ServedCall, ServedContext } from './call-link.ts'
import { CallTable } from './call-table.ts'
import { cancelled, idle, overloaded, tooManyStreams } from './link-failure.ts'
import { CALLS_PER_LINK_MAX, LINK_WINDOW_BYTES, STREAMS_PER_LINK_MAX } from './link-limits.ts'
import { streamMessage } from './link-message.ts'
import type { LinkWriter } from './link-writer.ts'
import { OutgoingStream, type StreamSink } from './outgoing-stream.ts'
import { notSent, sendUnawaited } from './send-unawaited.ts'

/** What is told of how a call ended. */
interface Answers {
  answered(serving: Serving, value: unknown): void
  failed(serving: Serving, error: unknown): void
}

/** A call that is being answered. */
class Serving implements Reply {
  readonly id: number
  readonly method: string
  readonly traceId: string
  readonly idleMs: number
  /** Undefined until it has been started. */
  call: ServedCall | undefined
  /** When nothing has moved in its stream for `idleMs`; a call without one has its deadline where it runs. */
  deadlineMs = Infinity
  stream: OutgoingStream | undefined
  readonly #answers: Answers

  constructor(answers: Answers, id: number, method: string, { traceId, timeoutMs }: LinkContext) {
    this.#answers = answers
    this.id = id
    this.method = method
    this.traceId = traceId
    this.idleMs = timeoutMs
  }

  resolve(value: unknown): void {
    this.#answers.answered(this, value)
  }

  reject(error: unknown): void {
    this.#answers.failed(this, error)
  }
}

/** The calls that the other end of a link makes. */
export class AnsweringSide implements Answers {
  readonly #needs: CallLinkNeeds
  readonly #writer: LinkWriter
  readonly #serving = new CallTable<Serving>()
  readonly #timer: DeadlineTimer
  #streams = 0
  /** Cost of items sent and not confirmed yet. */
  #unconfirmed = 0

  constructor(needs: CallLinkNeeds, writer: LinkWriter) {
    this.#needs = needs
    this.#writer = writer
    this.#timer = new DeadlineTimer(needs.clock, (nowMs) => this.#endIdle(nowMs))
  }

  get size(): number {
    return this.#serving.size
  }

  /** @param nowMs when it came */
  serve(id: number, method: string, params: RawJson | undefined, received: LinkContext, nowMs: number): void {
    // Another end that uses an id twice could not tell the answers apart: the first call keeps it.
    if (this.#serving.get(id)) return
    const isFull = this.#serving.size >= CALLS_PER_LINK_MAX
    const serving = new Serving(this, id, method, received)
    // What was read is this call's alone: it is added to instead of copied.
    const context = received as ServedContext
    context.deadlineMs = nowMs + received.timeoutMs
    this.#serving.add(serving)
    try {
      if (isFull) throw overloaded(method, 'of this caller')
      serving.call = this.#needs.serve(method, params, context, serving)
    } catch (error) {
      this.failed(serving, error)
    }
  }

  answered(serving: Serving, value: unknown): void {
    if (isStream(value)) void this.#stream(serving, value)
    else this.#answer(serving, value)
  }

  failed(serving: Serving, error: unknown): void {
    this.#serving.delete(serving.id)
    this.#sendError(serving.id, error, serving.traceId)
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
    for (const { stream } of this.#serving.list()) stream?.roomMade()
  }

  /** Nobody waits for anything any more. */
  end(): void {
    this.#timer.stop()
    for (const serving of this.#serving.list()) this.#cancel(serving, cancelled(serving.method))
    this.#serving.clear()
  }

  #cancel({ call, stream }: Serving, reason: Error): void {
    stream?.cancel(reason)
    call?.cancel(reason)
  }

  #answer(serving: Serving, value: unknown): void {
    const { id, method, traceId } = serving
    let result: RawJson
    try {
      result = value instanceof RawJson ? value : new RawJson(textOf(method, value))
    } catch (error) {
      this.failed(serving, error)
      return
    }
    this.#serving.delete(id)
    const { channel } = this.#needs
    try {
      if (!channel.closed.aborted) this.#writer.result(id, result)
    } catch (error) {
      const failure = notSent(channel, error)
      if (failure.code === 'P2P_TRANSPORT_TOO_LARGE') this.#sendError(id, failure, traceId)
    }
  }

  /** Never rejects. */
  async #stream(serving: Serving, items: AsyncIterable<unknown>): Promise<void> {
    const { id, method } = serving
    if (this.#streams >= STREAMS_PER_LINK_MAX || !this.#serving.get(id)) {
      const reason = tooManyStreams(method, this.#needs.channel.label)
      // The call is not known yet where its method answered at once: its stream is.
      items[Symbol.asyncIterator]()
        .return?.()
        ?.then(undefined, () => {})
      serving.call?.cancel(reason)
      this.failed(serving, reason)
      return
    }
    this.#streams++
    serving.stream = new OutgoingStream(id, method, this.#sinkOf(serving))
    this.#touch(serving)
    this.#timer.note(serving.deadlineMs)
    this.#send(streamMessage(id))
    try {
      await serving.stream.send(items)
      this.#answer(serving, null)
    } catch (error) {
      this.failed(serving, error)
    }
    this.#streams--
  }

  #sinkOf(serving: Serving): StreamSink {
    return {
      hasRoom: () => this.#unconfirmed < LINK_WINDOW_BYTES,
      sendItem: (message, cost) => {
        this.#writer.send(message)
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
    for (const serving of this.#serving.list()) {
      if (serving.deadlineMs <= nowMs) {
        serving.deadlineMs = Infinity
        this.#cancel(serving, idle(serving.method, serving.idleMs))
      } else if (serving.deadlineMs < nextMs) nextMs = serving.deadlineMs
    }
    return nextMs
  }

  #sendError(id: number, error: unknown, traceId: string): void {
    this.#send(Buffer.from(errorText('2.0', id, error, traceId)))
  }

  #send(message: Uint8Array): void {
    sendUnawaited(this.#needs.channel, () => this.#writer.send(message))
  }
}
