import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ActiveTime } from '../../../src/network/swim/active-time.ts'

test('active time is monotonic time while the process keeps up', () => {
  const time = new ActiveTime(5_000)
  assert.deepEqual(time.advance(5_400, 5_400), { activeMs: 5_400, lateMs: 0 })
  assert.deepEqual(time.advance(5_450, 6_000), { activeMs: 5_450, lateMs: 0 })
  assert.deepEqual(time.advance(6_020, 6_000), { activeMs: 6_020, lateMs: 20 })
})

test('a stretch in which the process did not run does not pass, and a grace follows it', () => {
  const time = new ActiveTime(0)
  const { activeMs, lateMs } = time.advance(21_000, 1_000)
  assert.equal(lateMs, 20_000)
  assert.ok(activeMs < 1_000, 'what was due must wait until arrived answers were read')
  // The grace of 250 ms goes on from there.
  assert.equal(time.toMonotonic(1_000), 21_250)
  assert.equal(time.advance(21_250, 1_000).activeMs, 1_000)
})

test('active time never goes back', () => {
  const time = new ActiveTime(0)
  assert.equal(time.advance(900, 1_000).activeMs, 900)
  assert.equal(time.advance(1_100, 1_000).activeMs, 900)
  assert.equal(time.advance(1_100, 1_000).activeMs, 900)
})
