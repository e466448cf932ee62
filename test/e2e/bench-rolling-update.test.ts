import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchRollingUpdate } from '../../bench/rolling-update.ts'

test('no call fails while the called service and its caller are updated', { timeout: 180_000 }, async () => {
  const { calls, failures, answers } = await benchRollingUpdate({ callsPerSecond: 100, updates: 3 })
  assert.deepEqual([...failures], [])
  assert.ok(calls > 0)
  assert.equal(
    answers.values().reduce((sum, count) => sum + count, 0),
    calls,
  )
  assert.ok(answers.has('desk 1.0.0, shop 1.0.0'))
  assert.ok([...answers.keys()].some((versions) => versions.startsWith('desk 1.0.2')))
})
