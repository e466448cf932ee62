import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InterfaceFact } from '../../../src/base/interface-fact.ts'
import { silentLogger } from '../../../src/base/log.ts'
import type { PeerChannel } from '../../../src/base/peer.ts'
import { createPathKeeper } from '../../../src/network/index.ts'
import { SimulatedClock, SimulatedRandom } from '../../../src/testing/index.ts'

const fact = (name: string, address: string): InterfaceFact => ({
  name,
  address,
  family: 'IPv4',
  prefixLength: 24,
  internal: false,
  isTunnel: false,
})
const LAN = fact('eth0', '192.168.1.2')
const VPN = fact('wg0', '10.8.0.2')
const ANNOUNCED = ['192.168.1.9:8002', '10.8.0.9:8002']

/** One peer, reached over its VPN at first. */
async function setUp(options: { dialled?: boolean; works?: boolean } = {}) {
  const clock = new SimulatedClock()
  const world = { interfaces: [LAN, VPN], announced: ANNOUNCED, works: options.works ?? true, isOpen: true }
  const moves: { atMs: number; addresses: readonly string[] }[] = []
  const channelAt = (remoteAddress: string) =>
    ({ peer: { nodeId: 'peer' }, remoteAddress, dialled: options.dialled ?? true }) as unknown as PeerChannel
  let channel = channelAt('10.8.0.9:8002')
  const keeper = createPathKeeper({
    peers: {
      list: () => (world.isOpen ? [channel] : []),
      async move(moved, addresses, signal) {
        assert.equal(moved, channel)
        moves.push({ atMs: clock.nowMs(), addresses })
        signal?.throwIfAborted()
        if (!world.works) throw new Error('no route')
        channel = channelAt(addresses[0] as string)
        return channel
      },
    },
    clock,
    random: new SimulatedRandom(1),
    log: silentLogger,
    interfaces: () => world.interfaces,
    addressesOf: () => world.announced,
  })
  await keeper.start(new AbortController().signal)
  return { clock, world, moves, keeper }
}

test('a session over the VPN moves to the LAN, once', async () => {
  const { clock, moves } = await setUp()
  await clock.run(60_000)
  assert.deepEqual(
    moves.map(({ addresses }) => addresses),
    [['192.168.1.9:8002']],
  )
})

test('the end that was dialled leaves that to the other', async () => {
  const { clock, moves } = await setUp({ dialled: false })
  await clock.run(60_000)
  assert.deepEqual(moves, [])
})

test('without a better address nothing is tried, and when there is one it is tried at once', async () => {
  const { clock, world, moves } = await setUp()
  world.announced = ['10.8.0.9:8002']
  await clock.run(60_000)
  assert.deepEqual(moves, [])
  world.announced = ANNOUNCED
  await clock.run(5_000)
  assert.equal(moves.length, 1)
})

test('a path that does not work is tried ever more seldom, for ever, and at once when addresses change', async () => {
  const { clock, world, moves } = await setUp({ works: false })
  await clock.run(3_600_000)
  const pauses = moves.slice(1).map(({ atMs }, index) => atMs - (moves[index]?.atMs as number))
  assert.ok((pauses[0] as number) >= 10_000 && (pauses[0] as number) <= 25_000, `${pauses[0]}`)
  assert.ok(pauses.length >= 8, `${pauses.length} attempts`)
  const late = pauses.slice(6)
  assert.ok(
    late.every((pause) => pause >= 300_000 && pause <= 605_000),
    late.join(),
  )
  const before = moves.length
  world.announced = ['192.168.1.10:8002', '10.8.0.9:8002']
  await clock.run(5_000)
  assert.equal(moves.length, before + 1)
  world.interfaces = [VPN]
  await clock.run(5_000)
  world.interfaces = [LAN, VPN]
  await clock.run(10_000)
  assert.equal(moves.length, before + 3)
})

test('a peer that is gone is forgotten: when it is back, its paths are tried afresh', async () => {
  const { clock, world, moves } = await setUp({ works: false })
  await clock.run(1_000_000)
  const before = moves.length
  world.isOpen = false
  await clock.run(5_000)
  world.isOpen = true
  await clock.run(5_000)
  assert.equal(moves.length, before + 1)
})

test('after the stop nothing is tried any more', async () => {
  const { clock, moves, keeper } = await setUp()
  await keeper.stop()
  await clock.run(60_000)
  assert.deepEqual(moves, [])
})
