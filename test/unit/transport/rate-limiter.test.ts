import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressPrefix, createRateLimiter } from '../../../src/transport/index.ts'
import { ManualClock } from './manual-clock.ts'

const RPC = { perMinute: 100, burst: 20 }

function takeMany(limiter: ReturnType<typeof createRateLimiter>, key: string, count: number): number {
  return Array.from({ length: count }, () => limiter.take(key)).filter(({ ok }) => ok).length
}

test('a burst passes at once and the next request is told when to come back', () => {
  const limiter = createRateLimiter({ clock: new ManualClock() }, RPC)
  assert.equal(takeMany(limiter, 'node:a', 50), 20)
  assert.deepEqual(limiter.take('node:a'), { ok: false, retryAfterMs: 600 })
})

test('a request that comes back after the told time passes, one that comes earlier does not', () => {
  const clock = new ManualClock()
  const limiter = createRateLimiter({ clock }, RPC)
  takeMany(limiter, 'node:a', 20)
  clock.advance(599)
  assert.deepEqual(limiter.take('node:a'), { ok: false, retryAfterMs: 1 })
  clock.advance(1)
  assert.deepEqual(limiter.take('node:a'), { ok: true })
  assert.deepEqual(limiter.take('node:a'), { ok: false, retryAfterMs: 600 })
})

test('over an hour of constant asking a caller gets its rate and no more', () => {
  const clock = new ManualClock()
  const limiter = createRateLimiter({ clock }, RPC)
  let passed = 0
  for (let second = 0; second < 3_600; second++) {
    passed += takeMany(limiter, 'node:a', 10)
    clock.advance(1_000)
  }
  assert.ok(Math.abs(passed - (60 * 100 + 20)) <= 2, String(passed))
})

test('a long pause gives back one burst, not more', () => {
  const clock = new ManualClock()
  const limiter = createRateLimiter({ clock }, RPC)
  takeMany(limiter, 'node:a', 20)
  clock.advance(86_400_000)
  assert.equal(takeMany(limiter, 'node:a', 100), 20)
})

test('callers do not use up each other’s tokens', () => {
  const limiter = createRateLimiter({ clock: new ManualClock() }, RPC)
  takeMany(limiter, 'node:a', 100)
  assert.equal(takeMany(limiter, 'node:b', 100), 20)
})

test('the table is bounded and forgets the caller not seen for longest', () => {
  const limiter = createRateLimiter({ clock: new ManualClock() }, { perMinute: 1, burst: 1, keysMax: 2 })
  assert.equal(limiter.take('a').ok, true)
  assert.equal(limiter.take('b').ok, true)
  assert.equal(limiter.take('a').ok, false)
  assert.equal(limiter.take('c').ok, true)
  assert.equal(limiter.take('a').ok, false, 'a was seen after b')
  assert.equal(limiter.take('b').ok, true, 'b was forgotten')
})

test('addresses of one /64 share a key, IPv4 addresses each have their own', () => {
  assert.equal(addressPrefix('2001:db8:1:2::1'), '2001:db8:1:2::/64')
  assert.equal(addressPrefix('2001:0db8:0001:0002:ffff:ffff:ffff:ffff'), '2001:db8:1:2::/64')
  assert.equal(addressPrefix('2001:db8::1'), '2001:db8:0:0::/64')
  assert.equal(addressPrefix('::1'), '0:0:0:0::/64')
  assert.equal(addressPrefix('fe80::1%eth0'), 'fe80:0:0:0::/64')
  assert.equal(addressPrefix('64:ff9b::192.0.2.1'), '64:ff9b:0:0::/64')
  assert.notEqual(addressPrefix('2001:db8:1:3::1'), addressPrefix('2001:db8:1:2::1'))
  assert.equal(addressPrefix('192.0.2.1'), '192.0.2.1')
  assert.equal(addressPrefix('::ffff:192.0.2.1'), '192.0.2.1')
})
