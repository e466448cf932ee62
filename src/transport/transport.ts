import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { assert } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import type { Credentials, RevocationList } from '../base/credentials.ts'
import { messageOf, TransportError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Clock, Timer } from '../base/time.ts'
import { type ConnectionFacts, connectionFacts, plainAddress } from './connection-facts.ts'
import { formatHostPort, type HostPort } from './host-port.ts'
import { addressPrefix } from './rate-limiter.ts'
import {
  answerHttp1,
  answerHttp2,
  problem,
  type RouteContext,
  type RouteHandler,
  serveHttp1Route,
  serveHttp2Route,
} from './route.ts'
import { SessionProbe } from './session-probe.ts'
import { CIPHERS, SERVER_SECURE_OPTIONS } from './tls-profile.ts'

export interface TransportNeeds {
  clock: Clock
  log: Logger
  credentials: Credentials
  revocations: RevocationList
}

export interface TransportOptions {
  /** Address to listen at; `::` also takes IPv4 where the system is dual-stack. */
  bindAddress: string
  /** 0 takes any free port. */
  port: number
  /** The cluster whose certificates identify a node; a function when it is known only after joining. */
  cluster: string | (() => string)
  limits?: Partial<TransportLimits>
}

/** Bounds on what anyone may cost this node. */
export interface TransportLimits {
  /** Body of a routed request; beyond it 413. */
  bodyBytesMax: number
  /** Header list of a request, names and values. */
  headerBytesMax: number
  /** Open streams of one HTTP/2 connection. */
  streamsMax: number
  /** Streams a client may reset at once, and then per second, before its connection is ended (CVE-2023-44487). */
  resetsMax: number
  /** Open connections in all. */
  connectionsMax: number
  /** Open connections of one IPv4 address or IPv6 /64, so that one stranger cannot take all of them. */
  connectionsPerAddressMax: number
  handshakeTimeoutMs: number
  /** Until the headers of a request, from the handshake (the first one) or from their first byte. */
  headersTimeoutMs: number
  /** Until the whole request has been received. */
  requestTimeoutMs: number
  /** A connection without a request is closed after this long. */
  idleTimeoutMs: number
  /** An HTTP/2 connection from which nothing came for this long gets a PING; silent for as long again, it is cut. */
  keepAliveMs: number
  /** How long `stop` lets requests finish before it cuts every connection. */
  stopGraceMs: number
}

const DEFAULT_LIMITS: TransportLimits = {
  bodyBytesMax: 1024 * 1024,
  headerBytesMax: 16 * 1024,
  streamsMax: 100,
  // A browser that leaves a page cancels all it waits for: as many as it may have open, and once more.
  resetsMax: 200,
  // 200 nodes that each hold a channel, and twice as many people with several tabs.
  connectionsMax: 1024,
  connectionsPerAddressMax: 512,
  handshakeTimeoutMs: 5_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  keepAliveMs: 10_000,
  stopGraceMs: 3_000,
}

/** How often Node looks for HTTP/1.1 requests past their time (its default, 30 s, would make 10 s into 40). */
const HTTP1_CHECK_MS = 1_000
/** Frames outside the protocol that one session may send before it is ended; Node's default is 1,000. */
const INVALID_FRAMES_MAX = 100

export type FallbackHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** A request whose HTTP/2 stream the handler takes over, before any body was read. */
export interface StreamRequest {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders
  readonly connection: ConnectionFacts
}

export type StreamHandler = (request: StreamRequest) => void

/**
 * The node's one port: TLS with an optional client certificate, HTTP/2 and HTTP/1.1 by ALPN. Handlers are registered
 * before or after `start`; a request goes to its route, else to the fallback, else it gets 404.
 */
export interface Transport {
  /** Where it listens. Only between `start` and `stop`. */
  address(): HostPort
  /** Serves one method and exact path on the short way, past the fallback and any framework behind it. */
  route(method: string, path: string, handler: RouteHandler): void
  /** Hands over whole HTTP/2 streams (peer channels); over HTTP/1.1 the path answers 505. */
  stream(method: string, path: string, handler: StreamHandler): void
  /** Gets every request that no route takes. */
  fallback(handler: FallbackHandler): void
  /** Gets HTTP/1.1 upgrades (WebSocket); without it they are answered like any other request. */
  onUpgrade(handler: UpgradeHandler): void
  /** What is known about the connection of a request that came by `fallback` or `onUpgrade`. */
  facts(request: IncomingMessage | Http2ServerRequest): ConnectionFacts
}

/**
 * The TLS server of a node. `start` throws TransportError P2P_TRANSPORT_PORT_TAKEN when another program has the port,
 * P2P_TRANSPORT_LISTEN_FAILED when the address is not this machine's or the port not allowed.
 */
