import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CacheError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/log.ts'
import { createCache } from '../../../src/cache/index.ts'
import { describeRedisUrl } from '../../../src/cache/redis-url.ts'
import { ManualClock } from './manual-clock.ts'

test('a Redis URL is described without its credentials', () => {
  assert.equal(describeRedisUrl('redis://localhost:6379'), 'localhost:6379/0')
  assert.equal(describeRedisUrl('redis://localhost'), 'localhost:6379/0')
  assert.equal(describeRedisUrl('rediss://user:geheim@cache.example:7000/3'), 'cache.example:7000/3')
  assert.equal(describeRedisUrl('redis://:p%40ss@[::1]:7000/'), '[::1]:7000/0')
})

test('a wrong Redis URL is refused by code before anything is opened, without repeating it', () => {
  const wrong = [
    '',
    'localhost:6379',
    'geheim',
    'http://u:geheim@localhost',
    'geheim:u@host',
    'redis://',
    'redis://u:geheim@',
    'redis://u:geheim@host:99999',
    'redis://u:geheim@host/zero',
    'redis://u:geheim@host/1/2',
    'redis://u:geheim@host/1?x=geheim',
    'redis://u:geheim%@host',
    'unix:///tmp/redis.sock',
  ]
  for (const redisUrl of wrong) {
    assert.throws(
      () => createCache({ clock: new ManualClock(), log: silentLogger }, { redisUrl }),
      (error: unknown) => {
        assert.ok(error instanceof CacheError, redisUrl)
        assert.equal(error.code, 'P2P_CACHE_URL_INVALID')
        assert.doesNotMatch(JSON.stringify({ message: error.message, details: error.details }), /geheim/)
        return true
      },
    )
  }
})
