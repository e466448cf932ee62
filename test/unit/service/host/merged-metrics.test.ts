import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergedMetrics } from '../../../../src/service/host/merged-metrics.ts'

test('what several instances measured is added up', () => {
  const a = {
    counters: { calls: 2 },
    gauges: { open: 1 },
    timers: { ask: { count: 1, avg_ms: 10, min_ms: 10, max_ms: 10 } },
  }
  const b = {
    counters: { calls: 3, errors: 1 },
    gauges: { open: 4 },
    timers: { ask: { count: 3, avg_ms: 2, min_ms: 1, max_ms: 3 }, tell: { count: 1, avg_ms: 5, min_ms: 5, max_ms: 5 } },
  }
  assert.deepEqual(mergedMetrics([a, b]), {
    counters: { calls: 5, errors: 1 },
    gauges: { open: 5 },
    timers: { ask: { count: 4, avg_ms: 4, min_ms: 1, max_ms: 10 }, tell: b.timers.tell },
  })
  assert.equal(mergedMetrics([a]), a)
  assert.equal(mergedMetrics([]), undefined)
})

test('any name is only a name, and many instances have no more of them than one', () => {
  const odd = { counters: JSON.parse('{"constructor": 1, "__proto__": 2}'), gauges: {}, timers: {} }
  assert.deepEqual(Object.entries(mergedMetrics([odd, odd])?.counters ?? {}), [
    ['constructor', 2],
    ['__proto__', 4],
  ])
  const many = [0, 1, 2].map((instance) => {
    const names = Array.from({ length: 256 }, (_, index) => [`i${instance}-${index}`, 1])
    return { counters: Object.fromEntries(names), gauges: {}, timers: {} }
  })
  assert.equal(Object.keys(mergedMetrics(many)?.counters ?? {}).length, 257)
})
