import { BlockList, isIP, isIPv4 } from 'node:net'
import type { InterfaceFact, InterfaceKind } from '../base/interface-fact.ts'
import { formatHostPort, parseHostPort } from '../transport/index.ts'

export interface LocalAddressOptions {
  /** What the server is bound to: an address, `0.0.0.0`, `::`, or a host name. */
  bindAddress: string
  port: number
  /** Explicit `host`, `host:port` or `[v6]:port`, announced first and in this order. */
  advertiseAddresses?: readonly string[]
}

const LINK_LOCAL = new BlockList()
LINK_LOCAL.addSubnet('169.254.0.0', 16, 'ipv4')
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6')

/** Ranges that only VPNs hand out: RFC 6598 shared space as Tailscale uses it, and Tailscale's IPv6 range. */
const VPN_RANGES = new BlockList()
VPN_RANGES.addSubnet('100.64.0.0', 10, 'ipv4')
VPN_RANGES.addSubnet('fd7a:115c:a1e0::', 48, 'ipv6')

const VPN_NAME = /^(?:utun|tun|tap|wg|tailscale|zt|ppp|ipsec)\d*|wireguard|tailscale|openvpn|zerotier|\bvpn\b/i
/** Bridges of container and machine managers: their addresses are the same on every host. */
const VIRTUAL_NAME = /^(?:docker\d|br-[0-9a-f]{12}$|veth|virbr|cni\d|flannel|cali|podman\d|lxcbr|lxdbr|vEthernet)/

/** Whether an interface is a real network, a VPN, or one whose addresses mean nothing to other machines. */
export function interfaceKind(fact: InterfaceFact): InterfaceKind {
  if (fact.kind) return fact.kind
  if (VIRTUAL_NAME.test(fact.name)) return 'ignored'
  return fact.isTunnel || VPN_NAME.test(fact.name) || contains(VPN_RANGES, fact.address) ? 'vpn' : 'lan'
}

/**
 * Every `host:port` at which other machines may reach this node, best first: what was set by hand, then real
 * networks, then VPNs, IPv4 before IPv6 in each. Link-local addresses are left out (they need a zone), loopback is
 * announced only by a node bound to it.
 */
export function localAddresses(facts: readonly InterfaceFact[], options: LocalAddressOptions): string[] {
  const explicit = (options.advertiseAddresses ?? []).map((text) => withPort(text, options.port))
  const usable = facts.filter(
    (fact) => !fact.internal && !contains(LINK_LOCAL, fact.address) && interfaceKind(fact) !== 'ignored',
  )
  const rank = (fact: InterfaceFact): number =>
    (interfaceKind(fact) === 'vpn' ? 2 : 0) + (fact.family === 'IPv6' ? 1 : 0)
  const found = boundTo(options.bindAddress, usable)
    .toSorted((a, b) => rank(a) - rank(b))
    .map((fact) => formatHostPort(fact.address, options.port))
  const isWildcard = isWildcardAddress(options.bindAddress)
  const bound = isWildcard ? found : [formatHostPort(options.bindAddress, options.port)]
  return [...new Set([...explicit, ...bound])]
}

/**
 * The order in which this machine dials a peer's addresses: those in a subnet it has an interface in come first, real
 * networks before VPNs, then the others as the peer ranks them. Nothing is left out: the dial decides what works.
 */
export function orderForPeer(own: readonly InterfaceFact[], theirs: readonly string[]): string[] {
  const rank = pathRank(own)
  return theirs.toSorted((a, b) => rank(a) - rank(b))
}

/** Those of a peer's addresses to which this machine has a better path than to `current`, best first. */
export function betterAddresses(own: readonly InterfaceFact[], theirs: readonly string[], current: string): string[] {
  const rank = pathRank(own)
  const currentRank = rank(current)
  return theirs.filter((address) => rank(address) < currentRank).sort((a, b) => rank(a) - rank(b))
}

/** Ranks a peer's `host:port` by the network that leads there, 0 best: a LAN of our own, unknown, VPN, ignored. */
function pathRank(own: readonly InterfaceFact[]): (address: string) => number {
  const nets = own
    .filter((fact) => !fact.internal && !contains(LINK_LOCAL, fact.address))
    .map((fact) => ({ kind: interfaceKind(fact), subnet: subnetOf(fact) }))
  return (address) => {
    const host = parseHostPort(address)?.host ?? ''
    const kinds = nets.filter((net) => contains(net.subnet, host)).map((net) => net.kind)
    if (kinds.includes('lan')) return 0
    if (kinds.includes('vpn') || contains(VPN_RANGES, host)) return 2
    return kinds.includes('ignored') ? 3 : 1
  }
}

function boundTo(bindAddress: string, facts: readonly InterfaceFact[]): InterfaceFact[] {
  if (bindAddress === '0.0.0.0') return facts.filter((fact) => fact.family === 'IPv4')
  return [...facts]
}

function isWildcardAddress(address: string): boolean {
  return address === '0.0.0.0' || address === '::' || address === ''
}

function subnetOf(fact: InterfaceFact): BlockList {
  const list = new BlockList()
  list.addSubnet(fact.address, fact.prefixLength, fact.family === 'IPv4' ? 'ipv4' : 'ipv6')
  return list
}

function contains(list: BlockList, address: string): boolean {
  if (isIP(address) === 0) return false
  return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

function withPort(text: string, port: number): string {
  return parseHostPort(text) ? text : formatHostPort(text, port)
}
