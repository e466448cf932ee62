import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastQueue, retransmitLimit } from '../../../src/network/swim/broadcast-queue.ts'
import type { Rumour } from '../../../src/network/swim/message.ts'

const alive = (nodeId: string, incarnation = 1): Rumour => ({ type: 'alive', nodeId, incarnation, recordVersion: 1 })
const ids = (rumours: readonly Rumour[]): string[] => rumours.map((rumour) => rumour.nodeId)

test('the number of transmissions grows with the logarithm of the cluster', () => {
  assert.deepEqual(
    [1, 9, 10, 99, 100, 999].map((n) => retransmitLimit(4, n)),
    [4, 4, 8, 8, 12, 12],
  )
})

test('a rumour leaves after its last transmission', () => {
  const queue = new BroadcastQueue(10)
  queue.enqueue(alive('a'), 20)
  assert.deepEqual(ids(queue.take(100, 2)), ['a'])
  assert.deepEqual(ids(queue.take(100, 2)), ['a'])
  assert.deepEqual(ids(queue.take(100, 2)), [])
  assert.equal(queue.size, 0)
})

test('the least often sent go first, the newest of those before older ones', () => {
  const queue = new BroadcastQueue(10)
  queue.enqueue(alive('a'), 40)
  queue.take(40, 9)
  queue.enqueue(alive('b'), 40)
  queue.enqueue(alive('c'), 40)
  assert.deepEqual(ids(queue.take(80, 9)), ['c', 'b'])
})

test('a newer rumour of a member replaces the waiting one and starts anew', () => {
  const queue = new BroadcastQueue(10)
  queue.enqueue(alive('a', 1), 20)
  queue.take(100, 2)
  queue.enqueue(alive('a', 2), 20)
  assert.equal(queue.size, 1)
  assert.deepEqual(
    [queue.take(100, 2), queue.take(100, 2)].flat().map((r) => r.incarnation),
    [2, 2],
  )
})

test('a rumour that does not fit is passed over, not lost', () => {
  const queue = new BroadcastQueue(10)
  queue.enqueue(alive('small'), 30)
  queue.enqueue(alive('large'), 90)
  assert.deepEqual(ids(queue.take(50, 4)), ['small'])
  assert.deepEqual(ids(queue.take(90, 4)), ['large'])
})

test('a full queue drops the most often sent rumour and counts it', () => {
  const queue = new BroadcastQueue(2)
  queue.enqueue(alive('a'), 20)
  queue.take(100, 9)
  queue.enqueue(alive('b'), 20)
  queue.enqueue(alive('c'), 20)
  assert.equal(queue.dropped, 1)
  assert.deepEqual(ids(queue.take(100, 9)), ['c', 'b'])
})
