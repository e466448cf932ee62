import type { Http2Session } from 'node:http2'

/** Counted in checks: a node that was stopped itself must not take the time it missed for the peer's silence. */
export interface SessionPatience {
  /** Silent checks after which an idle session gets a PING. One to which something was sent meanwhile gets it at once. */
  idleChecks: number
  /** Further silent checks after which the session counts as dead. */
  answerChecks: number
}

/** Tells a dead HTTP/2 session from an idle one by PING (RFC 9113 section 6.7): whatever arrives is a sign of life. */
export class SessionProbe {
  readonly #session: Http2Session
  readonly #patience: SessionPatience
  #bytesRead = -1
  #bytesWritten = 0
  #silentChecks = 0
  /** Of the silent ones, those since the PING; undefined while there is none under way. */
  #checksSincePing: number | undefined

  constructor(session: Http2Session, patience: SessionPatience) {
    this.#session = session
    this.#patience = patience
  }

  /**
   * Call once per period.
   * @returns false when a PING has not been answered, and nothing else came
   */
  check(): boolean {
    if (this.#session.destroyed) return true
    const { bytesRead, bytesWritten } = this.#session.socket
    if (bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead
      this.#bytesWritten = bytesWritten
      this.#silentChecks = 0
      this.#checksSincePing = undefined
      return true
    }
    this.#silentChecks++
    if (this.#checksSincePing !== undefined) return ++this.#checksSincePing < this.#patience.answerChecks
    // Most of what is sent has an answer, which would be here by now.
    if (bytesWritten !== this.#bytesWritten || this.#silentChecks >= this.#patience.idleChecks) {
      this.#checksSincePing = 0
      this.#session.ping(() => {})
    }
    return true
  }
}
