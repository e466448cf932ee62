import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchKills } from '../../bench/kills.ts'

test('after kills of workers and services at random exactly what is desired runs', {
  skip: process.platform !== 'linux',
  timeout: 240_000,
}, async () => {
  const { faults, settledMs, killedServices } = await benchKills({ kills: 12, seed: 4 })
  assert.deepEqual(faults, [])
  assert.notEqual(settledMs, undefined)
  assert.ok(killedServices > 0)
})
