import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { platform } from 'node:process'
import type { InterfaceFact } from '../base/interface-fact.ts'
import { lastKnown } from './last-known.ts'

/** `type` of the interfaces that are tunnels: PPP, IPIP, IP6IP6, SIT, GRE, GRE6, and tun or WireGuard (linux/if_arp.h). */
const TUNNEL_TYPES = new Set([512, 768, 769, 776, 778, 823, 65_534])
/** Bit of `tun_flags` that tells a tun device (layer 3) from a tap, which virtual machines use (linux/if_tun.h). */
const IFF_TUN = 0x0001
/** Interfaces without hardware behind them: layer 3, such as Wintun, the VPNs built into Windows, and utun. */
const NO_MAC = '00:00:00:00:00:00'
/** What TAP-Windows, an adapter with any name, gives itself; assigned to no maker of hardware. */
const TAP_WINDOWS_MAC = /^00:ff:/i
const TUNNEL_NAME = /^(?:utun|tun|wg|tailscale|zt|ppp|ipsec|gif)\d*$|wireguard|tailscale|openvpn|zerotier|\bvpn\b/i

const presentInterfaces = lastKnown(networkInterfaces)

/** Addresses of every interface that is up. Linux tells tunnels by their kind, macOS and Windows by their lack of hardware. */
export function interfaceFacts(): InterfaceFact[] {
  return Object.entries(presentInterfaces()).flatMap(([name, addresses = []]) => {
    const mac = addresses.find(({ internal }) => !internal)?.mac
    const isTunnel = isTunnelInterface({ name, mac, system: platform })
    return addresses.map(({ address, family, cidr, internal }) => ({
      name,
      address,
      family,
      prefixLength: Number(cidr?.split('/')[1] ?? (family === 'IPv4' ? 32 : 128)),
      internal,
      isTunnel,
    }))
  })
}

/**
 * @param mac undefined for loopback
 * @param readKernelFact reads a file of /sys/class/net/<name>, undefined where it is not there; for tests
 */
export function isTunnelInterface(
  { name, mac, system }: { name: string; mac: string | undefined; system: NodeJS.Platform },
  readKernelFact = readLinuxFact,
): boolean {
  if (TUNNEL_TYPES.has(Number(readKernelFact(name, 'type')))) return true
  const tunFlags = Number(readKernelFact(name, 'tun_flags') ?? 0)
  if ((tunFlags & IFF_TUN) !== 0) return true
  if (/^DEVTYPE=wireguard$/m.test(readKernelFact(name, 'uevent') ?? '')) return true
  if (system !== 'linux' && mac === NO_MAC) return true
  if (system === 'win32' && TAP_WINDOWS_MAC.test(mac ?? '')) return true
  return TUNNEL_NAME.test(name)
}

function readLinuxFact(name: string, fact: string): string | undefined {
  if (platform !== 'linux') return undefined
  try {
    return readFileSync(`/sys/class/net/${name}/${fact}`, 'utf8').trim()
  } catch {
    return undefined
  }
}
