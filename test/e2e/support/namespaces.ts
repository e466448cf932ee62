import { execFileSync } from 'node:child_process'
import { isIPv6 } from 'node:net'
import type { Cleanup } from './node-process.ts'
import './own-network.ts'

/** A test host: a network namespace of its own with the interfaces it was asked for. */
export interface TestHost {
  name: string
  /** That of the first interface. */
  address: string
  /** Of all interfaces that were asked for, in their order. */
  addresses: readonly string[]
  /** Put in front of a command to run it on this host. */
  prefix: string[]
  /**
   * Where this process reaches the host, whatever becomes of its other interfaces. The interface is called as those of
   * container managers are, so that nodes announce it to nobody.
   */
  controlAddress: string
  /** Cuts one of its cables, or repairs it. */
  setLink(name: string, state: 'up' | 'down'): void
  /** Gives an interface another address, as a new DHCP lease would. */
  replaceAddress(name: string, from: string, to: string): void
  /**
   * Replaces what its packet filter does with what comes in, in nftables' words, for instance `ip saddr 10.77.2.2 drop`.
   * Loopback and the control interface are left alone.
   */
  filter(...rules: string[]): void
}

/** Interfaces of a host by name, with their addresses: `{ eth0: '10.77.1.2/24' }`. */
export type HostPlan = Readonly<Record<string, string>>

export interface NetworkOptions {
  /** Whether a router (`.1` or `::1` in each network) joins the networks; it is the default of each host's first one. */
  hasRouter: boolean
}

/** Networks and hosts that this process has made. */
let networks = 0
let hostsMade = 0

/**
 * Hosts on Ethernets: interfaces with addresses of one subnet are in one Ethernet. Everything is removed after the test.
 * Needs root on Linux.
 */
export function makeNetwork(t: Cleanup, plans: readonly HostPlan[], options: NetworkOptions): TestHost[] {
  const id = `p2p${process.pid % 100_000}n${++networks}`
  const switches = `${id}s`
  const names = [switches]
  t.after(() => {
    for (const name of names) {
      try {
        ip('netns', 'delete', name)
      } catch {
        // It was never made, or is gone already.
      }
    }
  })
  ip('netns', 'add', switches)
  if (options.hasRouter) setKernel(switches, 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
  const bridges = new Map<string, string>()
  const hosts = plans.map((plan, index): TestHost => {
    const name = `${id}h${index + 1}`
    names.push(name)
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'set', 'lo', 'up')
    const controlAddress = addControlInterface(name)
    const addresses = Object.entries(plan).map(([device, cidr], position) => {
      const network = networkOf(cidr)
      const bridge = bridges.get(network) ?? `lan${bridges.size}`
      if (!bridges.has(network)) addBridge(switches, bridge, options.hasRouter ? routerIn(cidr) : undefined)
      bridges.set(network, bridge)
      const leg = `h${index + 1}l${position}`
      ip('link', 'add', device, 'netns', name, 'type', 'veth', 'peer', 'name', leg, 'netns', switches)
      ip('-n', switches, 'link', 'set', leg, 'master', bridge, 'up')
      setAddress(name, 'add', device, cidr)
      ip('-n', name, 'link', 'set', device, 'up')
      if (options.hasRouter && position === 0) addDefaultRoute(name, cidr)
      return cidr.split('/')[0] as string
    })
    return {
      name,
      address: addresses[0] as string,
      addresses,
      prefix: ['ip', 'netns', 'exec', name],
      controlAddress,
      setLink(device, state) {
        ip('-n', name, 'link', 'set', device, state)
        // The kernel has forgotten it, and nobody here does what a DHCP client would.
        const isFirst = device === Object.keys(plan)[0]
        if (state === 'up' && isFirst && options.hasRouter) addDefaultRoute(name, plan[device] as string)
      },
      replaceAddress(device, from, to) {
        // In this order: with the first address of a subnet go the later ones.
        setAddress(name, 'delete', device, from)
        setAddress(name, 'add', device, to)
      },
      filter: (...rules) => setFilter(name, rules),
    }
  })
  for (const { name } of hosts) waitForCarriers(name)
  return hosts
}

/** `count` hosts on as many subnets (10.77.N.0/24), joined by a router. */
export function makeHosts(t: Cleanup, count: number): TestHost[] {
  const plans = Array.from({ length: count }, (_, index) => ({ eth0: `10.77.${index + 1}.2/24` }))
  return makeNetwork(t, plans, { hasRouter: true })
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/**
 * The kernel tells of a carrier up to a second late (its link watch), and until then the interface is in no list: here a host
 * has booted when its network is there.
 */
function waitForCarriers(namespace: string): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const isDown = (link: { operstate: string; flags: string[] }): boolean =>
    link.operstate !== 'UP' && !link.flags.includes('LOOPBACK')
  const limit = Date.now() + 10_000
  while (
    (JSON.parse(execFileSync('ip', ['-n', namespace, '-j', 'link'], { encoding: 'utf8' })) as never[]).some(isDown)
  ) {
    if (Date.now() > limit) throw new Error(`An interface of ${namespace} does not come up`)
    Atomics.wait(pause, 0, 0, 20)
  }
}

function setKernel(namespace: string, ...settings: string[]): void {
  execFileSync('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', ...settings])
}

/** Without duplicate address detection, which would keep an IPv6 address from being used for a second. */
function setAddress(namespace: string, action: 'add' | 'delete', device: string, cidr: string): void {
  const flags = action === 'add' && isIPv6(cidr.split('/')[0] as string) ? ['nodad'] : []
  ip('-n', namespace, 'addr', action, cidr, 'dev', device, ...flags)
}

function addBridge(namespace: string, bridge: string, router: string | undefined): void {
  ip('-n', namespace, 'link', 'add', bridge, 'type', 'bridge')
  if (router !== undefined) setAddress(namespace, 'add', bridge, router)
  ip('-n', namespace, 'link', 'set', bridge, 'up')
}

function addDefaultRoute(namespace: string, cidr: string): void {
  const router = routerIn(cidr).split('/')[0] as string
  ip('-n', namespace, 'route', 'add', 'default', 'via', router)
}

/** Addresses of RFC 2544's benchmarking range, in a network that this process has for itself. */
function addControlInterface(namespace: string): string {
  const index = hostsMade++
  const [near, far] = [`198.18.0.${index * 4 + 1}`, `198.18.0.${index * 4 + 2}`]
  const outside = `control${index}`
  ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', CONTROL, 'netns', namespace)
  ip('addr', 'add', `${near}/30`, 'dev', outside)
  ip('link', 'set', outside, 'up')
  setAddress(namespace, 'add', CONTROL, `${far}/30`)
  ip('-n', namespace, 'link', 'set', CONTROL, 'up')
  return far
}

const CONTROL = 'docker0'

/** Good enough for the subnets of tests: /24 and /64. */
function networkOf(cidr: string): string {
  return cidr.includes(':') ? cidr.slice(0, cidr.lastIndexOf(':')) : cidr.slice(0, cidr.lastIndexOf('.'))
}

function routerIn(cidr: string): string {
  const [, bits] = cidr.split('/')
  return `${networkOf(cidr)}${cidr.includes(':') ? ':' : '.'}1/${bits}`
}

function setFilter(namespace: string, rules: readonly string[]): void {
  const lines = [
    'table inet p2p_test',
    'delete table inet p2p_test',
    'table inet p2p_test {',
    '  chain input {',
    '    type filter hook input priority 0; policy accept;',
    `    iifname { "lo", "${CONTROL}" } accept`,
    ...rules.map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ]
  execFileSync('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], { input: lines.join('\n') })
}
