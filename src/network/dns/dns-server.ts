import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { assert } from '../../base/assert.ts'
import type { Component } from '../../base/component.ts'
import { messageOf, NetworkError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'
import {
  addressPrefix,
  createRateLimiter,
  formatHostPort,
  type HostPort,
  type RateLimiter,
} from '../../transport/index.ts'
import {
  type DnsQuery,
  type Rcode,
  RCODES,
  readQuery,
  refusal,
  type Resolution,
  TCP_BYTES_MAX,
  UDP_BYTES_MAX,
  UDP_BYTES_MIN,
  writeReply,
  writeTruncated,
} from './message.ts'
import { framed, MessageSplitter } from './message-splitter.ts'
import { Zone, type ZoneNeeds } from './zone.ts'

export interface DnsServerNeeds extends ZoneNeeds {
  clock: Clock
  log: Logger
}

export interface DnsServerOptions {
  /** IP address to listen at. One address of an interface answers from that address; `0.0.0.0` leaves it to the routes. */
  address: string
  /** For UDP and TCP alike; 0 takes any port that is free for both. */
  port: number
  /** The zone: the cluster's id. */
  cluster: string
}

/** Counters since the start. */
export interface DnsStats {
  udpQueries: number
  tcpQueries: number
  answers: Record<Rcode, number>
  /** Answers by UDP that sent the asker to TCP, because they were too long. */
  truncated: number
  /** Queries beyond what one network may send: sent to TCP, or there not answered. */
  limited: number
  /** Messages that were no queries: damaged, oversized, or answers. */
  dropped: number
}

/** Answers DNS queries from the membership (docs/protocol/dns.md). */
export interface DnsServer {
  /** Where it listens. Only between `start` and `stop`. */
  address(): HostPort
  stats(): DnsStats
}

/**
 * The cluster's names for programs that know nothing of P2P Core. `start` throws NetworkError P2P_NETWORK_DNS_UNAVAILABLE
 * when the port is taken or not allowed.
 */
export function createDnsServer(needs: DnsServerNeeds, options: DnsServerOptions): DnsServer & Component {
  return new MembershipDnsServer(needs, options)
}

/** Beyond it the connection that has been silent for longest makes room (RFC 7766 section 6.2.3). */
const CONNECTIONS_MAX = 64
const TCP_IDLE_MS = 10_000
/** Unsent answers of one connection; whoever reads so slowly is cut. */
const UNSENT_BYTES_MAX = 256 * 1024
/**
 * Queries of one network, by UDP and by TCP each. The sender of a datagram can be forged: beyond the limit its answer is no
 * longer than the query, and who really asked comes by TCP. Beyond it there too, the connection is cut.
 */
const LIMIT = { perMinute: 12_000, burst: 1_000 } as const
/** How often a port that is free for UDP is looked for when any will do. */
const PORT_ATTEMPTS_MAX = 10

class MembershipDnsServer implements DnsServer, Component {
  readonly name = 'dns'
  readonly #clock: Clock
  readonly #log: Logger
  readonly #options: DnsServerOptions
  readonly #zone: Zone
  readonly #udpLimiter: RateLimiter
  readonly #tcpLimiter: RateLimiter
  readonly #stats: DnsStats = {
    udpQueries: 0,
    tcpQueries: 0,
    answers: Object.fromEntries(Object.keys(RCODES).map((rcode) => [rcode, 0])) as Record<Rcode, number>,
    truncated: 0,
    limited: 0,
    dropped: 0,
  }
  /** In the order of their last query. */
  readonly #connections = new Map<Socket, Timer>()
  #udp: UdpSocket | undefined
  #tcp: Server | undefined

  constructor(needs: DnsServerNeeds, options: DnsServerOptions) {
    this.#clock = needs.clock
    this.#log = needs.log.child('DNS')
    this.#options = options
    this.#zone = new Zone(needs, options.cluster)
    this.#udpLimiter = createRateLimiter(needs, LIMIT)
    this.#tcpLimiter = createRateLimiter(needs, LIMIT)
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { address, port, cluster } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#open()
        break
      } catch (cause) {
        await this.stop()
        const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (!isTaken || port !== 0 || attempt === PORT_ATTEMPTS_MAX) throw unavailable(this.#options, cause)
      }
    }
    this.#log.info('Answering DNS queries.', { address, port: this.address().port, zone: cluster })
  }

  async stop(): Promise<void> {
    const [udp, tcp] = [this.#udp, this.#tcp]
    this.#udp = undefined
    this.#tcp = undefined
    for (const socket of this.#connections.keys()) socket.destroy()
    await Promise.all([
      udp && new Promise<void>((resolve) => udp.close(() => resolve())),
      tcp && new Promise<void>((resolve) => tcp.close(() => resolve())),
    ])
  }

  address(): HostPort {
    const place = this.#tcp?.address() as AddressInfo | null | undefined
    assert(place, 'the DNS server is asked for its address while it listens')
    return { host: place.address, port: place.port }
  }

  stats(): DnsStats {
    return { ...this.#stats, answers: { ...this.#stats.answers } }
  }

  async #open(): Promise<void> {
    const { address, port } = this.#options
    const tcp = createServer((socket) => this.#onConnection(socket))
    tcp.listen({ host: address, port })
    await once(tcp, 'listening')
    this.#tcp = tcp
    tcp.on('error', (error) => this.#log.error('The DNS server for TCP failed.', { error }))
    const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    this.#udp = udp
    udp.bind({ address, port: (tcp.address() as AddressInfo).port })
    await once(udp, 'listening')
    udp.on('error', (error) => this.#log.error('The DNS server for UDP failed.', { error }))
    udp.on('message', (packet, from) => this.#onDatagram(udp, packet, from))
  }

  #onDatagram(udp: UdpSocket, packet: Buffer, from: RemoteInfo): void {
    this.#stats.udpQueries++
    const reply = this.#answer(packet, (query) => this.#udpReply(query, from))
    // Nobody can be answered at port 0. What else does not get through is asked for again.
    if (reply && from.port !== 0) udp.send(reply, from.port, from.address, () => {})
  }

  #udpReply(query: DnsQuery, from: RemoteInfo): Buffer {
    if (!this.#udpLimiter.take(addressPrefix(from.address)).ok) {
      this.#stats.limited++
      return writeTruncated(query)
    }
    const bytesMax = Math.min(UDP_BYTES_MAX, Math.max(UDP_BYTES_MIN, query.edns?.udpBytesMax ?? 0))
    const { bytes, isTruncated } = writeReply(query, this.#resolve(query), bytesMax)
    if (isTruncated) this.#stats.truncated++
    return bytes
  }

  #onConnection(socket: Socket): void {
    const splitter = new MessageSplitter()
    this.#touch(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#forget(socket))
    socket.on('data', (chunk: Buffer) => {
      const messages = splitter.push(chunk)
      for (const message of messages ?? []) this.#onTcpMessage(socket, message)
      if (messages) return
      this.#stats.dropped++
      socket.destroy()
    })
  }

  #onTcpMessage(socket: Socket, message: Buffer): void {
    if (socket.destroyed) return
    this.#stats.tcpQueries++
    this.#touch(socket)
    const reply = this.#answer(message, (query) => this.#tcpReply(query, socket))
    // A stream on which a message could not be read holds nothing to wait for.
    if (!reply || socket.writableLength > UNSENT_BYTES_MAX) socket.destroy()
    else socket.write(framed(reply))
  }

  #tcpReply(query: DnsQuery, socket: Socket): Buffer | undefined {
    if (this.#tcpLimiter.take(addressPrefix(socket.remoteAddress ?? '')).ok)
      return writeReply(query, this.#resolve(query), TCP_BYTES_MAX).bytes
    this.#stats.limited++
    return undefined
  }

  /** Gives a connection its time anew, and makes room for it when it is one too many. */
  #touch(socket: Socket): void {
    this.#forget(socket)
    const idle = this.#clock.after(TCP_IDLE_MS, () => socket.destroy())
    this.#connections.set(socket, idle)
    const [longestSilent] = this.#connections.keys()
    if (!longestSilent || this.#connections.size <= CONNECTIONS_MAX) return
    this.#forget(longestSilent)
    longestSilent.destroy()
  }

  #forget(socket: Socket): void {
    this.#connections.get(socket)?.cancel()
    this.#connections.delete(socket)
  }

  /** @returns undefined for a message that gets no answer */
  #answer(packet: Buffer, reply: (query: DnsQuery) => Buffer | undefined): Buffer | undefined {
    const received = readQuery(packet)
    switch (received.kind) {
      case 'dropped':
        this.#stats.dropped++
        return undefined
      case 'refused':
        this.#stats.answers[received.rcode]++
        return received.reply
      case 'query':
        return reply(received.query)
    }
  }

  #resolve({ edns, question }: DnsQuery): Resolution {
    // EDNS has one version, 0; who speaks another learns so (RFC 6891 section 6.1.3).
    const resolution = (edns?.version ?? 0) > 0 ? refusal('BADVERS') : this.#zone.resolve(question)
    this.#stats.answers[resolution.rcode]++
    return resolution
  }
}

function unavailable({ address, port }: DnsServerOptions, cause: unknown): NetworkError {
  const { code } = cause as NodeJS.ErrnoException
  return new NetworkError(
    'P2P_NETWORK_DNS_UNAVAILABLE',
    `Cannot answer DNS queries at ${formatHostPort(address, port)}: ${remedy(code, address) ?? messageOf(cause)}`,
    { address, port },
    { cause },
  )
}

function remedy(code: string | undefined, address: string): string | undefined {
  if (code === 'EADDRINUSE') return 'another program has the port. Choose another one with dns_port.'
  if (code === 'EACCES')
    return 'this user may not. Set dns_port to 1024 or more, or allow the program to bind low ports.'
  if (code === 'EADDRNOTAVAIL') return `${address} is not an address of this machine. Set dns_address to one that is.`
  return undefined
}
