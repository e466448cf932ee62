import type { Http2Session } from 'node:http2'

/** Counted in checks: a node that was stopped itself must not take the time it missed for the peer's silence. */
export interface SessionPatience {
  /** Silent checks after which an idle session gets a PING. One from which an answer is awaited gets it at once. */
  idleChecks: number
  /** Further silent checks after which the session counts as dead. */
  answerChecks: number
}

/** Tells a dead HTTP/2 session from an idle one by PING (RFC 9113 section 6.7): whatever arrives is a sign of life. */
export class SessionProbe {
  readonly #session: Http2Session
  readonly #patience: SessionPatience
  #bytesRead = -1
  #silentChecks = 0
  /** Undefined while no PING is under way. */
  #checksSincePing: number | undefined

  constructor(session: Http2Session, patience: SessionPatience) {
    this.#session = session
    this.#patience = patience
  }

  /**
   * Call once per period.
   * @param isAnswerAwaited whether something was sent since the last check, and nothing has come since
   * @returns false when a PING has not been answered, and nothing else came
   */
  check(isAnswerAwaited = false): boolean {
    if (this.#session.destroyed) return true
    const { bytesRead } = this.#session.socket
    if (bytesRead === this.#bytesRead) this.#silentChecks++
    else {
      this.#bytesRead = bytesRead
      this.#silentChecks = 0
      this.#checksSincePing = undefined
    }
    if (this.#checksSincePing !== undefined) return ++this.#checksSincePing < this.#patience.answerChecks
    if (isAnswerAwaited || this.#silentChecks >= this.#patience.idleChecks) {
      this.#checksSincePing = 0
      this.#session.ping(() => {})
    }
    return true
  }
}
