import assert from 'node:assert/strict'
import { test } from 'node:test'
import { within } from '../../../src/cache/within.ts'
import { ManualClock } from './manual-clock.ts'

test('an answer in time is handed on and leaves no timer behind', async () => {
  const clock = new ManualClock()
  assert.equal(await within(clock, 100, Promise.resolve(3)), 3)
  await assert.rejects(within(clock, 100, Promise.reject(new RangeError('no'))), RangeError)
  assert.equal(clock.pending, 0)
})

test('no answer in time is an error that says so', async () => {
  const clock = new ManualClock()
  const waiting = within(clock, 100, new Promise(() => {}))
  clock.advance(100)
  await assert.rejects(waiting, /no answer within 100 ms/)
  assert.equal(clock.pending, 0)
})

test('an answer that came during a stall of this process is not overdue', async () => {
  const clock = new ManualClock()
  const { promise, resolve } = Promise.withResolvers<number>()
  const waiting = within(clock, 100, promise)
  // The stall: the first half is over before the answer could be read, the second has only begun.
  clock.advance(50)
  resolve(4)
  assert.equal(await waiting, 4)
})
