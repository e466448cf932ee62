import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Clock } from '../base/time.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import { SessionProbe } from './session-probe.ts'
import type { TransportLimits } from './transport-limits.ts'

/** A client's HTTP/2 session, with what tells whether it is still of use. */
export class Http2Connection {
  readonly facts: ConnectionFacts
  readonly #session: ServerHttp2Session
  readonly #clock: Clock
  readonly #probe: SessionProbe
  #openStreams = 0
  #hasHadStreams = false
  #idleSinceMs: number

  constructor(session: ServerHttp2Session, facts: ConnectionFacts, clock: Clock) {
    this.facts = facts
    this.#session = session
    this.#clock = clock
    this.#probe = new SessionProbe(session)
    this.#idleSinceMs = clock.nowMs()
  }

  countStream(stream: ServerHttp2Stream): void {
    this.#openStreams++
    this.#hasHadStreams = true
    stream.once('close', () => {
      this.#openStreams--
      this.#idleSinceMs = this.#clock.nowMs()
    })
  }

  /** Call once per period: ends the session when its client is dead, never asks, or has asked nothing for long. */
  check(limits: Pick<TransportLimits, 'headersTimeoutMs' | 'idleTimeoutMs'>): void {
    if (!this.#probe.check()) {
      this.cut()
      return
    }
    const allowedMs = this.#hasHadStreams ? limits.idleTimeoutMs : limits.headersTimeoutMs
    if (this.#openStreams === 0 && this.#clock.nowMs() - this.#idleSinceMs >= allowedMs) this.#session.close()
  }

  cut(): void {
    this.#session.destroy()
  }
}
