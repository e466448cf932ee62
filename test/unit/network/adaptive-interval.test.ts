import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdaptiveInterval } from '../../../src/network/swim/adaptive-interval.ts'

test('the interval grows while nothing changes, up to its maximum, and says why', () => {
  const interval = new AdaptiveInterval(5_000, 30_000)
  assert.deepEqual(
    Array.from({ length: 7 }, () => interval.onExchange()),
    [5_000, 7_500, 11_250, 16_875, 25_312.5, 30_000, 30_000],
  )
  assert.equal(interval.reason, 'longest: nothing changed for 6 exchanges')
})

test('a change brings the shortest interval back', () => {
  const interval = new AdaptiveInterval(5_000, 30_000)
  interval.onExchange()
  interval.onExchange()
  assert.match(interval.reason, /^growing: nothing changed for 1 exchange$/)
  assert.equal(interval.onChange(), true)
  assert.equal(interval.onChange(), false)
  assert.match(interval.reason, /^shortest/)
  assert.equal(interval.onExchange(), 5_000)
  assert.equal(interval.onExchange(), 7_500)
})

test('a maximum below the minimum means a fixed interval', () => {
  const interval = new AdaptiveInterval(5_000, 1_000)
  interval.onExchange()
  assert.equal(interval.onExchange(), 5_000)
})
