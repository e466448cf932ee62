import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InterfaceFact } from '../../../src/base/interface-fact.ts'
import { betterAddresses, interfaceKind, localAddresses, orderForPeer } from '../../../src/network/index.ts'

function fact(name: string, address: string, prefixLength: number, more: Partial<InterfaceFact> = {}): InterfaceFact {
  return {
    name,
    address,
    prefixLength,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal: false,
    isTunnel: false,
    ...more,
  }
}

const loopback = fact('lo', '127.0.0.1', 8, { internal: true })
const lan = fact('eth0', '192.168.1.20', 24)
const lan6 = fact('eth0', '2001:db8:1::20', 64)
const linkLocal = fact('eth0', 'fe80::1', 64)
const vpn = fact('wg0', '10.8.0.2', 24)

const any = { bindAddress: '0.0.0.0', port: 8002 }

test('real networks come before VPNs, IPv4 before IPv6, and loopback and link-local addresses are left out', () => {
  const facts = [loopback, vpn, linkLocal, lan6, fact('eth0', '169.254.7.7', 16), lan]
  assert.deepEqual(localAddresses(facts, { ...any, bindAddress: '::' }), [
    '192.168.1.20:8002',
    '[2001:db8:1::20]:8002',
    '10.8.0.2:8002',
  ])
})

test('a node bound to IPv4 announces no IPv6 address, one bound to an address only that one', () => {
  assert.deepEqual(localAddresses([lan, lan6], any), ['192.168.1.20:8002'])
  assert.deepEqual(localAddresses([lan, vpn], { ...any, bindAddress: '10.8.0.2' }), ['10.8.0.2:8002'])
  assert.deepEqual(localAddresses([lan], { ...any, bindAddress: '2001:db8::9' }), ['[2001:db8::9]:8002'])
})

test('loopback is announced by a node that is bound to it, and by no other', () => {
  assert.deepEqual(localAddresses([loopback, lan], { ...any, bindAddress: '127.0.0.1' }), ['127.0.0.1:8002'])
  assert.deepEqual(localAddresses([loopback], any), [])
})

test('what was set by hand comes first, with its own port or the bound one, and once', () => {
  const advertiseAddresses = ['node.example', 'gate.example:9000', '[2001:db8::5]:9001', '2001:db8::6', '192.168.1.20']
  assert.deepEqual(localAddresses([lan], { ...any, advertiseAddresses }), [
    'node.example:8002',
    'gate.example:9000',
    '[2001:db8::5]:9001',
    '[2001:db8::6]:8002',
    '192.168.1.20:8002',
  ])
})

test('VPN interfaces are recognised by the system, by name and by range', () => {
  const vpns = [
    fact('eth9', '10.0.0.1', 24, { isTunnel: true }),
    fact('utun3', '10.0.0.1', 24),
    fact('tailscale0', '100.101.102.103', 32),
    fact('ztabcdef12', '10.147.17.1', 24),
    fact('ppp0', '10.64.0.1', 32),
    fact('tap0', '10.9.0.2', 24),
    fact('OpenVPN TAP-Windows6', '10.9.0.2', 24),
    fact('en7', '100.64.0.9', 10),
    fact('en7', 'fd7a:115c:a1e0::1', 48),
  ]
  for (const one of vpns) assert.equal(interfaceKind(one), 'vpn', `${one.name} ${one.address}`)
  for (const one of [
    lan,
    fact('en0', '10.1.2.3', 8),
    fact('wlan0', '172.16.0.9', 12),
    fact('Ethernet 2', '10.0.0.2', 24),
  ]) {
    assert.equal(interfaceKind(one), 'lan', `${one.name} ${one.address}`)
  }
})

test('bridges that have the same address on every host are not announced', () => {
  const bridges = ['docker0', 'br-0123456789ab', 'virbr0', 'veth12ab', 'cni0'].map((name) =>
    fact(name, '172.17.0.1', 16),
  )
  assert.deepEqual(localAddresses([...bridges, lan], any), ['192.168.1.20:8002'])
  assert.deepEqual(localAddresses([fact('eth0', '172.17.0.5', 16)], any), ['172.17.0.5:8002'], 'inside a container')
})

test('what somebody has said of an interface counts more than what it looks like', () => {
  const facts: InterfaceFact[] = [
    { ...lan, kind: 'vpn' },
    { ...vpn, kind: 'lan' },
    { ...fact('docker0', '172.17.0.1', 16), kind: 'lan' },
    { ...fact('wlan0', '192.168.7.7', 24), kind: 'ignored' },
  ]
  assert.deepEqual(localAddresses(facts, any), ['10.8.0.2:8002', '172.17.0.1:8002', '192.168.1.20:8002'])
  const theirs = ['192.168.7.9:8002', '192.168.1.9:8002', '10.8.0.9:8002']
  assert.deepEqual(orderForPeer(facts, theirs), theirs.toReversed())
})

test('a better path leads over a better kind of network', () => {
  const theirs = ['10.8.0.9:8002', '172.30.0.4:8002', '192.168.1.9:8002']
  const own = [loopback, lan, vpn]
  assert.deepEqual(betterAddresses(own, theirs, '10.8.0.9:8002'), ['192.168.1.9:8002', '172.30.0.4:8002'])
  assert.deepEqual(betterAddresses(own, theirs, '172.30.0.4:8002'), ['192.168.1.9:8002'])
  assert.deepEqual(betterAddresses(own, theirs, '192.168.1.9:8002'), [])
  assert.deepEqual(betterAddresses([vpn], theirs, '10.8.0.9:8002'), ['172.30.0.4:8002', '192.168.1.9:8002'])
  assert.deepEqual(betterAddresses([], theirs, '10.8.0.9:8002'), [])
})

test('a peer is dialled in the shared subnet first, over VPN after what else it announces', () => {
  assert.deepEqual(
    orderForPeer([loopback, lan, vpn], ['10.8.0.9:8002', '172.30.0.4:8002', '192.168.1.9:8002', 'peer.example:8002']),
    ['192.168.1.9:8002', '172.30.0.4:8002', 'peer.example:8002', '10.8.0.9:8002'],
  )
  assert.deepEqual(orderForPeer([lan6], ['10.0.0.1:8002', '[2001:db8:1::99]:8002']), [
    '[2001:db8:1::99]:8002',
    '10.0.0.1:8002',
  ])
})

test('without facts the order of the peer stays, and nothing is ever left out', () => {
  const theirs = ['a:1', '10.0.0.1:1', 'not an address']
  assert.deepEqual(orderForPeer([], theirs), theirs)
  assert.deepEqual(orderForPeer([fact('docker0', '172.17.0.1', 16)], ['172.17.0.1:1', '10.0.0.1:1']), [
    '10.0.0.1:1',
    '172.17.0.1:1',
  ])
})
