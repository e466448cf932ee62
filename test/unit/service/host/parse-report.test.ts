import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReport } from '../../../../src/service/host/parse-report.ts'

const METHOD = {
  service: 'shop',
  name: 'lend',
  description: 'Lends',
  isPublic: true,
  timeoutMs: 30_000,
  cacheTtlMs: 0,
  requiredRole: 'operator',
}
const ready = (method: object): object => ({ type: 'ready', version: '1', description: '', methods: [method] })

test('a service that writes to its link itself cannot say what makes no sense', () => {
  assert.ok(parseReport(ready({ ...METHOD, rate: { perMinute: 60, burst: 1 }, callers: ['desk'] })))
  for (const wrong of [
    { name: 'a b' },
    { timeoutMs: 0 },
    { requiredRole: 'god' },
    { rate: { perMinute: -1, burst: 1 } },
    { concurrency: 0.5 },
    { isPublic: 'yes' },
  ]) {
    assert.equal(parseReport(ready({ ...METHOD, ...wrong })), undefined, JSON.stringify(wrong))
  }
  assert.equal(parseReport({ ...ready(METHOD), methods: Array.from({ length: 200 }, () => METHOD) }), undefined)
  for (const none of [undefined, null, 3, 'x', {}, { type: 'reboot' }, { type: 'health', health: 'superb' }]) {
    assert.equal(parseReport(none), undefined)
  }
})

test('a service that measures what is no number is alive all the same', () => {
  const pong = { type: 'pong', memoryBytes: 1, cpuMs: 2, metrics: { counters: {}, gauges: { odd: null }, timers: {} } }
  assert.deepEqual(parseReport(pong), { ...pong, metrics: { counters: {}, gauges: {}, timers: {} } })
})

test('a service that makes up names of metrics has no more of them than any other', () => {
  const counters = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`c${index}`, index]))
  const gauges = { ['g'.repeat(100_000)]: 1, fine: 2 }
  const pong = { type: 'pong', memoryBytes: 1, cpuMs: 2, metrics: { counters, gauges, timers: {} } }
  const report = parseReport(pong)
  assert.ok(report?.type === 'pong')
  assert.equal(Object.keys(report.metrics.counters).length, 257)
  assert.deepEqual(report.metrics.gauges, { fine: 2 })
})
