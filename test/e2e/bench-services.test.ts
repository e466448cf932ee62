import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchServices } from '../../bench/services.ts'

test('the benchmark of services calls, streams and kills in every place they run', { timeout: 120_000 }, async () => {
  const result = await benchServices({ rounds: 1, secondsPerRound: 0.02, streamItems: 20 })
  assert.equal(new Set(result.calls.map(({ name, inFlight }) => `${name} ${inFlight}`)).size, result.calls.length)
  assert.deepEqual(
    [...new Set(result.calls.map(({ name }) => name.slice(0, 3)))],
    ['dir', '(a)', '(b)', '(c)', '(d)', '(e)', '(f)'],
  )
  for (const { name, rates, p99Ms } of result.calls) {
    assert.ok((rates[0] as number) > 0, name)
    assert.equal(p99Ms.length, 1, name)
  }
  for (const { name, megabytesPerSecond } of result.streams) assert.ok((megabytesPerSecond[0] as number) > 0, name)
  assert.ok((result.crashes[0]?.crashMs as number) > 0)
})
