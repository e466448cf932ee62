import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import type { HostFacts } from '../../../src/builtin/host-facts.ts'
import { createCpuMeter } from '../../../src/platform/host-facts.ts'
import { createHostFacts, interfaceFacts } from '../../../src/platform/index.ts'
import { isTunnelInterface } from '../../../src/platform/interface-facts.ts'
import { lastKnown } from '../../../src/platform/last-known.ts'

test('the facts of this machine are plausible and have the shape that services ask for', async () => {
  const facts: HostFacts = createHostFacts()
  assert.ok(facts.hostname.length > 0)
  assert.equal(facts.platform, process.platform)
  assert.equal(facts.arch, process.arch)
  assert.ok(facts.cpuCount >= 1)
  const { totalBytes, availableBytes } = facts.memory()
  assert.ok(availableBytes > 0 && availableBytes <= totalBytes && Number.isSafeInteger(totalBytes))
  const disk = await facts.disk(tmpdir())
  assert.ok(disk.freeBytes >= 0 && disk.freeBytes <= disk.totalBytes && disk.totalBytes > 0)
  await assert.rejects(facts.disk('/no/such/place'), { code: 'ENOENT' })
  assert.equal(facts.loadAverage().length, 3)
  assert.ok(facts.uptimeSeconds() > 0)
  assert.ok(facts.processMemoryBytes() > 1_000_000)
  assert.ok(facts.networkInterfaces().some(({ internal, prefixLength }) => internal && prefixLength >= 8))
  const percent = facts.cpuPercent()
  assert.ok(percent >= 0 && percent <= 100)
})

test('the CPU meter tells the busy share since the previous call', () => {
  let times = { busyMs: 1_000, totalMs: 10_000 }
  const meter = createCpuMeter(() => times)
  assert.equal(meter(), 0, 'no time has passed yet')
  times = { busyMs: 1_250, totalMs: 11_000 }
  assert.equal(meter(), 25)
  assert.equal(meter(), 25, 'the counters have not moved: the last share stands')
  times = { busyMs: 2_250, totalMs: 12_000 }
  assert.equal(meter(), 100)
  times = { busyMs: 2_250, totalMs: 13_000 }
  assert.equal(meter(), 0)
  times = { busyMs: 2_000, totalMs: 14_000 }
  assert.equal(meter(), 0, 'a processor went offline: never below 0')
  times = { busyMs: 9_000, totalMs: 15_000 }
  assert.equal(meter(), 100)
})

test('every address of this machine is listed with its network', () => {
  const facts = interfaceFacts()
  const loopback = facts.find(({ address }) => address === '127.0.0.1')
  assert.deepEqual(loopback, {
    name: loopback?.name,
    address: '127.0.0.1',
    family: 'IPv4',
    prefixLength: 8,
    internal: true,
    isTunnel: false,
  })
  for (const { prefixLength, family } of facts)
    assert.ok(prefixLength >= 0 && prefixLength <= (family === 'IPv4' ? 32 : 128))
})

const MAC = '3c:22:fb:10:20:30'
const linux = (name: string) => ({ name, mac: MAC, system: 'linux' as const })

test('tunnels are told by what the kernel says of them', () => {
  const kernel = (facts: Record<string, string>) => (_name: string, fact: string) => facts[fact]
  assert.equal(isTunnelInterface(linux('corp0'), kernel({ type: '65534', tun_flags: '0x1001' })), true, 'tun')
  assert.equal(
    isTunnelInterface(linux('corp0'), kernel({ type: '65534', uevent: 'DEVTYPE=wireguard\nINTERFACE=corp0' })),
    true,
  )
  assert.equal(isTunnelInterface(linux('isp'), kernel({ type: '512' })), true, 'PPP')
  assert.equal(isTunnelInterface(linux('he-ipv6'), kernel({ type: '776' })), true, 'SIT')
  const tap = kernel({ type: '1', tun_flags: '0x1002' })
  assert.equal(isTunnelInterface(linux('vm-tap'), tap), false, 'a tap is an Ethernet')
  assert.equal(isTunnelInterface(linux('eth0'), kernel({ type: '1', uevent: 'INTERFACE=eth0' })), false)
  assert.equal(isTunnelInterface(linux('lo'), kernel({ type: '772' })), false)
})

const silent = (): undefined => undefined

test('on macOS and Windows an interface without hardware is a tunnel, whatever its name', () => {
  const without = { mac: '00:00:00:00:00:00' }
  assert.equal(isTunnelInterface({ ...without, name: 'Work', system: 'win32' }, silent), true, 'built into Windows')
  assert.equal(isTunnelInterface({ ...without, name: 'en9', system: 'darwin' }, silent), true)
  assert.equal(isTunnelInterface({ ...without, name: 'eth9', system: 'linux' }, silent), false, 'the kernel tells')
  const tap = { name: 'Local Area Connection 3', mac: '00:FF:3A:11:22:33' }
  assert.equal(isTunnelInterface({ ...tap, system: 'win32' }, silent), true, 'TAP-Windows')
  assert.equal(isTunnelInterface({ ...tap, system: 'darwin' }, silent), false)
  for (const system of ['win32', 'darwin'] as const) {
    assert.equal(isTunnelInterface({ name: 'Ethernet 2', mac: MAC, system }, silent), false)
    assert.equal(isTunnelInterface({ name: 'Loopback', mac: undefined, system }, silent), false)
  }
})

test('where nothing else is known, names tell tunnels', () => {
  for (const name of [
    'utun3',
    'tun0',
    'wg0',
    'tailscale0',
    'Tailscale',
    'ppp0',
    'WireGuard Tunnel',
    'OpenVPN TAP',
    'My VPN',
    'gif0',
  ]) {
    assert.equal(isTunnelInterface(linux(name), silent), true, name)
  }
  for (const name of ['eth0', 'en0', 'Ethernet 2', 'Wi-Fi', 'lo', 'tunis', 'bridge0', 'docker0', 'wgap']) {
    assert.equal(isTunnelInterface(linux(name), silent), false, name)
  }
})

test('what the system said last is answered while it cannot say, as for a process without a free descriptor', () => {
  const answers: (() => number)[] = [() => 1, refuse, () => 2, refuse, refuse]
  function refuse(): never {
    throw new Error('EMFILE: too many open files')
  }
  const ask = lastKnown(() => (answers.shift() ?? refuse)())
  assert.deepEqual([ask(), ask(), ask(), ask(), ask()], [1, 1, 2, 2, 2])
  assert.throws(lastKnown(refuse), /EMFILE/, 'nothing is made up')
})
