import { X509Certificate } from 'node:crypto'
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { Readable } from 'node:stream'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { TransportError } from '../base/errors.ts'
import { readBody } from './body.ts'
import { connectTls, unreachable } from './connect-tls.ts'
import { exportKeyingMaterial, plainAddress } from './connection-facts.ts'

export interface UnverifiedDialOptions {
  /** Shown when the server asks for a client certificate. */
  clientCertificate?: { certificateChainPem: string; keyPem: string }
  signal?: AbortSignal
  /** For connecting and the handshake. Default 10 s. */
  timeoutMs?: number
}

/** One TLS connection to a server nobody has verified yet; all requests travel on it, so its exporter stays the same. */
export interface UnverifiedConnection {
  /** What the server showed, leaf first; not checked in any way. */
  readonly peerChainPem: string[]
  /** The server's address, without port. */
  readonly remoteAddress: string
  /**
   * 32 bytes of keying material under EXPORTER_LABEL, the same on both ends of this connection and on no other.
   * @throws {TransportError} P2P_TRANSPORT_CHANNEL_CLOSED when the connection has ended
   */
  exporter(): Uint8Array
  /**
   * Sends `json` (when given) and reads the answer, at most 256 KiB: parsed when it is JSON, else as text. Any status resolves.
   * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE when the connection ends first, P2P_TRANSPORT_TOO_LARGE
   * @throws the signal's reason when it is aborted
   */
  request(
    method: string,
    path: string,
    json?: unknown,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: unknown }>
  close(): Promise<void>
}

const TIMEOUT_MS = 10_000
const RESPONSE_BYTES_MAX = 256 * 1024
/** A chain is a leaf and one or two authorities; what is longer is not ours. */
const CHAIN_LENGTH_MAX = 8

/**
 * Connects to `host:port` without checking the server's certificate: only for enrolment, which compares the chain
 * with a token or plot proof before it sends anything of value.
 * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE
 * @throws the signal's reason when it is aborted
 */
export async function dialUnverified(
  address: string,
  options: UnverifiedDialOptions = {},
): Promise<UnverifiedConnection> {
  // A real socket never runs in simulated time, so this one deadline needs no Clock.
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)
  const certificate = options.clientCertificate
  const tls = { cert: certificate?.certificateChainPem, key: certificate?.keyPem, rejectUnauthorized: false }
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  const socket = await connectTls(address, { ...tls, minVersion: 'TLSv1.3' }, signal).catch((error: unknown) => {
    throw error === timeout.reason ? unreachable(address, 'it did not answer in time') : error
  })
  return new Http2Connection(address, socket)
}

type AnswerHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader

class Http2Connection implements UnverifiedConnection {
  readonly peerChainPem: string[]
  readonly remoteAddress: string
  readonly #address: string
  readonly #socket: TLSSocket
  readonly #session: ClientHttp2Session
  readonly #ended: Promise<void>

  constructor(address: string, socket: TLSSocket) {
    this.peerChainPem = shownChain(socket.getPeerCertificate(true))
    this.remoteAddress = plainAddress(socket.remoteAddress)
    this.#address = address
    this.#socket = socket
    this.#session = connect(`https://${address}`, { createConnection: () => socket, settings: { enablePush: false } })
    // Its streams tell their requests of the failure.
    this.#session.on('error', () => {})
    this.#ended = new Promise((resolve) => this.#session.once('close', resolve))
  }

  exporter(): Uint8Array {
    return exportKeyingMaterial(this.#socket)
  }

  request(
    method: string,
    path: string,
    json?: unknown,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: unknown }> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#session.closed || this.#session.destroyed) return Promise.reject(this.#lost())
    const headers: OutgoingHttpHeaders = { ':method': method, ':path': path, accept: 'application/json' }
    const payload = json === undefined ? undefined : JSON.stringify(json)
    if (payload !== undefined) headers['content-type'] = 'application/json'
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(headers, { endStream: payload === undefined })
      const onAbort = (): void => {
        stream.close()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      stream.once('close', () => {
        signal?.removeEventListener('abort', onAbort)
        reject(this.#lost())
      })
      stream.on('error', () => {})
      stream.once('response', (answer) => {
        this.#read(stream, answer).then(resolve, (error: unknown) => {
          stream.close()
          reject(error)
        })
      })
      stream.end(payload)
    })
  }

  async close(): Promise<void> {
    this.#session.destroy()
    await this.#ended
  }

  async #read(stream: Readable, answer: AnswerHeaders): Promise<{ status: number; body: unknown }> {
    const body = await readBody(stream, RESPONSE_BYTES_MAX, answer['content-length'])
    if (!body) throw this.#lost()
    return { status: answer[':status'] ?? 0, body: decode(body, answer['content-type']) }
  }

  #lost(): TransportError {
    return unreachable(this.#address, 'the connection ended before the answer came')
  }
}

function decode(body: Buffer, contentType: string | undefined): unknown {
  const text = body.toString('utf8')
  if (!/^application\/([\w.-]+\+)?json\b/i.test(contentType ?? '')) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The certificates as the server sent them; Node links the root to itself. */
function shownChain(leaf: PeerCertificate & { issuerCertificate?: PeerCertificate }): string[] {
  const chain: string[] = []
  let certificate: typeof leaf | undefined = leaf.raw ? leaf : undefined
  while (certificate && chain.length < CHAIN_LENGTH_MAX) {
    chain.push(new X509Certificate(certificate.raw).toString())
    const issuer: typeof leaf | undefined = certificate.issuerCertificate
    certificate = issuer === certificate ? undefined : issuer
  }
  return chain
}
