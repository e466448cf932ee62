import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairQueue } from '../../../src/service/calls/fair-queue.ts'

/** Things are written `owner` and a number. */
function queueOf(max: number, ...things: string[]): FairQueue<string> {
  const queue = new FairQueue<string>(max, (thing) => thing.charAt(0))
  for (const thing of things) queue.push(thing)
  return queue
}

function rest(queue: FairQueue<string>): string[] {
  const things: string[] = []
  for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) things.push(thing)
  return things
}

test('while there is room anybody may fill it, in order', () => {
  const queue = queueOf(4, 'a1', 'b1', 'a2', 'a3')
  assert.equal(queue.isFull, true)
  assert.deepEqual(rest(queue), ['a1', 'b1', 'a2', 'a3'])
})

test('when it is full, the last of whoever has most gives way to who has fewer', () => {
  const queue = queueOf(4, 'a1', 'a2', 'a3', 'a4')
  assert.deepEqual([queue.push('b1'), queue.push('c1')], ['a4', 'a3'])
  assert.deepEqual(rest(queue), ['a1', 'a2', 'b1', 'c1'])
})

test('nobody displaces who would then have fewer, and nobody displaces himself', () => {
  const queue = queueOf(4, 'a1', 'b1', 'a2', 'b2')
  assert.deepEqual([queue.push('a3'), queue.push('b3')], ['a3', 'b3'])
  assert.equal(queue.push('c1'), 'a2')
  assert.equal(queue.push('c2'), 'c2')
  assert.deepEqual(rest(queue), ['a1', 'b1', 'b2', 'c1'])
})

test('what was taken out, either way, counts for nobody any more', () => {
  const queue = queueOf(3, 'a1', 'a2', 'b1')
  assert.equal(queue.shift(), 'a1')
  assert.deepEqual(
    queue.takeOut((thing) => thing === 'a2'),
    ['a2'],
  )
  for (const thing of ['b2', 'b3']) assert.equal(queue.push(thing), undefined)
  assert.equal(queue.push('a3'), 'b3')
  assert.deepEqual(rest(queue), ['b1', 'b2', 'a3'])
})

test('one without room takes nothing', () => {
  assert.equal(queueOf(0).push('a1'), 'a1')
})
