import type { Alerts, LogLine, TimelineEvent } from '../api/types.ts'
import type { ClusterData } from './cluster-view.ts'

/** What `/ws/dashboard` sends. */
export type ServerMessage =
  | { type: 'initial'; data: ClusterData & { logs?: { logs: LogLine[] }; cursor?: string }; cursor?: string }
  | { type: 'update'; data: ClusterData; cursor?: string }
  | { type: 'new_logs'; logs: LogLine[]; cursor?: string }
  | { type: 'alerts'; data: Alerts }
  /** Oldest first. `missed`: more lies before them than is sent. */
  | { type: 'new_events'; events: TimelineEvent[]; cursor: string; missed?: boolean }
  | { type: 'dropped'; count: number; reason: string }
  | { type: 'pong' }

/** Nothing came for so long although we asked: the line is dead. The server sends every 4 s. */
const SILENCE_MS_MAX = 12_000
const PING_EVERY_MS = 5_000

/** What becomes of a connection. Exactly one `onClose` ends it. */
export interface SocketEvents {
  onMessage: (message: ServerMessage) => void
  /** `wasOpen`: it had worked. Refused at once, it may never work here. */
  onClose: (wasOpen: boolean) => void
}

/** One WebSocket, watched for silence. */
export class DashboardSocket {
  readonly #socket: WebSocket
  readonly #watch: ReturnType<typeof setInterval>
  #heardAt = performance.now()
  #wasOpen = false
  #isClosed = false
  #subscription: string

  constructor(subscription: object, events: SocketEvents) {
    const scheme = window.location.protocol === 'https:' ? 'wss' : 'ws'
    this.#subscription = JSON.stringify({ type: 'subscribe', ...subscription })
    this.#socket = new WebSocket(`${scheme}://${window.location.host}/ws/dashboard`)
    this.#socket.addEventListener('open', () => {
      this.#wasOpen = true
      this.#socket.send(this.#subscription)
    })
    this.#socket.addEventListener('message', ({ data }) => {
      this.#heardAt = performance.now()
      events.onMessage(JSON.parse(String(data)) as ServerMessage)
    })
    this.#watch = setInterval(() => {
      if (performance.now() - this.#heardAt > SILENCE_MS_MAX) finish()
      else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send('ping')
    }, PING_EVERY_MS)
    const finish = (): void => {
      if (this.#isClosed) return
      this.close()
      events.onClose(this.#wasOpen)
    }
    this.#socket.addEventListener('close', finish)
  }

  /** Says anew what to send. */
  subscribe(subscription: object): void {
    this.#subscription = JSON.stringify({ type: 'subscribe', ...subscription })
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(this.#subscription)
  }

  /** Ends it without `onClose`. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#watch)
    this.#socket.close()
  }
}
