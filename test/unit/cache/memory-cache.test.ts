import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import { createCache } from '../../../src/cache/index.ts'
import { cacheContract } from '../../contract/cache.ts'
import { ManualClock } from './manual-clock.ts'

cacheContract('memory', async () => {
  const clock = new ManualClock()
  const cache = createCache({ clock, log: silentLogger }, {})
  await cache.start(new AbortController().signal)
  return { cache, close: () => cache.stop(), pass: async (ms) => clock.advance(ms) }
})

test('memory cache: the number of entries is bounded, the least recently used goes first', async () => {
  const cache = createCache({ clock: new ManualClock(), log: silentLogger }, { entriesMax: 3 })
  for (const key of ['a', 'b', 'c']) await cache.set('s', key, key, 1_000)
  await cache.get('s', 'a')
  await cache.set('s', 'd', 'd', 1_000)
  assert.equal(cache.stats().entries, 3)
  assert.equal(await cache.get('s', 'b'), undefined)
  for (const key of ['a', 'c', 'd']) assert.equal(await cache.get('s', key), key)
})

test('memory cache: the bytes held are bounded, addresses included', async () => {
  const cache = createCache({ clock: new ManualClock(), log: silentLogger }, { bytesMax: 10_000 })
  for (let index = 0; index < 100; index++) await cache.set('s', String(index), 'x'.repeat(1_000), 1_000)
  const { entries, bytes } = cache.stats()
  assert.equal(entries, 9)
  assert.ok(bytes > 9_000 && bytes <= 10_000, String(bytes))
  await cache.set('s', 'too large for all of it', 'x'.repeat(20_000), 1_000)
  assert.equal(await cache.get('s', 'too large for all of it'), undefined)
})

test('memory cache: what has expired is not counted as held', async () => {
  const clock = new ManualClock()
  const cache = createCache({ clock, log: silentLogger }, {})
  await cache.set('s', 'a', 1, 10)
  await cache.set('s', 'b', 1, 1_000)
  clock.advance(11)
  assert.equal(cache.stats().entries, 1)
  assert.equal(clock.pending, 0, 'expiry needs no timer')
})