export function createTransport(needs: TransportNeeds, options: TransportOptions): Transport & Component {
  return new TlsServer(needs, options)
}

/** One connection after its handshake. */
interface Connection {
  readonly facts: ConnectionFacts
  cut(): void
}

interface Http2Connection extends Connection {
  readonly session: ServerHttp2Session
  readonly probe: SessionProbe
  openStreams: number
  hasHadStreams: boolean
  idleSinceMs: number
}

class TlsServer implements Transport, Component {
  readonly name = 'transport'
  readonly #clock: Clock
  readonly #log: Logger
  readonly #credentials: Credentials
  readonly #revocations: RevocationList
  readonly #options: TransportOptions
  readonly #limits: TransportLimits
  readonly #cluster: () => string

  readonly #routes = new Map<string, RouteHandler>()
  readonly #streamHandlers = new Map<string, StreamHandler>()
  #fallback: FallbackHandler = answerNotFound
  #onUpgrade: UpgradeHandler | undefined

  #server: Http2SecureServer | undefined
  #stopping: Promise<void> | undefined
  #timer: Timer | undefined
  #unsubscribe: (() => void)[] = []
  /** Every TCP connection, in its handshake or after it. */
  readonly #sockets = new Set<Socket>()
  readonly #socketsOfAddress = new Map<string, number>()
  readonly #sessions = new Map<ServerHttp2Session, Http2Connection>()
  readonly #http1Connections = new Map<Duplex, Connection>()
  readonly #factsOfStream = new WeakMap<ServerHttp2Stream, ConnectionFacts>()

  constructor(needs: TransportNeeds, options: TransportOptions) {
    this.#clock = needs.clock
    this.#log = needs.log
    this.#credentials = needs.credentials
    this.#revocations = needs.revocations
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    const { cluster } = options
    this.#cluster = typeof cluster === 'string' ? () => cluster : cluster
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const server = this.#createServer()
    await this.#listen(server)
    this.#server = server
    this.#unsubscribe = [
      this.#credentials.onChange(() => this.#swapCredentials(server)),
      this.#revocations.onChange(() => this.#cutRevoked()),
    ]
    this.#timer = this.#clock.every(this.#sweepPeriodMs(), () => this.#sweep())
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  address(): HostPort {
    const address = this.#server?.address() as AddressInfo | null | undefined
    assert(address, 'the transport is asked for its address while it listens')
    return { host: address.address, port: address.port }
  }

  route(method: string, path: string, handler: RouteHandler): void {
    this.#register(this.#routes, method, path, handler)
  }

  stream(method: string, path: string, handler: StreamHandler): void {
    this.#register(this.#streamHandlers, method, path, handler)
  }

  fallback(handler: FallbackHandler): void {
    this.#fallback = handler
  }

