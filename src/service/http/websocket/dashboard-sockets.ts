import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { codeOf, messageOf, RpcError } from '../../../base/errors.ts'
import { ANONYMOUS, principalLabel } from '../../../base/identity.ts'
import type { LogFilter, LogLine, LogPage, LogReader, LogSources } from '../../../base/log-line.ts'
import { LOG_LEVELS } from '../../../base/log.ts'
import type { Timer } from '../../../base/time.ts'
import type { Timeline, TimelineEvent, TimelineFilter } from '../../../base/timeline.ts'
import { isAllowed } from '../../auth/access.ts'
import { isFromOwnPage } from '../../auth/session-cookie.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import type { DashboardSource } from '../dashboard-source.ts'
import { recordForgery } from '../forgeries.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { LOG_LIMIT_DEFAULT, logFilterOf, logLineText } from '../log-wire.ts'
import { problemHeaders, problemOf } from '../problem.ts'
import { SECURITY_HEADERS } from '../security-headers.ts'
import { eventFilterOf } from '../timeline-wire.ts'
import { traceIdOf } from '../trace.ts'
import { createWatcherSlots, type WatcherLimits } from '../watcher-slots.ts'
import { type LogChoice, MESSAGE_BYTES_MAX, type Subscription } from './client-message.ts'
import { CLOSE_CODES, DashboardSocket, type DashboardSocketNeeds, type SocketOpener } from './dashboard-socket.ts'
import { DashboardState, messageTime } from './dashboard-state.ts'
import { eventMessage, eventMessages, logMessages } from './feed-messages.ts'
import { SharedFeed } from './shared-feed.ts'
import { TextMessage } from './text-message.ts'

/** Open dashboards: of one person, and in all. */
export const SOCKET_LIMITS: WatcherLimits = { perCaller: 128, overall: 256 }

const UPDATE_EVERY_MS = 4_000
/** Every so many updates a socket is asked whether anybody is there. */
const PROBE_EVERY_UPDATES = 8
/** A page that was away longer begins with the latest lines instead. */
export const RESUME_LINES_MAX = 20_000
/** The same of events: a page asks for them by pages. */
export const RESUME_EVENTS_MAX = 1_000
/** Changes of the alerts that come together are told together. */
const ALERTS_GATHER_MS = 50

const KEY = 'GET /ws/dashboard'
/** The end of the log, as pages are greeted with it. */
interface LogEnd {
  page: LogPage
  sources: LogSources
}

