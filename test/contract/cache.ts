import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Cache, type JsonValue, VALUE_BYTES_MAX } from '../../src/cache/index.ts'

/** A started cache, and what ends it. */
export interface OpenedCache {
  cache: Cache
  close(): Promise<void>
  /** Lets `ms` pass for the cache's entries: simulated, or really waited for. */
  pass(ms: number): Promise<void>
}

const MINUTE_MS = 60_000
const LONG = 'x'.repeat(10_000)

/** What every cache must do, whatever it keeps its values in. */
export function cacheContract(kind: string, open: () => Promise<OpenedCache>): void {
  const run = (title: string, body: (cache: Cache, pass: OpenedCache['pass']) => Promise<void>): void => {
    test(`${kind} cache: ${title}`, async () => {
      const opened = await open()
      try {
        await body(opened.cache, (ms) => opened.pass(ms))
      } finally {
        await opened.close()
      }
    })
  }

  run('a value that was set is there, again and again', async (cache) => {
    const values: JsonValue[] = [null, false, 0, '', 'ä\u0000\ud83d\ude00', [], [1, [2]], { a: { b: [null] } }]
    for (const [index, value] of values.entries()) await cache.set('values', String(index), value, MINUTE_MS)
    for (const [index, value] of values.entries()) {
      assert.deepEqual(await cache.get('values', String(index)), value)
      assert.deepEqual(await cache.get('values', String(index)), value)
    }
  })

  run('what was never set is not known, and a later value replaces an earlier one', async (cache) => {
    assert.equal(await cache.get('s', 'k'), undefined)
    await cache.set('s', 'k', 1, MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), 1)
    await cache.set('s', 'k', 2, MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), 2)
    await cache.delete('s', 'k')
    assert.equal(await cache.get('s', 'k'), undefined)
    await cache.delete('s', 'k')
  })

  run('values are copies: changing one given or got changes nothing inside', async (cache) => {
    const given = { list: [1] }
    await cache.set('s', 'k', given, MINUTE_MS)
    given.list.push(2)
    const got = (await cache.get('s', 'k')) as typeof given
    assert.deepEqual(got, { list: [1] })
    got.list.push(3)
    assert.deepEqual(await cache.get('s', 'k'), { list: [1] })
  })

  run('a value is gone when its time is over', async (cache, pass) => {
    await cache.set('s', 'short', 1, 40)
    await cache.set('s', 'long', 2, MINUTE_MS)
    await cache.get('s', 'short')
    await pass(41)
    assert.equal(await cache.get('s', 'short'), undefined)
    assert.equal(await cache.get('s', 'long'), 2)
  })

  run('scopes and keys never meet, whatever characters they hold', async (cache) => {
    const pairs: [string, string][] = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a', 'b%3Ac'],
      ['a', ''],
      ['', 'a'],
      ['*', 'k'],
      ['?', 'k'],
      ['[a]', 'k'],
      ['a', '\r\nFLUSHALL\r\n'],
      ['a', '\ud800'],
      ['a', '\ud801'],
      ['a', LONG],
      ['a', `${LONG}y`],
      [LONG, 'a'],
      ['__proto__', 'constructor'],
    ]
    for (const [index, [scope, key]] of pairs.entries()) await cache.set(scope, key, index, MINUTE_MS)
    for (const [index, [scope, key]] of pairs.entries()) assert.equal(await cache.get(scope, key), index)
  })

  run('clear forgets one scope and nothing else, even one named like a pattern', async (cache) => {
    const scopes = ['a', 'ab', 'a:b', '*', LONG]
    for (const scope of scopes) {
      for (const key of ['1', '2', '3']) await cache.set(scope, key, scope.length, MINUTE_MS)
    }
    for (const cleared of ['*', 'a', LONG]) {
      await cache.clear(cleared)
      scopes.splice(scopes.indexOf(cleared), 1)
      assert.equal(await cache.get(cleared, '2'), undefined)
      for (const scope of scopes) assert.equal(await cache.get(scope, '2'), scope.length)
    }
    await cache.clear('never used')
  })

  run('a value of 1 MiB is kept; a longer one is not, and its key no longer holds the old one', async (cache) => {
    const largest = 'x'.repeat(VALUE_BYTES_MAX - 2)
    await cache.set('s', 'k', largest, MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), largest)
    await cache.set('s', 'k', `${largest}y`, MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), undefined)
    const umlauts = 'ä'.repeat(VALUE_BYTES_MAX / 2)
    await cache.set('s', 'k', umlauts, MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), undefined, 'the limit counts bytes, not characters')
  })

  run('what is not JSON is refused and leaves the key as it was', async (cache) => {
    await cache.set('s', 'k', 1, MINUTE_MS)
    const cycle: { self?: JsonValue } = {}
    cycle.self = cycle as JsonValue
    await assert.rejects(cache.set('s', 'k', cycle as JsonValue, MINUTE_MS), TypeError)
    await assert.rejects(cache.set('s', 'k', 1n as unknown as JsonValue, MINUTE_MS), TypeError)
    assert.equal(await cache.get('s', 'k'), 1)
    for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await assert.rejects(cache.set('s', 'k', 1, ttlMs), /finite time above 0/)
    }
  })

  run('getOrCompute computes once for many callers at once, and not again', async (cache) => {
    let computed = 0
    const compute = async (): Promise<{ n: number }> => {
      computed++
      await new Promise((resolve) => setImmediate(resolve))
      return { n: computed }
    }
    const results = await Promise.all(
      Array.from({ length: 50 }, () => cache.getOrCompute('s', 'k', MINUTE_MS, compute)),
    )
    assert.equal(computed, 1)
    for (const result of results) assert.deepEqual(result, { n: 1 })
    assert.notEqual(results[0], results[1], 'callers do not share one object')
    assert.deepEqual(await cache.getOrCompute('s', 'k', MINUTE_MS, compute), { n: 1 })
    assert.deepEqual(await cache.get('s', 'k'), { n: 1 })
    assert.deepEqual(await cache.getOrCompute('s', 'other', MINUTE_MS, compute), { n: 2 })
  })

  run('a failed computation reaches every caller and is not kept', async (cache) => {
    const { promise: gate, resolve: release } = Promise.withResolvers<void>()
    const fail = async (): Promise<number> => {
      await gate
      throw new RangeError('no luck')
    }
    const calls = [1, 2, 3].map(() => cache.getOrCompute('s', 'k', MINUTE_MS, fail))
    release()
    for (const outcome of await Promise.allSettled(calls)) {
      assert.equal(outcome.status, 'rejected')
      assert.ok((outcome as PromiseRejectedResult).reason instanceof RangeError)
    }
    assert.equal(await cache.get('s', 'k'), undefined)
    assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, () => 7), 7)
    await assert.rejects(
      cache.getOrCompute('s', 'sync', MINUTE_MS, () => {
        throw new RangeError('at once')
      }),
      RangeError,
    )
  })

  run('undefined and what is too large are handed on but not kept', async (cache) => {
    let computed = 0
    const nothing = (): undefined => {
      computed++
    }
    assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, nothing), undefined)
    assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, nothing), undefined)
    assert.equal(computed, 2)
    const huge = 'x'.repeat(VALUE_BYTES_MAX)
    assert.equal(await cache.getOrCompute('s', 'huge', MINUTE_MS, () => huge), huge)
    assert.equal(await cache.get('s', 'huge'), undefined)
  })

  for (const forget of ['delete', 'clear', 'set'] as const) {
    run(`a computation under way at a ${forget} does not bring the old value back`, async (cache) => {
      const { promise: started, resolve: start } = Promise.withResolvers<void>()
      const { promise: gate, resolve: release } = Promise.withResolvers<string>()
      const waiting = cache.getOrCompute('s', 'k', MINUTE_MS, () => {
        start()
        return gate
      })
      await started
      if (forget === 'delete') await cache.delete('s', 'k')
      else if (forget === 'clear') await cache.clear('s')
      else await cache.set('s', 'k', 'new', MINUTE_MS)
      release('old')
      assert.equal(await waiting, 'old', 'who waited before gets what was true then')
      assert.equal(await cache.get('s', 'k'), forget === 'set' ? 'new' : undefined)
    })
  }

  run('a caller that gives up leaves the others their result', async (cache) => {
    const { promise: gate, resolve: release } = Promise.withResolvers<number>()
    let seen: AbortSignal | undefined
    const compute = (signal: AbortSignal): Promise<number> => {
      seen = signal
      return gate
    }
    const impatient = new AbortController()
    const first = cache.getOrCompute('s', 'k', MINUTE_MS, compute, impatient.signal)
    const second = cache.getOrCompute('s', 'k', MINUTE_MS, compute)
    impatient.abort(new RangeError('enough'))
    await assert.rejects(first, RangeError)
    release(5)
    assert.equal(await second, 5)
    assert.equal(seen?.aborted, false)
  })

  run('when all callers gave up the computation is aborted and a new call starts anew', async (cache) => {
    const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal>()
    const impatient = new AbortController()
    const call = cache.getOrCompute(
      's',
      'k',
      MINUTE_MS,
      (signal) => {
        start(signal)
        return new Promise<number>((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        })
      },
      impatient.signal,
    )
    const seen = await started
    impatient.abort(new RangeError('enough'))
    await assert.rejects(call, RangeError)
    assert.equal(seen.aborted, true)
    assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, () => 6), 6)
    await assert.rejects(
      cache.getOrCompute('s', 'k', MINUTE_MS, () => 7, AbortSignal.abort(new RangeError('before'))),
      RangeError,
    )
  })

  run('hits and misses are counted', async (cache) => {
    const before = cache.stats()
    await cache.get('s', 'k')
    await cache.set('s', 'k', 1, MINUTE_MS)
    await cache.get('s', 'k')
    await cache.get('s', 'k')
    const after = cache.stats()
    assert.equal(after.misses - before.misses, 1)
    assert.equal(after.hits - before.hits, 2)
    assert.equal(after.kind, kind)
  })
}
