import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Principal } from '../../../base/identity.ts'
import type { ConnectionFacts } from '../../../transport/index.ts'
import { type ClientMessage, type LogChoice, parseClientMessage, type Subscription } from './client-message.ts'
import type { FeedTarget } from './shared-feed.ts'
import { TextMessage } from './text-message.ts'

/** Who opened a socket, and by what; kept to ask again whether it still holds. */
export interface SocketOpener {
  caller: Principal & { kind: 'person' }
  headers: IncomingHttpHeaders
  connection: ConnectionFacts
}

/** Close codes (RFC 6455 section 7.4.1): 1001 the node stops, 1008 not allowed any more, 1011 our failure, 1013 too slow. */
export const CLOSE_CODES = { goingAway: 1001, notAllowed: 1008, failed: 1011, tooSlow: 1013 } as const

/** Bytes that may wait for one reader; beyond it the reader is cut, and comes back by its cursor. */
export const WAITING_BYTES_MAX = 2 * 1024 * 1024
/** One that catches up is given more when less than this waits. */
const WAITING_BYTES_LOW = 256 * 1024
/** Until a reader that was told to go is cut off: on a poor line what waits takes long. */
const CLOSE_GRACE_MS = 15_000
/** Messages a page may send between two updates. */
const MESSAGES_MAX = 64

const PONG = new TextMessage('{"type":"pong"}')

export interface DashboardSocketNeeds {
  webSocket: WebSocket
  /** The connection below it: what is sent to many is written there as one frame, made once. */
  stream: Duplex
  opener: SocketOpener
  after: (delayMs: number, fn: () => void) => { cancel(): void }
  onSubscribe: (subscription: Subscription) => void
  /** @param isCut it was read too slowly */
  onClose: (isCut: boolean) => void
}

/** One open dashboard. */
export class DashboardSocket {
  readonly opener: SocketOpener
  readonly #needs: DashboardSocketNeeds
  readonly #webSocket: WebSocket
  nodes: readonly string[] = ['*']
  /** Which lines it wants. */
  choice: LogChoice = {}
  /** Ends the log lines that come now; absent while none do. */
  logs: AbortController | undefined
  /** Everything up to this line of the log has been sent, or is not wanted. */
  cursor = 0
  /** Ends the events that come now; absent while none do. */
  events: AbortController | undefined
  /** `initial` has been sent: before it nothing else is. */
  isOpened = false
  /** What it last said it wants. */
  wanted: Subscription | undefined
  #messages = 0
  #isAnswering = true
  #isClosing = false
  #isCut = false
  #drained: (() => void)[] = []

  constructor(needs: DashboardSocketNeeds) {
    this.#needs = needs
    this.opener = needs.opener
    this.#webSocket = needs.webSocket
    const { webSocket } = needs
    webSocket.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    webSocket.on('pong', () => {
      this.#isAnswering = true
    })
    webSocket.on('close', () => {
      this.#isClosing = true
      this.#endFeeds()
      this.#resolveDrained()
      needs.onClose(this.#isCut)
    })
    // Told by the close that follows; without a listener it would end the process.
    webSocket.on('error', () => {})
  }

  send(message: TextMessage): void {
    if (this.#isClosing) return
    const { stream, webSocket } = this.#needs
    // Only control frames are written by the library: nothing of its own waits that this would overtake.
    stream.write(message.frame(webSocket.extensions !== ''), () => {
      if (this.#drained.length > 0 && webSocket.bufferedAmount <= WAITING_BYTES_LOW) this.#resolveDrained()
    })
  }

  /** Takes what is stored; a reader that has not taken what came before is cut. */
  target(onCursor: (cursor: number) => void): FeedTarget {
    return {
      deliver: ({ message, count, cursor }) => {
        if (this.#isTooSlow(count)) return
        this.send(message)
        onCursor(cursor)
      },
      drained: () => this.#untilDrained(),
      failed: () => this.close(CLOSE_CODES.failed, 'the log or the timeline cannot be read'),
    }
  }

  /** An update; a reader that has not taken the ones before is cut. */
  update(message: TextMessage): void {
    if (!this.#isTooSlow(0)) this.send(message)
  }

  #untilDrained(): Promise<void> {
    if (this.#isClosing || this.#webSocket.bufferedAmount <= WAITING_BYTES_LOW) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  /** Begins a new turn: messages are counted anew. */
  nextTurn(): void {
    this.#messages = 0
  }

  /** Asks whether anybody is there; who did not answer the last time is cut. */
  probe(): void {
    if (!this.#isAnswering) {
      this.#webSocket.terminate()
      return
    }
    this.#isAnswering = false
    this.#webSocket.ping()
  }

  close(code: number, reason: string): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#endFeeds()
    this.#webSocket.close(code, reason)
    const cut = this.#needs.after(CLOSE_GRACE_MS, () => this.#webSocket.terminate())
    this.#webSocket.once('close', () => cut.cancel())
  }

  #isTooSlow(lines: number): boolean {
    if (this.#isClosing) return true
    if (this.#webSocket.bufferedAmount <= WAITING_BYTES_MAX) return false
    const reason = 'read too slowly; connect again and resume by cursor'
    this.send(new TextMessage(JSON.stringify({ type: 'dropped', count: lines, reason })))
    this.#isCut = true
    this.close(CLOSE_CODES.tooSlow, reason)
    return true
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    const message = isBinary || ++this.#messages > MESSAGES_MAX ? undefined : parseClientMessage(data.toString('utf8'))
    if (!message) this.close(CLOSE_CODES.notAllowed, 'unknown message, or too many of them')
    else this.#act(message)
  }

  #act(message: ClientMessage): void {
    if (message.type === 'subscribe') this.#needs.onSubscribe(message)
    else if (!this.#isTooSlow(0)) this.send(PONG)
  }

  #endFeeds(): void {
    this.logs?.abort()
    this.events?.abort()
  }

  #resolveDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}
