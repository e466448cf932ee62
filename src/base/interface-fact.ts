/** One address of one network interface of this machine, as it is now. */
export interface InterfaceFact {
  /** `eth0`, `utun3`, `Ethernet 2`. */
  name: string
  /** IPv4 or IPv6 address without zone. */
  address: string
  family: 'IPv4' | 'IPv6'
  prefixLength: number
  /** Loopback, or otherwise not reachable from outside. */
  internal: boolean
  /** A VPN or another tunnel: usable, but worse than a real network between the same two machines. */
  isTunnel: boolean
  /** What the operator says it is; undefined: it is what it looks like. */
  kind?: InterfaceKind
}

/** `lan` is preferred to `vpn` when both work; what is `ignored` is not announced. */
export const INTERFACE_KINDS = ['lan', 'vpn', 'ignored'] as const
export type InterfaceKind = (typeof INTERFACE_KINDS)[number]
