import assert from 'node:assert/strict'
import { connect } from 'node:tls'
import { describe, test } from 'node:test'
import { type HostCluster, type Machine, startHostCluster } from './support/host-cluster.ts'
import { isLeftOut } from './support/left-out.ts'
import { eventually } from './support/node-process.ts'

/* Real nodes on hosts of their own (network namespaces), on networks that are cut, filtered and repaired. */

const skip = isLeftOut('network namespaces') && 'no network namespaces here'

/** The clusters of these tests do mostly wait: they run side by side. */
describe('membership on real hosts', { skip, concurrency: 3 }, () => {
  test('nodes with a LAN and a VPN: all addresses announced, the best one used, another when it is cut', async (t) => {
    const cluster = await startHostCluster(
      t,
      [2, 3, 4].map((n) => ({ eth0: `10.77.1.${n}/24`, wg0: `10.77.9.${n}/24`, lab0: `10.77.5.${n}/24` })),
      { hasRouter: false, config: { network_interfaces: { lab0: 'ignored' } } },
    )
    const [coordinator, first, second] = cluster.machines as [Machine, Machine, Machine]

    await t.test('announces all usable addresses, the LAN first, but not what the operator ignores', () => {
      for (const [index, { id }] of cluster.machines.entries()) {
        const addresses = [`10.77.1.${index + 2}`, `10.77.9.${index + 2}`]
        for (const { view } of cluster.machines) assert.deepEqual(view.get(id)?.addresses, addresses)
      }
    })
    await t.test('peers talk over the LAN', async () => {
      await cluster.reaches(first, second)
      for (const machine of cluster.machines) await sessionsIn(cluster, machine, /^10\.77\.1\./)
    })
    await t.test('the LAN cable of a host is cut: calls to it and from it go on over the VPN', async () => {
      const cutMs = performance.now()
      first.host.setLink('eth0', 'down')
      await Promise.all([
        cluster.reaches(coordinator, first),
        cluster.reaches(second, first),
        cluster.reaches(first, second),
      ])
      t.diagnostic(`calls in all directions again after ${secondsSince(cutMs)} s`)
      assert.match((await cluster.sessionsOf(coordinator)).get(first.id) as string, /^10\.77\.9\./)
      await cluster.isWhole()
      assert.deepEqual(cluster.takeDeaths(), [])
    })
    await t.test('the cable is back, and so is the traffic', async () => {
      const repairMs = performance.now()
      first.host.setLink('eth0', 'up')
      await sessionsIn(cluster, first, /^10\.77\.1\./)
      t.diagnostic(`all sessions of the host back on the LAN after ${secondsSince(repairMs)} s`)
      await cluster.reaches(coordinator, first)
    })
    await t.test('another DHCP lease: announced, certified, used', async () => {
      second.host.replaceAddress('eth0', '10.77.1.4/24', '10.77.1.40/24')
      const renewed = ['10.77.1.40', '10.77.9.4']
      const isKnown = ({ view }: Machine) =>
        view.until('the new address', () => String(view.get(second.id)?.addresses) === String(renewed))
      await Promise.all(cluster.machines.map(isKnown))
      const named = await eventually(
        () => certifiedNames(second),
        (names) => names.includes('10.77.1.40'),
      )
      assert.doesNotMatch(named, /10\.77\.1\.4(?!0)/)
      await cluster.reaches(coordinator, second)
      await cluster.isWhole()
    })
  })

  test('hosts on four subnets: losses, one-way links, partitions, and the coordinator gone', async (t) => {
    const cluster = await startHostCluster(
      t,
      [1, 2, 3, 4].map((n) => ({ eth0: `10.77.${n}.2/24` })),
      { hasRouter: true },
    )
    const [coordinator, first, second, third] = cluster.machines as [Machine, Machine, Machine, Machine]
    const drop = (machine: Machine, ...from: Machine[]): void =>
      machine.host.filter(`ip saddr { ${from.map(({ host }) => host.address).join(', ')} } drop`)

    await t.test('a link that works one way only: nobody is declared dead', async () => {
      await cluster.reaches(first, second)
      drop(second, first)
      // Longer than a suspicion that nobody confirms would last.
      await settle(12_000)
      second.host.filter()
      await cluster.isWhole()
      assert.deepEqual(cluster.takeDeaths(), [])
      await cluster.reaches(first, second)
    })
    await t.test('two halves that cannot hear each other, and whole again', async () => {
      const halves = [
        [coordinator, first],
        [second, third],
      ] as const
      for (const machine of halves[0]) drop(machine, ...halves[1])
      for (const machine of halves[1]) drop(machine, ...halves[0])
      const losesOther = (own: readonly Machine[], other: readonly Machine[]) =>
        own.map(({ view }) =>
          view.until('the others dead', () => other.every(({ id }) => view.get(id)?.status === 'dead')),
        )
      await Promise.all([...losesOther(...halves), ...losesOther(halves[1], halves[0])])
      await cluster.isWhole({ of: halves[1] })
      const healMs = performance.now()
      for (const { host } of cluster.machines) host.filter()
      await cluster.isWhole({ ms: 30_000 })
      t.diagnostic(`equal views ${secondsSince(healMs)} s after the partition ended`)
      cluster.takeDeaths()
    })
    await t.test('a fifth of all packets lost: nobody is declared dead', async () => {
      for (const { host } of cluster.machines) host.filter('numgen random mod 100 < 20 drop')
      await settle(30_000)
      for (const { host } of cluster.machines) host.filter()
      assert.deepEqual(cluster.takeDeaths(), [])
      await cluster.isWhole()
    })
    await t.test('the coordinator leaves: the workers see and call each other', async () => {
      await coordinator.node.stop()
      const workers = [first, second, third]
      for (const { view } of workers) {
        await view.until('the coordinator gone', () => view.get(coordinator.id)?.status === 'left')
      }
      for (const from of workers) for (const to of workers) if (from !== to) await cluster.reaches(from, to)
      await cluster.isWhole({ of: workers })
    })
  })

  test('a node that can only dial out is a member, and is called through the session that it opened', async (t) => {
    const cluster = await startHostCluster(
      t,
      [1, 2, 3].map((n) => ({ eth0: `10.77.${n}.2/24` })),
      {
        hasRouter: true,
        // As behind a router that forwards the port of the challenge, and nothing else.
        prepare: (hosts) => hosts[2]?.filter('tcp dport 8802 accept', 'ct state new drop'),
      },
    )
    const [coordinator, open, hidden] = cluster.machines as [Machine, Machine, Machine]
    await cluster.reaches(coordinator, hidden)
    await cluster.reaches(open, hidden)
    await cluster.reaches(hidden, open)
    // It was cut off for a while, and all its sessions with it: only its own dials bring it back.
    hidden.host.filter('drop')
    await coordinator.view.until('it dead', () => coordinator.view.get(hidden.id)?.status === 'dead')
    hidden.host.filter('ct state new drop')
    await cluster.isWhole({ ms: 30_000 })
    await cluster.reaches(coordinator, hidden)
    await cluster.reaches(open, hidden)
  })

  test('a node that is stopped for 20 s declares nobody dead, and is back at once', async (t) => {
    const cluster = await startHostCluster(
      t,
      [2, 3, 4].map((n) => ({ eth0: `10.77.1.${n}/24` })),
      { hasRouter: false },
    )
    const [coordinator, other, stopped] = cluster.machines as [Machine, Machine, Machine]
    stopped.node.kill('SIGSTOP')
    await settle(20_000)
    for (const { view } of [coordinator, other]) assert.equal(view.get(stopped.id)?.status, 'dead')
    stopped.node.kill('SIGCONT')
    const continueMs = performance.now()
    await cluster.isWhole({ ms: 10_000 })
    t.diagnostic(`back with everyone ${secondsSince(continueMs)} s after it went on`)
    assert.deepEqual(
      cluster.takeDeaths().filter((death) => death.endsWith(`by ${stopped.id}`)),
      [],
    )
    await cluster.reaches(stopped, other)
    await cluster.reaches(coordinator, stopped)
  })

  test('a subnet with IPv6 only', async (t) => {
    const cluster = await startHostCluster(
      t,
      [2, 3, 4].map((n) => ({ eth0: `fd00:77::${n}/64` })),
      { hasRouter: false, config: { bind_address: '::' } },
    )
    const [coordinator, first, second] = cluster.machines as [Machine, Machine, Machine]
    assert.deepEqual(coordinator.view.get(first.id)?.addresses, ['fd00:77::3'])
    await cluster.reaches(first, second)
    await sessionsIn(cluster, first, /^\[fd00:77::/)
    second.node.kill('SIGKILL')
    for (const { view } of [coordinator, first]) {
      await view.until('it dead', () => view.get(second.id)?.status === 'dead')
    }
  })
})

/** Until all open sessions of a node lead to addresses of one network, and there are some. */
async function sessionsIn(cluster: HostCluster, machine: Machine, network: RegExp): Promise<void> {
  await eventually(
    async () => [...(await cluster.sessionsOf(machine)).values()],
    (addresses) => addresses.length > 0 && addresses.every((address) => network.test(address)),
    400,
  )
}

/** The names in the certificate that a node shows. */
function certifiedNames({ host, api }: Machine): Promise<string> {
  return new Promise((resolve, reject) => {
    const port = Number(new URL(api.url).port)
    const socket = connect(
      { host: host.controlAddress, port, ca: api.caCertificate, checkServerIdentity: () => undefined },
      () => {
        resolve(socket.getPeerCertificate().subjectaltname ?? '')
        socket.destroy()
      },
    )
    socket.on('error', reject)
  })
}

function secondsSince(startMs: number): string {
  return ((performance.now() - startMs) / 1_000).toFixed(1)
}

/** For what must not happen in a while: there is no event to wait for. */
function settle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