/** All open dashboards of a coordinator: who may open one, and what they are told. */
export class DashboardSockets {
  readonly #needs: RouteNeeds
  readonly #dashboard: DashboardSource | undefined
  readonly #logs: LogReader | undefined
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MESSAGE_BYTES_MAX,
    // Messages are compressed once for all sockets, so none may rely on the one before.
    perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
  })
  readonly #slots = createWatcherSlots(SOCKET_LIMITS)
  readonly #sockets = new Set<DashboardSocket>()
  readonly #state: DashboardState | undefined
  readonly #lines: SharedFeed<LogLine, LogFilter> | undefined
  readonly #events: SharedFeed<TimelineEvent, TimelineFilter> | undefined
  readonly #unlisten: () => void
  #timer: Timer | undefined
  #alertsTimer: Timer | undefined
  /** As they were last told. */
  #alertsText: string | undefined
  #updates = 0
  /** Newest line of the log, as far as known; undefined while it cannot be read. */
  #latest: number | undefined
  #reading: Promise<LogEnd | undefined> | undefined
  #isStopped = false

  constructor(needs: RouteNeeds) {
    const { dashboard, logs, timeline, clock, log } = needs
    this.#needs = needs
    this.#dashboard = dashboard
    this.#logs = logs
    this.#state = dashboard && new DashboardState({ ...needs, dashboard })
    this.#lines = logs && new SharedFeed({ clock, log, source: lineSource(logs) })
    this.#events = timeline && new SharedFeed({ clock, log, source: eventSource(timeline) })
    this.#unlisten = needs.alerts?.onChange(() => this.#armAlerts()) ?? (() => {})
  }

  /** Opens a WebSocket, or answers why not. Never rejects. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Until the WebSocket has it, a connection that breaks is nobody's failure.
    const onError = (): void => {}
    socket.on('error', onError)
    try {
      const opener = await this.#admit(request)
      const slot = this.#slots.take(opener.caller)
      // Freed whichever way the connection ends, also before the handshake is through.
      socket.once('close', () => slot[Symbol.dispose]())
      if (socket.destroyed) return
      declineSmallWindow(request)
      this.#server.handleUpgrade(request, socket, head, (webSocket) =>
        this.#open({ webSocket, stream: socket, opener }),
      )
      this.#needs.counts.add(KEY, 101)
    } catch (error) {
      this.#refuse(request, socket, error)
    } finally {
      socket.off('error', onError)
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#alertsTimer?.cancel()
    this.#unlisten()
    for (const socket of this.#sockets) socket.close(CLOSE_CODES.goingAway, 'the node is stopping')
  }

  async #admit(request: IncomingMessage): Promise<SocketOpener> {
    const { gate, transport, membership } = this.#needs
    const { headers } = request
    if (pathOf(request) !== '/ws/dashboard') {
      throw new RpcError('P2P_HTTP_NOT_FOUND', 'The only WebSocket here is /ws/dashboard')
    }
    const connection = transport.facts(request)
    const caller = await gate.admit(KEY, { headers, connection })
    if (caller.kind !== 'person') throw new RpcError('P2P_RPC_ACCESS_DENIED', 'Dashboards are for people')
    // A browser opens a WebSocket for any page and shows its cookies; only its word on the page's origin tells them apart.
    if (!isFromOwnPage(headers)) {
      throw new RpcError(
        'P2P_RPC_ACCESS_DENIED',
        `A page of ${String(headers.origin)} may not open the dashboard's socket`,
      )
    }
    if (request.method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') {
      throw new RpcError('P2P_HTTP_UPGRADE_REQUIRED', '/ws/dashboard is a WebSocket: the upgrade asked for is another')
    }
    if (!this.#dashboard) throw coordinatorOnly(membership, 'keep the metrics of the cluster')
    if (this.#isStopped) throw new RpcError('P2P_HTTP_STOPPING', 'The node is stopping')
    return { caller, headers, connection }
  }

  #refuse(request: IncomingMessage, socket: Duplex, error: unknown): void {
    const { counts, random, audit, transport } = this.#needs
    const place = { path: pathOf(request), traceId: traceIdOf(request.headers, random) }
    const problem = problemOf(error, place)
    const { status } = problem
    const code = codeOf(error)
    const act = { act: KEY, from: transport.facts(request).remoteAddress, traceId: place.traceId }
    // A page of another origin that tries is an attack, whether the browser showed a cookie with it or not.
    if (code !== undefined && (code === 'P2P_RPC_ACCESS_DENIED' || !isFromOwnPage(request.headers))) {
      audit?.refused({ ...act, who: principalLabel(ANONYMOUS), target: request.headers.origin ?? '' }, code)
    } else recordForgery(audit, error, act)
    counts.add(place.path === '/ws/dashboard' ? KEY : undefined, status)
    if (socket.destroyed) return
    const text = JSON.stringify(problem)
    const length = Buffer.byteLength(text)
    const fields = { ...SECURITY_HEADERS, ...problemHeaders(problem), 'content-length': length, connection: 'close' }
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${text}`)
  }

  #open(opened: Pick<DashboardSocketNeeds, 'webSocket' | 'stream' | 'opener'>): void {
    const { clock } = this.#needs
    const socket = new DashboardSocket({
      ...opened,
      after: (delayMs, fn) => clock.after(delayMs, fn),
      onSubscribe: (subscription) => void this.#subscribe(socket, subscription),
      onClose: (isCut) => {
        this.#sockets.delete(socket)
        this.#needs.dashboards.open = this.#sockets.size
        if (isCut) this.#needs.dashboards.cut++
      },
    })
    if (this.#sockets.size === 0) {
      // Nobody looked: what is known is old.
      this.#state?.refresh()
      this.#armTimer()
    }
    this.#sockets.add(socket)
    this.#needs.dashboards.open = this.#sockets.size
    void this.#greet(socket)
  }

  /** Sends `initial`. Never rejects. */
  async #greet(socket: DashboardSocket): Promise<void> {
    const { clock, membership } = this.#needs
    const { page, sources } = (await this.#readLogs()) ?? NO_LOG
    this.#saw(page.latest)
    const { name, role } = socket.opener.caller
    const nodes = membership.members().map(({ record }) => record.nodeId)
    const known = [...new Set([...nodes, ...sources.nodes])].sort()
    const cursor = JSON.stringify(String(page.latest ?? 0))
    const rest = { total: page.total, limit: LOG_LIMIT_DEFAULT, offset: 0, nodes: known }
    const parts = [
      `"me":${JSON.stringify({ name, role })}`,
      this.#state?.initial(socket.nodes),
      `"logs":{"logs":[${page.lines.map(logLineText).join()}],${JSON.stringify(rest).slice(1)}`,
      `"log_sources":${JSON.stringify({ nodes: known, loggers: sources.loggers, log_levels: LOG_LEVELS })}`,
      `"cursor":${cursor}`,
    ].filter((part) => part !== undefined)
    const head = `{"type":"initial","timestamp":${JSON.stringify(messageTime(clock))},"cursor":${cursor}`
    socket.send(new TextMessage(`${head},"data":{${parts.join()}}}`))
    socket.isOpened = true
    // What a page has said already it wants, else all lines from here on.
    if (socket.wanted) await this.#subscribe(socket, socket.wanted)
    else this.#follow(socket, {}, page.latest)
  }

  /** Pages that come together are greeted with one reading. @returns undefined when the log is out of order; all else is shown */
  #readLogs(): Promise<LogEnd | undefined> {
    this.#reading ??= this.#readLogsNow().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readLogsNow(): Promise<LogEnd | undefined> {
    if (!this.#logs) return undefined
    try {
      const [page, sources] = await Promise.all([
        this.#logs.query({}, { limit: LOG_LIMIT_DEFAULT }),
        this.#logs.sources(),
      ])
      return { page, sources }
    } catch (error) {
      this.#needs.log.warning('The log cannot be read for a dashboard', { error: messageOf(error) })
      this.#latest = undefined
      return undefined
    }
  }

  #saw(latest: number | undefined): void {
    if (latest !== undefined) this.#latest = Math.max(this.#latest ?? 0, latest)
  }

  /** Never rejects. */
  async #subscribe(socket: DashboardSocket, wanted: Subscription): Promise<void> {
    socket.nodes = wanted.nodes
    socket.wanted = wanted
    if (!socket.isOpened) return
    if (wanted.alerts) this.#tellAlerts(socket)
    await Promise.all([this.#followLines(socket, wanted), this.#followEvents(socket, wanted)])
  }

  async #followLines(socket: DashboardSocket, { logs, resume }: Subscription): Promise<void> {
    // What is known may be seconds old, and everything from there on would come.
    this.#saw((await this.#readLogs())?.page.latest)
    const latest = this.#latest
    if (latest === undefined) {
      this.#follow(socket, logs, undefined)
      return
    }
    const from = Math.min(resume ?? latest, latest)
    const tooOld = latest - RESUME_LINES_MAX - from
    if (tooOld > 0 && logs) {
      const reason = `older than the last ${RESUME_LINES_MAX} lines`
      socket.send(new TextMessage(JSON.stringify({ type: 'dropped', count: tooOld, reason })))
    }
    this.#follow(socket, logs, Math.max(from, latest - RESUME_LINES_MAX))
  }

  /**
   * From here on only lines that match come, in place of those so far.
   * @param after undefined: the log cannot be read; they come once it can
   */
  #follow(socket: DashboardSocket, choice: LogChoice, after: number | undefined): void {
    socket.logs?.abort()
    socket.logs = undefined
    socket.choice = choice
    if (after === undefined) return
    socket.cursor = after
    if (!choice) return
    socket.logs = new AbortController()
    const target = socket.target((cursor) => (socket.cursor = cursor))
    this.#lines?.follow(filterOf(choice), target, { after, signal: socket.logs.signal })
  }

  /** From here on only events that match come, in place of those so far. While the timeline cannot be read it is tried again. */
  async #followEvents(socket: DashboardSocket, wanted: Subscription): Promise<void> {
    const { timeline, clock, log } = this.#needs
    socket.events?.abort()
    socket.events = undefined
    if (!wanted.events || !timeline) return
    try {
      const { latest } = await timeline.query({}, { limit: 1 })
      // Something else may have been asked for meanwhile.
      if (socket.wanted !== wanted || socket.events) return
      const resumed = Math.min(wanted.resumeEvents ?? latest, latest)
      const isMissed = latest - resumed > RESUME_EVENTS_MAX
      const after = isMissed ? latest : resumed
      const place = { cursor: after, timestamp: messageTime(clock), isMissed }
      socket.update(eventMessage([], place))
      socket.events = new AbortController()
      // Where it went on from, should it have to be tried again.
      const target = socket.target((cursor) => (wanted.resumeEvents = cursor))
      const { signal } = socket.events
      this.#events?.follow(eventFilterOf(wanted.events), target, { after, signal })
    } catch (error) {
      log.warning('The timeline cannot be read for a dashboard', { error: messageOf(error) })
    }
  }

  #armAlerts(): void {
    this.#alertsTimer ??= this.#needs.clock.after(ALERTS_GATHER_MS, () => {
      this.#alertsTimer = undefined
      this.#tellAlerts()
    })
  }

  /** Tells those that want them the alerts, where anything in them is new. @param greeted gets them in any case */
  #tellAlerts(greeted?: DashboardSocket): void {
    const { alerts, clock } = this.#needs
    const sockets = [...this.#sockets].filter(({ isOpened, wanted }) => isOpened && wanted?.alerts)
    if (!alerts || sockets.length === 0) return
    const text = JSON.stringify(alerts.list())
    const isNew = text !== this.#alertsText
    this.#alertsText = text
    const message = new TextMessage(
      `{"type":"alerts","timestamp":${JSON.stringify(messageTime(clock))},"data":${text}}`,
    )
    for (const socket of sockets) if (isNew || socket === greeted) socket.update(message)
  }

  /** Never rejects. */
  async #lookForLines(): Promise<void> {
    if (!this.#logs) return
    try {
      this.#saw((await this.#logs.query({}, { limit: 1 })).latest)
    } catch {
      // Said where a page is greeted.
      this.#latest = undefined
    }
  }

  /** There is one at a time, also where a socket opens while an update is made. */
  #armTimer(): void {
    this.#timer?.cancel()
    this.#timer = this.#needs.clock.after(UPDATE_EVERY_MS, () => void this.#update())
  }

  /** Tells everybody what is new. Never rejects. */
  async #update(): Promise<void> {
    await this.#lookForLines()
    if (this.#sockets.size === 0 || this.#isStopped) return
    this.#state?.refresh()
    this.#updates++
    const messages = new Map<string, TextMessage>()
    for (const socket of this.#sockets) {
      socket.nextTurn()
      if (!socket.isOpened) continue
      if (!socket.logs && this.#latest !== undefined) this.#follow(socket, socket.choice, this.#latest)
      if (!socket.events && socket.wanted?.events) void this.#followEvents(socket, socket.wanted)
      const key = JSON.stringify([socket.cursor, socket.nodes])
      let message = messages.get(key)
      if (!message) messages.set(key, (message = this.#updateMessage(socket)))
      socket.update(message)
    }
    // A silence that ends is told by nobody.
    this.#tellAlerts()
    if (this.#updates % PROBE_EVERY_UPDATES === 0) for (const socket of this.#sockets) socket.probe()
    await this.#checkCredentials()
    this.#armTimer()
  }

  #updateMessage({ cursor, nodes }: DashboardSocket): TextMessage {
    const timestamp = JSON.stringify(messageTime(this.#needs.clock))
    const data = this.#state?.update(nodes) ?? ''
    return new TextMessage(`{"type":"update","timestamp":${timestamp},"data":{${data}},"cursor":"${cursor}"}`)
  }

  /** A socket lives no longer than what opened it. */
  async #checkCredentials(): Promise<void> {
    const { authenticator } = this.#needs
    for (const socket of this.#sockets) {
      const { headers, connection } = socket.opener
      const caller = await authenticator.authenticate({ headers, connection }).catch(() => undefined)
      if (!caller || !isAllowed(KEY, caller))
        socket.close(CLOSE_CODES.notAllowed, 'the session has ended; sign in again')
    }
  }
}

const NO_LOG = { page: { lines: [], total: 0, latest: undefined }, sources: { nodes: [], loggers: [] } }

/** Keys that are not there are left out, so that equal choices read the same. */
function filterOf(choice: NonNullable<LogChoice>): LogFilter {
  const given = Object.entries(logFilterOf(choice)).filter(([, value]) => value !== undefined && value !== '')
  return Object.fromEntries(given) as LogFilter
}

function lineSource(logs: LogReader) {
  return {
    name: 'log lines',
    subscribe: (filter: LogFilter, options: { after: number; signal: AbortSignal }) => logs.subscribe(filter, options),
    cursorOf: ({ cursor }: LogLine) => cursor,
    messagesOf: logMessages,
  }
}

function eventSource(timeline: Timeline) {
  return {
    name: 'timeline',
    subscribe: (filter: TimelineFilter, options: { after: number; signal: AbortSignal }) =>
      timeline.subscribe(filter, options),
    cursorOf: ({ id }: TimelineEvent) => id,
    messagesOf: eventMessages,
  }
}

/** What is compressed for all needs the whole window: who has less gets messages as they are. */
function declineSmallWindow({ headers }: IncomingMessage): void {
  const offer = headers['sec-websocket-extensions']
  if (offer?.includes('server_max_window_bits')) delete headers['sec-websocket-extensions']
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] as string
}
