import { BlockList, isIP, SocketAddress } from 'node:net'

/**
 * One spelling per IP address: lower case, IPv6 compressed, IPv4-mapped IPv6 as IPv4.
 * @returns undefined when `text` is not an IP address; one with a zone (`fe80::1%eth0`) only means something on one host and is none either
 */
export function canonicalAddress(text: string): string | undefined {
  const version = isIP(text)
  if (version === 4) return text
  if (version !== 6 || text.includes('%')) return undefined
  const address = new SocketAddress({ address: text, family: 'ipv6' }).address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  return mapped ? mapped[1] : address
}

const LOOPBACK = blockList(['127.0.0.0/8', '::1/128'])

/*
 * Addresses the coordinator never calls back on a requester's word. What is left is private and
 * public unicast. The transition prefixes are here because they lead to an IPv4 address of the
 * sender's choice, the last one because a cloud's metadata service answers there.
 */
const NOT_CALLED_BACK = blockList([
  '0.0.0.0/8',
  '169.254.0.0/16', // link-local, and the metadata service of most clouds
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved and broadcast
  '::/128',
  'fe80::/10', // link-local
  'fec0::/10', // site-local, deprecated (RFC 3879)
  'ff00::/8', // multicast
  '64:ff9b::/96', // NAT64 (RFC 6052)
  '64:ff9b:1::/48', // NAT64 (RFC 8215)
  '2001::/32', // Teredo (RFC 4380)
  '2002::/16', // 6to4 (RFC 3056)
  'fd00:ec2::/32', // metadata service of AWS
])

/** @param address in the form of {@link canonicalAddress} */
export function isLoopback(address: string): boolean {
  return LOOPBACK.check(address, family(address))
}

/**
 * Whether a node may ask for this address to be proved by a call from the coordinator.
 * @param isSameHost the request itself came over loopback
 */
export function mayBeCalledBack(address: string, isSameHost: boolean): boolean {
  if (isLoopback(address)) return isSameHost
  return !NOT_CALLED_BACK.check(address, family(address))
}

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** A host name that may stand in a certificate (RFC 1123 section 2.1): no wildcard, and nothing that reads as an IP address. */
export function isHostName(name: string): boolean {
  if (name.length > 253 || isIP(name) !== 0) return false
  const labels = name.toLowerCase().split('.')
  return labels.every((label) => DNS_LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) as string)
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

function blockList(networks: string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address, prefix] = network.split('/') as [string, string]
    list.addSubnet(address, Number(prefix), family(address))
  }
  return list
}
