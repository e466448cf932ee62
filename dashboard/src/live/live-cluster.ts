import { ApiError } from '../api/http.ts'
import { askCluster, askLogs } from './ask-routes.ts'
import { type ClusterView, EMPTY_VIEW, merged, viewOf, withEvents } from './cluster-view.ts'
import { LogBuffer } from './log-buffer.ts'
import { choiceOf, type LogFilter } from './log-filter.ts'
import { DashboardSocket, type ServerMessage } from './socket.ts'

/** As often as the server would push. */
const ASK_EVERY_MS = 4_000
const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 15_000
const LOGS_ASKED = 200
/** Lines that come without end are shown so often. */
const LINES_EVERY_MS = 100
/** After so many refusals in a row the WebSocket is tried only now and then. */
const REFUSALS_MAX = 2
const ASKS_BETWEEN_TRIES = 15

/**
 * Keeps a `ClusterView` and the log up to date: by the WebSocket, or by asking while it is refused. Goes on by itself after
 * a break, with what was missed in between. Readers subscribe and take `view`.
 */
export class LiveCluster {
  readonly logs = new LogBuffer()
  #view: ClusterView = EMPTY_VIEW
  #socket: DashboardSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #asking: AbortController | undefined
  #listeners = new Set<() => void>()
  #cursor: string | undefined
  #refusals = 0
  #failures = 0
  #asksSinceTry = 0
  #reading: LogFilter | undefined
  #eventsCursor: string | undefined
  #isRunning = false
  #isNotifying = false
  #linesToldAt = 0
  #linesTimer: ReturnType<typeof setTimeout> | undefined

  get view(): ClusterView {
    return this.#view
  }

  /** @param canUseSocket false where only a header can say who we are */
  start(canUseSocket: boolean): void {
    this.#isRunning = true
    this.#refusals = canUseSocket ? 0 : Number.POSITIVE_INFINITY
    window.addEventListener('online', this.#retryNow)
    this.#connect()
  }

  stop(): void {
    this.#isRunning = false
    window.removeEventListener('online', this.#retryNow)
    clearTimeout(this.#timer)
    this.#asking?.abort()
    this.#socket?.close()
    this.#socket = undefined
    this.#cursor = undefined
    this.#eventsCursor = undefined
    this.logs.clear()
    this.#set(EMPTY_VIEW)
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Log lines come only while somebody reads them, and only those the reader chose. Those of an earlier reading are forgotten:
   * what was written since, or was not chosen then, would be missing between them and the new ones.
   * @returns to be called when they are read no more
   */
  readLogs(filter: LogFilter): () => void {
    this.#reading = filter
    this.forgetLines()
    this.#readingChanged()
    return () => {
      // The next reader may have begun before this one ends.
      if (this.#reading !== filter) return
      this.#reading = undefined
      this.#readingChanged()
    }
  }

  /** The reading goes on from here; what was before has to be asked for. */
  forgetLines(): void {
    this.logs.clear()
    this.#set({ ...this.#view, droppedLines: 0 })
  }

  #readingChanged(): void {
    this.#socket?.subscribe(this.#subscription())
    if (this.#view.connection === 'polling') this.#retryNow()
  }

  #subscription(): object {
    return {
      nodes: ['*'],
      logs: this.#reading ? choiceOf(this.#reading) : null,
      resume: this.#cursor ?? null,
      alerts: true,
      events: {},
      resume_events: this.#eventsCursor ?? null,
    }
  }

  #connect(): void {
    if (!this.#isRunning) return
    if (this.#refusals >= REFUSALS_MAX && this.#asksSinceTry < ASKS_BETWEEN_TRIES) {
      this.#asksSinceTry++
      void this.#ask()
      return
    }
    this.#asksSinceTry = 0
    this.#socket = new DashboardSocket(this.#subscription(), {
      onMessage: (message) => this.#onMessage(message),
      onClose: (wasOpen) => {
        this.#socket = undefined
        this.#refusals = wasOpen ? 0 : this.#refusals + 1
        // A refusal is answered by asking; a broken line is said, and tried again.
        if (wasOpen) this.#fail()
        else void this.#ask()
      },
    })
  }

  #onMessage(message: ServerMessage): void {
    switch (message.type) {
      case 'initial':
        this.#failures = 0
        this.#cursor = message.data.cursor ?? message.cursor ?? this.#cursor
        // Its lines are of all nodes, whatever the reader chose: those are asked for.
        this.#set(viewOf(message.data, this.#view, 'live'))
        break
      case 'update':
        this.#cursor = message.cursor ?? this.#cursor
        this.#set({ ...merged(this.#view, message.data), connection: 'live' })
        break
      case 'new_logs':
        this.#cursor = message.cursor ?? this.#cursor
        if (this.logs.add(message.logs) > 0) this.#notifyOfLines()
        break
      case 'alerts':
        this.#set({ ...this.#view, alerts: message.data })
        break
      case 'new_events':
        this.#eventsCursor = message.cursor
        // What lies between is not sent: the readers have to ask.
        this.#set(withEvents(message.missed ? { ...this.#view, events: undefined } : this.#view, message.events))
        break
      case 'dropped':
        this.#set({ ...this.#view, droppedLines: this.#view.droppedLines + message.count })
        break
      case 'pong':
        break
    }
  }

  async #ask(): Promise<void> {
    this.#asking = new AbortController()
    const { signal } = this.#asking
    try {
      const query = new URLSearchParams({ ...(this.#reading && choiceOf(this.#reading)), limit: String(LOGS_ASKED) })
      const logs = this.#reading ? askLogs(query, signal) : { logs: [] }
      const [data, lines] = await Promise.all([askCluster(signal), logs])
      if (signal.aborted) return
      this.#failures = 0
      this.logs.add(lines.logs)
      this.#set(viewOf(data, { ...this.#view, alerts: undefined, events: undefined }, 'polling'))
      this.#later(ASK_EVERY_MS)
    } catch (error) {
      if (signal.aborted) return
      // Refused, the node is there: the session's end is told elsewhere, everything else passes.
      if (error instanceof ApiError && error.status === 401) return
      this.#fail()
    }
  }

  #fail(): void {
    this.#failures++
    this.#set({ ...this.#view, connection: 'offline' })
    const most = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures)
    this.#later(most * (0.5 + Math.random() / 2))
  }

  #later(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#connect(), delayMs)
  }

  /** Whatever is waited for, now. */
  #retryNow = (): void => {
    if (this.#socket || !this.#isRunning) return
    this.#asking?.abort()
    this.#later(0)
  }

  #set(view: ClusterView): void {
    this.#view = view
    this.#notify()
  }

  /** As {@link #notify}; where lines come all the time, not in every frame: nobody reads so fast, and each costs a new layout. */
  #notifyOfLines(): void {
    if (this.#isNotifying || this.#linesTimer !== undefined) return
    const wait = this.#linesToldAt + LINES_EVERY_MS - performance.now()
    if (wait <= 0) return this.#notify()
    this.#linesTimer = setTimeout(() => {
      this.#linesTimer = undefined
      this.#notify()
    }, wait)
  }

  /** Once a frame at most, however many lines come. A hidden page has no frames: a timer stands in. */
  #notify(): void {
    if (this.#isNotifying) return
    this.#isNotifying = true
    const tell = (): void => {
      this.#isNotifying = false
      this.#linesToldAt = performance.now()
      for (const listener of this.#listeners) listener()
    }
    if (document.hidden) setTimeout(tell, 100)
    else requestAnimationFrame(tell)
  }
}
