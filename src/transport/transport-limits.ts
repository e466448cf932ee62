/** Bounds on what anyone may cost this node. HTTP/2 connections are checked every `keepAliveMs`: their times are exact to that. */
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

export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
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
