export type { ConnectionFacts } from './connection-facts.ts'
export { dialUnverified, type UnverifiedConnection, type UnverifiedDialOptions } from './dial-unverified.ts'
export { formatHostPort, type HostPort, parseHostPort } from './host-port.ts'
export { createPeers, type MovablePeers, type PeersNeeds, type PeersOptions } from './peers.ts'
export type { PeersLimits } from './peers-limits.ts'
export {
  addressPrefix,
  createRateLimiter,
  type RateLimiter,
  type RateLimiterNeeds,
  type RateLimiterOptions,
  type RateVerdict,
} from './rate-limiter.ts'
export type { RouteHandler, RouteRequest, RouteResponse } from './route.ts'
export {
  createTransport,
  type FallbackHandler,
  type StreamHandler,
  type StreamRequest,
  type Transport,
  type TransportNeeds,
  type TransportOptions,
  type UpgradeHandler,
} from './transport.ts'
export type { TransportLimits } from './transport-limits.ts'
