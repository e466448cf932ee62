import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeRole } from '../../../src/base/identity.ts'
import type { PeerChannel, ReleasablePeers } from '../../../src/base/peer.ts'
import { CHANNELS_KEPT, releaseSpareChannels } from '../../../src/network/spare-channels.ts'
import { SimulatedRandom } from '../../../src/testing/index.ts'

interface Options {
  role?: NodeRole
  dialled?: boolean
  /** Calls have gone over it. */
  isUsed?: boolean
}

function setUp(groups: readonly (Options & { count: number })[]) {
  const used = new Set<PeerChannel>()
  const channels = groups.flatMap(({ count, role = 'worker', dialled = true, isUsed }, group) =>
    Array.from({ length: count }, (_, i) => {
      const channel = { peer: { nodeId: `${group}-${i}`, role }, dialled } as unknown as PeerChannel
      if (isUsed) used.add(channel)
      return channel
    }),
  )
  const released: string[] = []
  const peers: Pick<ReleasablePeers, 'list' | 'release'> = {
    list: () => channels,
    release(channel) {
      if (used.has(channel)) return false
      released.push(channel.peer.nodeId)
      return true
    },
  }
  const open = (seed = 1): string[] => {
    releaseSpareChannels(peers, new SimulatedRandom(seed), channels.at(-1) as PeerChannel)
    return released
  }
  return { open, last: channels.at(-1)?.peer.nodeId }
}

test('as many channels as are kept are left alone', () => {
  const { open } = setUp([{ count: CHANNELS_KEPT - 1 }, { count: 1, dialled: false }])
  assert.deepEqual(open(), [])
})

test('the surplus is released, by chance, and never the one that was just opened', () => {
  const first = new Set<string>()
  for (let seed = 1; seed <= 50; seed++) {
    const { open, last } = setUp([{ count: 10, dialled: false }, { count: CHANNELS_KEPT - 8 }])
    const released = open(seed)
    assert.equal(released.length, 2)
    assert.ok(!released.includes(last as string))
    first.add(released[0] as string)
  }
  assert.ok(first.size > 20)
})

test('channels that calls use, those to coordinators and those that the peer opened stay', () => {
  const { open } = setUp([
    { count: 40, dialled: false },
    { count: 20, role: 'coordinator' },
    { count: 20, isUsed: true },
    { count: 3 },
    { count: 1 },
  ])
  assert.deepEqual(open().toSorted(), ['3-0', '3-1', '3-2'])
})

test('a node that nobody has dialled releases nothing: it may be that it can only dial out', () => {
  const { open } = setUp([{ count: CHANNELS_KEPT * 3 }])
  assert.deepEqual(open(), [])
})
