import type { Http2Session } from 'node:http2'

/** Tells a dead HTTP/2 session from an idle one by PING (RFC 9113 section 6.7): whatever arrives is a sign of life. */
export class SessionProbe {
  readonly #session: Http2Session
  #bytesSeen = -1
  #isAwaiting = false

  constructor(session: Http2Session) {
    this.#session = session
  }

  /**
   * Call once per period: after a silent one it sends a PING.
   * @returns false when the PING of the period before has not been answered, and nothing else came
   */
  check(): boolean {
    if (this.#session.destroyed) return true
    const bytesRead = this.#session.socket.bytesRead
    if (bytesRead !== this.#bytesSeen) {
      this.#bytesSeen = bytesRead
      this.#isAwaiting = false
      return true
    }
    if (this.#isAwaiting) return false
    this.#isAwaiting = true
    this.#session.ping(() => {})
    return true
  }
}
