import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Clock } from '../base/time.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import { type SessionPatience, SessionProbe } from './session-probe.ts'
import type { TransportLimits } from './transport-limits.ts'

/** A check comes every `keepAliveMs`. */
const PATIENCE: SessionPatience = { idleChecks: 1, answerChecks: 1 }

/**
 * A client's HTTP/2 session and its open streams, with what tells whether they are still of use. What happens for every
 * stream is kept small on purpose: no closure, no timer.
 */
export class Http2Connection {
  readonly facts: ConnectionFacts
  readonly #session: ServerHttp2Session
  readonly #clock: Clock
  readonly #probe: SessionProbe
  /** When each open stream began, of those whose body is bounded in time; infinity for the others. */
  readonly #streams = new Map<ServerHttp2Stream, number>()
  readonly #handedOver = new Set<ServerHttp2Stream>()
  readonly #onStreamClose: (this: ServerHttp2Stream) => void
  #hasHadStreams = false
  #idleSinceMs: number

  constructor(session: ServerHttp2Session, facts: ConnectionFacts, clock: Clock) {
    this.facts = facts
    this.#session = session
    this.#clock = clock
    this.#probe = new SessionProbe(session, PATIENCE)
    this.#idleSinceMs = clock.nowMs()
    const forget = (stream: ServerHttp2Stream): void => {
      this.#streams.delete(stream)
      this.#handedOver.delete(stream)
      if (this.#streams.size === 0) this.#idleSinceMs = clock.nowMs()
    }
    this.#onStreamClose = function onClose() {
      forget(this)
    }
  }

  /** @param isReceiptBounded whether the request must have been received whole within the request time */
  addStream(stream: ServerHttp2Stream, isReceiptBounded: boolean): void {
    this.#hasHadStreams = true
    this.#streams.set(stream, isReceiptBounded ? this.#clock.nowMs() : Number.POSITIVE_INFINITY)
    stream.on('close', this.#onStreamClose)
  }

  /** Whoever takes the stream looks after the session as long as it is open. */
  handOver(stream: ServerHttp2Stream): void {
    this.#handedOver.add(stream)
  }

  /**
   * Call once per period, for what Node does for HTTP/1.1 only: ends the session when its client is dead, never asks, or
   * has asked nothing for long, and resets streams whose body is overdue.
   */
  check(limits: Pick<TransportLimits, 'headersTimeoutMs' | 'idleTimeoutMs' | 'requestTimeoutMs'>): void {
    if (this.#handedOver.size === 0 && !this.#probe.check()) {
      this.cut()
      return
    }
    const nowMs = this.#clock.nowMs()
    const idleMsMax = this.#hasHadStreams ? limits.idleTimeoutMs : limits.headersTimeoutMs
    if (this.#streams.size === 0 && nowMs - this.#idleSinceMs >= idleMsMax) this.#session.close()
    for (const [stream, sinceMs] of this.#streams) {
      const isOverdue = nowMs - sinceMs >= limits.requestTimeoutMs && !stream.readableEnded
      if (isOverdue) stream.close(constants.NGHTTP2_CANCEL)
    }
  }

  cut(): void {
    this.#session.destroy()
  }
}
