import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { type RequestOptions, request as requestHttps } from 'node:https'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../../../src/base/credentials.ts'
import type { LogFields, Logger } from '../../../src/base/log.ts'
import type { NodeRole } from '../../../src/base/identity.ts'
import type { Clock } from '../../../src/base/time.ts'
import { systemClock, systemRandom } from '../../../src/platform/index.ts'
import {
  createPeers,
  createTransport,
  type PeersLimits,
  type PeersNeeds,
  type TransportLimits,
} from '../../../src/transport/index.ts'
import { type IssuedLeaf, type TestAuthority, TestCredentials, TestRevocations } from './certificates.ts'

/* Transports on loopback, and clients without manners to try them with. */

export const CLUSTER = 'test'
export const HOST = '127.0.0.1'
export const NEVER = new AbortController().signal

/** A logger whose lines a test can look at. */
export class TestLog implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields | undefined }[] = []
  debug = this.#level('debug')
  info = this.#level('info')
  warning = this.#level('warning')
  error = this.#level('error')
  critical = this.#level('critical')

  child(): Logger {
    return this
  }

  #level(level: string): (message: string, fields?: LogFields) => void {
    return (message, fields) => this.lines.push({ level, message, fields })
  }
}

export interface TestNodeOptions {
  role?: NodeRole
  leaf?: IssuedLeaf
  cluster?: string
  clock?: Clock
  limits?: Partial<TransportLimits>
  peerLimits?: Partial<PeersLimits>
  /** Stands between the transport and the peers: may hold requests for channels back. */
  wrap?: (transport: PeersNeeds['transport']) => PeersNeeds['transport']
}

export type TestNode = Awaited<ReturnType<typeof startTestNode>>

export async function startTestNode(authority: TestAuthority, nodeId: string, options: TestNodeOptions = {}) {
  const leaf = options.leaf ?? (await authority.issue({ nodeId, role: options.role ?? 'worker' }))
  const clock = options.clock ?? systemClock
  const log = new TestLog()
  const credentials = new TestCredentials(leaf)
  const revocations = new TestRevocations()
  const needs = { clock, log, credentials, revocations, random: systemRandom }
  const cluster = options.cluster ?? CLUSTER
  const place = { bindAddress: HOST, port: 0, cluster }
  const transport = createTransport(needs, { ...place, ...(options.limits && { limits: options.limits }) })
  const peers = createPeers(
    { ...needs, transport: options.wrap?.(transport) ?? transport },
    { nodeId, cluster, ...(options.peerLimits && { limits: options.peerLimits }) },
  )
  await transport.start(NEVER)
  await peers.start(NEVER)
  const { port } = transport.address()
  const stop = async (): Promise<void> => {
    await peers.stop()
    await transport.stop()
  }
  return { nodeId, leaf, log, credentials, revocations, transport, peers, port, address: `${HOST}:${port}`, stop }
}

export type TlsClientOptions = ConnectionOptions & { material?: TlsMaterial }

/** A TLS socket after its handshake; verifies nothing. */
export async function openTls(port: number, options: TlsClientOptions = {}): Promise<TLSSocket> {
  const { material, ...rest } = options
  const socket = connectTls({
    host: HOST,
    port,
    rejectUnauthorized: false,
    ...(material && { cert: material.certificateChainPem, key: material.keyPem }),
    ...rest,
  })
  await once(socket, 'secureConnect')
  socket.on('error', () => {})
  return socket
}

export async function openHttp2(port: number, options: TlsClientOptions = {}): Promise<ClientHttp2Session> {
  const socket = await openTls(port, { ALPNProtocols: ['h2'], ...options })
  const session = connectHttp2(`https://${HOST}:${port}`, { createConnection: () => socket })
  session.on('error', () => {})
  return session
}

export interface TestAnswer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** One request on an HTTP/2 session. */
export function askHttp2(
  session: ClientHttp2Session,
  path: string,
  body?: string | Uint8Array,
  headers: OutgoingHttpHeaders = {},
): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const stream = session.request({ ':method': method, ':path': path, ...headers })
    let answer: IncomingHttpHeaders & { ':status'?: number } = {}
    let text = ''
    stream.on('response', (received) => {
      answer = received
    })
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    stream.on('error', reject)
    stream.on('close', () => {
      if (answer[':status'] === undefined) reject(new Error(`no answer (code ${stream.rstCode})`))
      else resolve({ status: answer[':status'], headers: answer, text })
    })
    stream.end(body)
  })
}

/** One request over HTTP/1.1, on a connection of its own unless an agent is given. */
export function askHttp1(
  port: number,
  path: string,
  body?: string | Uint8Array,
  options: RequestOptions & { material?: TlsMaterial } = {},
): Promise<TestAnswer> {
  const { material, ...rest } = options
  return new Promise((resolve, reject) => {
    const request = requestHttps({
      host: HOST,
      port,
      path,
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      rejectUnauthorized: false,
      ...(material && { cert: material.certificateChainPem, key: material.keyPem }),
      ...rest,
    })
    request.on('error', reject)
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    request.end(body)
  })
}

/** All that comes on a socket until it is closed. */
export async function readToEnd(socket: TLSSocket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  if (!socket.closed) await once(socket, 'close')
  return text
}

/** What an HTTP/2 client sends first: the connection preface and empty SETTINGS (RFC 9113 section 3.4). */
export const HTTP2_PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])
