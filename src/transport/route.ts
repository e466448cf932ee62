import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import { pipeline, Readable, type Writable } from 'node:stream'
import { codeOf, messageOf, TransportError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { readBody } from './body.ts'
import type { ConnectionFacts } from './connection-facts.ts'

/** One request to a route. */
export interface RouteRequest {
  readonly method: string
  /** Path without query, undecoded. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. HTTP/2 pseudo headers (`:path` …) are there for HTTP/2 requests only. */
  readonly headers: IncomingHttpHeaders
  readonly connection: ConnectionFacts
  /**
   * Read whole when it is first asked for, so that who may not ask has nothing kept in memory; a small one is there before.
   * @throws {TransportError} P2P_TRANSPORT_TOO_LARGE, P2P_TRANSPORT_CHANNEL_CLOSED: the client went away
   */
  body(): Promise<Buffer>
  /** Aborted when the client gives up or the connection ends before the answer. */
  readonly signal: AbortSignal
}

export interface RouteResponse {
  status: number
  /** Lower-case names; content-length is set from the body. */
  headers?: Readonly<Record<string, string>>
  /** A stream is sent as it comes, without a content-length; it is destroyed when the client goes. */
  body?: string | Uint8Array | Readable
}

export type RouteHandler = (request: RouteRequest) => Promise<RouteResponse>

/** A problem details answer (RFC 9457). */
export function problem(status: number, title: string, detail: string): RouteResponse {
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify({ type: 'about:blank', status, title, detail }),
  }
}

/** Read before anything is looked at: a connection whose request was read can carry the next one, also after a refusal. */
const EARLY_BODY_BYTES_MAX = 8 * 1024

/** What an answer is written to: an HTTP/2 stream or an HTTP/1.1 response. */
type Answering = Writable & { readonly headersSent: boolean }

/** Where a request goes: its handler and what the handler may see and cost. */
export interface RouteContext {
  readonly handler: RouteHandler
  readonly method: string
  readonly url: string
  readonly connection: ConnectionFacts
  readonly bodyBytesMax: number
  readonly log: Logger
}

/** Answers one HTTP/2 stream without the compatibility layer in between. Never rejects. */
export async function serveHttp2Route(
  context: RouteContext,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const answer = await answerOf(context, stream, stream, headers)
  if (!answer || stream.destroyed || stream.closed) return
  answerHttp2(stream, answer)
  // The rest of a body nobody wants is refused; a stream that was read whole ends by itself.
  if (!stream.readableEnded) stream.close()
}

/** Answers one HTTP/1.1 request. Never rejects. */
export async function serveHttp1Route(
  context: RouteContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answer = await answerOf(context, request, response, request.headers)
  if (!answer || response.destroyed) return
  // A connection in the middle of an unread body cannot carry another request.
  if (!request.readableEnded) response.setHeader('connection', 'close')
  answerHttp1(response, answer)
}

export function answerHttp2(stream: ServerHttp2Stream, { status, headers, body }: RouteResponse): void {
  if (body === undefined) {
    stream.respond({ ':status': status, ...headers }, { endStream: true })
    return
  }
  if (body instanceof Readable) {
    stream.respond({ ':status': status, ...headers })
    sendStream(body, stream)
    return
  }
  stream.respond({ ':status': status, ...headers, 'content-length': Buffer.byteLength(body) })
  stream.end(body)
}

export function answerHttp1(response: ServerResponse, { status, headers, body }: RouteResponse): void {
  if (body instanceof Readable) {
    response.writeHead(status, headers)
    sendStream(body, response)
    return
  }
  response.writeHead(status, { ...headers, 'content-length': body === undefined ? 0 : Buffer.byteLength(body) })
  response.end(body)
}

/** Ends both with either; that a client goes in the middle is no failure of anybody here. */
function sendStream(body: Readable, answering: Writable): void {
  pipeline(body, answering, () => {})
}

/** @returns undefined when the client has gone and there is nobody to answer */
async function answerOf(
  context: RouteContext,
  source: Readable,
  answering: Answering,
  headers: IncomingHttpHeaders,
): Promise<RouteResponse | undefined> {
  const queryAt = context.url.indexOf('?')
  const path = queryAt === -1 ? context.url : context.url.slice(0, queryAt)
  const search = queryAt === -1 ? '' : context.url.slice(queryAt + 1)
  try {
    const request = new Request(context, path, search, headers, source, answering)
    const hasBody = context.method !== 'GET' && context.method !== 'HEAD'
    const { 'content-length': length = Infinity } = headers
    if (!hasBody || Number(length) <= EARLY_BODY_BYTES_MAX) await request.body()
    return await context.handler(request)
  } catch (error) {
    if (answering.destroyed && codeOf(error) === 'P2P_TRANSPORT_CHANNEL_CLOSED') return undefined
    if (codeOf(error) === 'P2P_TRANSPORT_TOO_LARGE') return problem(413, 'Body too large', messageOf(error))
    context.log.error('The handler of a route failed.', { method: context.method, path, error })
    return problem(500, 'Internal error', 'The request could not be served; the node has logged why.')
  }
}

class Request implements RouteRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly connection: ConnectionFacts
  readonly #search: string
  readonly #source: Readable
  readonly #bodyBytesMax: number
  readonly #answering: Answering
  #body: Promise<Buffer> | undefined
  #query: URLSearchParams | undefined
  #signal: AbortSignal | undefined

  constructor(
    context: RouteContext,
    path: string,
    search: string,
    headers: IncomingHttpHeaders,
    source: Readable,
    answering: Answering,
  ) {
    this.method = context.method
    this.path = path
    this.headers = headers
    this.#source = source
    this.#bodyBytesMax = context.bodyBytesMax
    this.connection = context.connection
    this.#search = search
    this.#answering = answering
  }

  body(): Promise<Buffer> {
    this.#body ??= readBody(this.#source, this.#bodyBytesMax, this.headers['content-length']).then((body) => {
      if (body) return body
      throw clientGone()
    })
    return this.#body
  }

  // Both are made when first asked for: most requests of the short way need neither.
  get query(): URLSearchParams {
    this.#query ??= new URLSearchParams(this.#search)
    return this.#query
  }

  get signal(): AbortSignal {
    this.#signal ??= abortedWith(this.#answering)
    return this.#signal
  }
}

function clientGone(): TransportError {
  return new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', 'The client ended the request before it was answered.')
}

function abortedWith(answering: Answering): AbortSignal {
  const controller = new AbortController()
  const onClose = (): void => {
    if (answering.headersSent) return
    controller.abort(clientGone())
  }
  if (answering.destroyed || answering.closed) onClose()
  else answering.once('close', onClose)
  return controller.signal
}
