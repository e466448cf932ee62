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
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { assert } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import type { Credentials, RevocationList } from '../base/credentials.ts'
import { messageOf, TransportError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Clock, Timer } from '../base/time.ts'
import { type ConnectionFacts, type ConnectionTrust, connectionFacts, plainAddress } from './connection-facts.ts'
import type { HostPort } from './host-port.ts'
import { Http2Connection } from './http2-connection.ts'
import { listen } from './listen.ts'
import {
  answerHttp1,
  answerHttp2,
  problem,
  type RouteContext,
  type RouteHandler,
  type RouteResponse,
  serveHttp1Route,
  serveHttp2Route,
} from './route.ts'
import { SocketTable } from './socket-table.ts'
import { CIPHERS, SERVER_SECURE_OPTIONS } from './tls-profile.ts'
import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from './transport-limits.ts'
import { TrustedIssuers } from './trusted-issuers.ts'

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

class TlsServer implements Transport, Component {
  readonly name = 'transport'
  readonly #clock: Clock
  readonly #log: Logger
  readonly #credentials: Credentials
  readonly #revocations: RevocationList
  readonly #trust: ConnectionTrust
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
  readonly #sockets: SocketTable
  readonly #sessions = new Map<ServerHttp2Session, Http2Connection>()
  readonly #surplusSessions = new WeakSet<ServerHttp2Session>()
  readonly #http1Connections = new Map<Duplex, Connection>()
  readonly #factsOfStream = new WeakMap<ServerHttp2Stream, ConnectionFacts>()

  constructor(needs: TransportNeeds, options: TransportOptions) {
    this.#clock = needs.clock
    this.#log = needs.log
    this.#credentials = needs.credentials
    this.#revocations = needs.revocations
    const issuers = new TrustedIssuers(needs.credentials)
    this.#trust = { revocations: needs.revocations, issuers, clock: needs.clock }
    this.#options = options
    this.#limits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits }
    this.#sockets = new SocketTable(this.#limits.connectionsPerAddressMax)
    const { cluster } = options
    this.#cluster = typeof cluster === 'string' ? () => cluster : cluster
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const server = this.#createServer()
    await listen(server, this.#options.bindAddress, this.#options.port)
    this.#server = server
    if (this.#onUpgrade) server.on('upgrade', this.#admitUpgrade)
    this.#unsubscribe = [
      this.#credentials.onChange(() => this.#swapCredentials(server)),
      this.#revocations.onChange(() => this.#cutRevoked()),
    ]
    this.#timer = this.#clock.every(this.#checkPeriodMs(), () => {
      for (const connection of this.#sessions.values()) connection.check(this.#limits)
    })
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
    this.#server?.on('upgrade', this.#admitUpgrade)
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
    server.on('connection', (socket) => {
      const admission = this.#sockets.admit(socket)
      if (admission === 'admitted') return
      this.#log.warning('Refused a connection: its address has too many open.', { from: socket.remoteAddress })
      // Cut before the handshake, it would look like a broken network to whoever made it.
      if (admission === 'refused') socket.destroy()
    })
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

  /** Open connections live on with the old certificate; every handshake from now on shows the new one. */
  #swapCredentials(server: Http2SecureServer): void {
    try {
      server.setSecureContext(this.#tlsMaterial())
    } catch (error) {
      this.#log.error('The new certificate cannot be used; the old one stays in service.', { error })
    }
  }

  #onSecureConnection(socket: TLSSocket): void {
    if (socket.alpnProtocol === 'h2') return
    const facts = connectionFacts(socket, this.#cluster, this.#trust)
    this.#http1Connections.set(socket, { facts, cut: () => socket.destroy() })
    socket.once('close', () => this.#http1Connections.delete(socket))
  }

  readonly #admitUpgrade: UpgradeHandler = (request, socket, head) => {
    if (!this.#sockets.isSurplus(request.socket)) this.#onUpgrade?.(request, socket, head)
    else socket.end(`HTTP/1.1 ${SURPLUS.status} ${SURPLUS_TITLE}\r\nretry-after: 1\r\nconnection: close\r\n\r\n`)
  }

  #onSession(session: ServerHttp2Session): void {
    if (this.#sockets.isSurplus(session.socket)) this.#surplusSessions.add(session)
    const facts = connectionFacts(session.socket as TLSSocket, this.#cluster, this.#trust)
    this.#sessions.set(session, new Http2Connection(session, facts, this.#clock))
    session.once('close', () => this.#sessions.delete(session))
  }

  /** @returns false when the stream is for the fallback */
  #takeStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number): boolean {
    // Without a listener a stream reset by the client would end the process.
    stream.on('error', this.#onStreamError)
    const connection = this.#sessions.get(stream.session as ServerHttp2Session)
    if (!connection) {
      stream.destroy()
      return true
    }
    if (this.#surplusSessions.has(stream.session as ServerHttp2Session)) {
      answerHttp2(stream, SURPLUS)
      stream.close()
      stream.session?.close()
      return true
    }
    const { ':method': method = '', ':path': url = '' } = headers
    const key = routeKey(method, url)
    const streamHandler = this.#streamHandlers.get(key)
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0
    connection.addStream(stream, hasBody && !streamHandler)
    if (streamHandler) {
      connection.handOver(stream)
      streamHandler({ stream, headers, connection: connection.facts })
      return true
    }
    const handler = this.#routes.get(key)
    if (!handler) {
      this.#factsOfStream.set(stream, connection.facts)
      return false
    }
    void serveHttp2Route(this.#routeContext(handler, method, url, connection.facts), stream, headers)
    return true
  }

  readonly #onStreamError = (error: unknown): void => {
    this.#log.debug('An HTTP/2 stream failed.', { error: messageOf(error) })
  }

  #onHttp1Request(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#http1Connections.get(request.socket)
    if (!connection) {
      request.destroy()
      return
    }
    if (this.#sockets.isSurplus(request.socket)) {
      response.setHeader('connection', 'close')
      answerHttp1(response, SURPLUS)
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

  #checkPeriodMs(): number {
    const { keepAliveMs, headersTimeoutMs, idleTimeoutMs } = this.#limits
    return Math.min(keepAliveMs, headersTimeoutMs, idleTimeoutMs)
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
    const cutting = this.#clock.after(this.#limits.stopGraceMs, () => {
      this.#log.info('Cut the connections that were still open.', { count: this.#sockets.size })
      this.#sockets.cutAll()
    })
    await closed
    cutting.cancel()
  }
}

const SURPLUS_TITLE = 'Too many connections'
const SURPLUS_PROBLEM = problem(
  503,
  SURPLUS_TITLE,
  'Your address has as many connections open here as it may: use one again instead of opening another, or speak HTTP/2, where one is enough.',
)
/** To whoever has one connection too many. Nothing of what was asked was done. */
const SURPLUS: RouteResponse = { ...SURPLUS_PROBLEM, headers: { ...SURPLUS_PROBLEM.headers, 'retry-after': '1' } }

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