  onUpgrade(handler: UpgradeHandler): void {
    assert(!this.#onUpgrade, 'one upgrade handler is registered')
    this.#onUpgrade = handler
    this.#server?.on('upgrade', handler)
  }

  facts(request: IncomingMessage | Http2ServerRequest): ConnectionFacts {
    const facts =
      'stream' in request ? this.#factsOfStream.get(request.stream) : this.#http1Connections.get(request.socket)?.facts
    if (facts) return facts
    throw new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', 'The connection of this request has ended.')
  }

  #register<Handler>(table: Map<string, Handler>, method: string, path: string, handler: Handler): void {
    const key = `${method} ${path}`
    assert(!this.#routes.has(key) && !this.#streamHandlers.has(key), `${key} is registered once`)
    table.set(key, handler)
  }

  #createServer(): Http2SecureServer {
    const limits = this.#limits
    // Node takes the limits of its HTTP/1.1 server from the same options; its types do not say so.
    const http1Limits = {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: Math.min(HTTP1_CHECK_MS, limits.headersTimeoutMs),
      maxHeaderSize: limits.headerBytesMax,
    }
    const server = createSecureServer({
      ...http1Limits,
      ...this.#tlsMaterial(),
      allowHTTP1: true,
      // Anyone may connect; who may do what is decided per request, by the certificate shown (`ConnectionFacts`).
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: limits.handshakeTimeoutMs,
      settings: { maxConcurrentStreams: limits.streamsMax, maxHeaderListSize: limits.headerBytesMax },
      maxSessionInvalidFrames: INVALID_FRAMES_MAX,
      streamResetBurst: limits.resetsMax,
      streamResetRate: limits.resetsMax,
    })
    server.maxConnections = limits.connectionsMax
    server.on('connection', (socket) => this.#onConnection(socket))
    // Before Node's own listener, which already reads the first request from the socket.
    server.prependListener('secureConnection', (socket) => this.#onSecureConnection(socket))
    server.on('session', (session) => this.#onSession(session))
    server.on('drop', () =>
      this.#log.warning('Refused a connection: too many are open.', { limit: limits.connectionsMax }),
    )
    server.on('tlsClientError', (error, socket) => {
      const from = plainAddress(socket.remoteAddress)
      this.#log.debug('A TLS handshake failed.', { from, error: messageOf(error) })
    })
    this.#splitRequests(server)
    if (this.#onUpgrade) server.on('upgrade', this.#onUpgrade)
    return server
  }

  /**
   * Node builds compatibility objects for every HTTP/2 stream once somebody listens to 'request'. Its listener is taken
   * off and called only for the streams that need them.
   */
  #splitRequests(server: Http2SecureServer): void {
    server.on('request', (request, response) => {
      if ('stream' in request) this.#fallback(request, response)
      else this.#onHttp1Request(request as IncomingMessage, response as unknown as ServerResponse)
    })
    const [compatibility] = server.listeners('stream') as ((...event: unknown[]) => void)[]
    assert(compatibility, 'node:http2 listens to its own streams')
    server.removeAllListeners('stream')
    server.on(
      'stream',
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
        if (!this.#takeStream(stream, headers, flags)) compatibility(stream, headers, flags, rawHeaders)
      },
    )
  }

  #tlsMaterial(): SecureContextOptions {
    const { certificateChainPem, keyPem, trustPem } = this.#credentials.current()
    return {
      cert: certificateChainPem,
      key: keyPem,
      ca: trustPem,
      minVersion: 'TLSv1.2',
      ciphers: CIPHERS,
      secureOptions: SERVER_SECURE_OPTIONS,
    }
  }

  async #listen(server: Http2SecureServer): Promise<void> {
    const { bindAddress: host, port } = this.#options
    try {
      const listening = once(server, 'listening')
      server.listen({ host, port })
      await listening
    } catch (cause) {
      throw listenFailure(host, port, cause)
    }
  }

  /** Open connections live on with the old certificate; every handshake from now on shows the new one. */
  #swapCredentials(server: Http2SecureServer): void {
    try {
      server.setSecureContext(this.#tlsMaterial())
    } catch (error) {
      this.#log.error('The new certificate cannot be used; the old one stays in service.', { error })
    }
  }

  #onConnection(socket: Socket): void {
    const prefix = addressPrefix(plainAddress(socket.remoteAddress))
    const count = (this.#socketsOfAddress.get(prefix) ?? 0) + 1
    if (count > this.#limits.connectionsPerAddressMax) {
      this.#log.warning('Refused a connection: its address has too many open.', { from: prefix })
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    this.#socketsOfAddress.set(prefix, count)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const left = (this.#socketsOfAddress.get(prefix) as number) - 1
      if (left === 0) this.#socketsOfAddress.delete(prefix)
      else this.#socketsOfAddress.set(prefix, left)
    })
  }

  #onSecureConnection(socket: TLSSocket): void {
    if (socket.alpnProtocol === 'h2') return
    const facts = connectionFacts(socket, this.#cluster, this.#revocations)
    this.#http1Connections.set(socket, { facts, cut: () => socket.destroy() })
    socket.once('close', () => this.#http1Connections.delete(socket))
  }

  #onSession(session: ServerHttp2Session): void {
    const facts = connectionFacts(session.socket as TLSSocket, this.#cluster, this.#revocations)
    this.#sessions.set(session, {
      facts,
      session,
      probe: new SessionProbe(session),
      openStreams: 0,
      hasHadStreams: false,
      idleSinceMs: this.#clock.nowMs(),
      cut: () => session.destroy(),
    })
    session.once('close', () => this.#sessions.delete(session))
  }

