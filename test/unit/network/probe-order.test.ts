import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProbeOrder } from '../../../src/network/swim/probe-order.ts'
import { SimulatedRandom } from '../../../src/testing/index.ts'

const always = (): boolean => true

test('every member comes once a round, in an order that changes', () => {
  const order = new ProbeOrder(new SimulatedRandom(1))
  const living = (): string[] => ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const rounds = Array.from({ length: 3 }, () => living().map(() => order.next(living, always)))
  for (const round of rounds) assert.deepEqual(round.toSorted(), living())
  assert.notDeepEqual(rounds[0], rounds[1])
})

test('a new member is probed in the running round', () => {
  const order = new ProbeOrder(new SimulatedRandom(2))
  const living = ['a', 'b', 'c']
  const first = order.next(() => [...living], always)
  order.insert('new')
  const rest = Array.from({ length: 3 }, () => order.next(() => [...living], always))
  assert.deepEqual([first, ...rest].toSorted(), ['a', 'b', 'c', 'new'])
})

test('with nobody to probe there is no target', () => {
  const order = new ProbeOrder(new SimulatedRandom(3))
  assert.equal(
    order.next(() => [], always),
    undefined,
  )
  assert.equal(
    order.next(
      () => ['a'],
      () => false,
    ),
    undefined,
  )
})