  /** @returns false when the stream is for the fallback */
  #takeStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number): boolean {
    // Without a listener a stream reset by the client would end the process.
    stream.on('error', (error) => this.#log.debug('An HTTP/2 stream failed.', { error: messageOf(error) }))
    const connection = this.#sessions.get(stream.session as ServerHttp2Session)
    if (!connection) {
      stream.destroy()
      return true
    }
    this.#countStream(connection, stream)
    const method = headers[':method'] as string
    const url = headers[':path'] ?? ''
    const key = routeKey(method, url)
    const streamHandler = this.#streamHandlers.get(key)
    if (streamHandler) {
      streamHandler({ stream, headers, connection: connection.facts })
      return true
    }
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) === 0) this.#limitReceipt(stream)
    const handler = this.#routes.get(key)
    if (!handler) {
      this.#factsOfStream.set(stream, connection.facts)
      return false
    }
    void serveHttp2Route(this.#routeContext(handler, method, url, connection.facts), stream, headers)
    return true
  }

  #countStream(connection: Http2Connection, stream: ServerHttp2Stream): void {
    connection.openStreams++
    connection.hasHadStreams = true
    stream.once('close', () => {
      connection.openStreams--
      connection.idleSinceMs = this.#clock.nowMs()
    })
  }

  /** Resets a stream whose body is still not there after the request time; Node does this for HTTP/1.1 only. */
  #limitReceipt(stream: ServerHttp2Stream): void {
    const timer = this.#clock.after(this.#limits.requestTimeoutMs, () => stream.close(constants.NGHTTP2_CANCEL))
    stream.once('end', () => timer.cancel())
    stream.once('close', () => timer.cancel())
  }

  #onHttp1Request(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#http1Connections.get(request.socket)
    if (!connection) {
      request.destroy()
      return
    }
    const { method = '', url = '' } = request
    const key = routeKey(method, url)
    const handler = this.#routes.get(key)
    if (handler) void serveHttp1Route(this.#routeContext(handler, method, url, connection.facts), request, response)
    else if (this.#streamHandlers.has(key)) answerHttp1(response, HTTP2_ONLY)
    else this.#fallback(request, response)
  }

  #routeContext(handler: RouteHandler, method: string, url: string, connection: ConnectionFacts): RouteContext {
    return { handler, method, url, connection, bodyBytesMax: this.#limits.bodyBytesMax, log: this.#log }
  }

  #sweepPeriodMs(): number {
    const { keepAliveMs, headersTimeoutMs, idleTimeoutMs } = this.#limits
    return Math.min(keepAliveMs, headersTimeoutMs, idleTimeoutMs)
  }

  /** Ends HTTP/2 sessions that are dead or have no use; Node does this for HTTP/1.1 only. */
  #sweep(): void {
    const nowMs = this.#clock.nowMs()
    for (const connection of this.#sessions.values()) {
      if (!connection.probe.check()) {
        connection.cut()
        continue
      }
      const allowedMs = connection.hasHadStreams ? this.#limits.idleTimeoutMs : this.#limits.headersTimeoutMs
      if (connection.openStreams === 0 && nowMs - connection.idleSinceMs >= allowedMs) connection.session.close()
    }
  }

  #cutRevoked(): void {
    for (const connection of [...this.#sessions.values(), ...this.#http1Connections.values()]) {
      const { serial, remoteAddress } = connection.facts
      if (serial === undefined || !this.#revocations.isRevoked(serial)) continue
      this.#log.info('Cut a connection: its certificate has been revoked.', { serial, from: remoteAddress })
      connection.cut()
    }
  }

  async #stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#timer?.cancel()
    const closed = once(server, 'close')
    // Closes the port, sends GOAWAY on HTTP/2 and ends idle HTTP/1.1 connections.
    server.close()
    const cutting = this.#clock.after(this.#limits.stopGraceMs, () => this.#cutAll())
    await closed
    cutting.cancel()
  }

  #cutAll(): void {
    if (this.#sockets.size > 0) this.#log.info('Cut the connections still open.', { count: this.#sockets.size })
    for (const socket of this.#sockets) socket.destroy()
  }
}

const HTTP2_ONLY = problem(505, 'HTTP version not supported', 'This path is served over HTTP/2 only.')

function answerNotFound(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
): void {
  const answer = problem(404, 'Not found', 'Nothing is served at this path.')
  if ('stream' in request) answerHttp2(request.stream, answer)
  else answerHttp1(response as ServerResponse, answer)
}

function routeKey(method: string, url: string): string {
  const queryAt = url.indexOf('?')
  return `${method} ${queryAt === -1 ? url : url.slice(0, queryAt)}`
}

function listenFailure(host: string, port: number, cause: unknown): TransportError {
  const place = formatHostPort(host, port)
  const details = { host, port }
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE': {
      const message = `Port ${port} on ${host} is taken by another program. End that program, or choose another port (--port).`
      return new TransportError('P2P_TRANSPORT_PORT_TAKEN', message, details, { cause })
    }
    case 'EACCES': {
      const message = `This user may not listen at ${place}. Choose a port from 1024 up, or allow the program to bind low ports.`
      return new TransportError('P2P_TRANSPORT_LISTEN_FAILED', message, details, { cause })
    }
    case 'EADDRNOTAVAIL': {
      const message = `${host} is not an address of this machine. Set bind_address to one of its addresses, or to 0.0.0.0 for all.`
      return new TransportError('P2P_TRANSPORT_LISTEN_FAILED', message, details, { cause })
    }
    default:
      return new TransportError(
        'P2P_TRANSPORT_LISTEN_FAILED',
        `Cannot listen at ${place}: ${messageOf(cause)}`,
        details,
        { cause },
      )
  }
}
