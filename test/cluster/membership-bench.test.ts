import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runMembershipBench } from '../../bench/membership.ts'

test('the membership benchmark runs, and a quiet node sends less than 3 kB/s', async () => {
  const rows = await runMembershipBench({ sizes: [3], lossRatios: [0, 0.1], seeds: 1 })
  assert.equal(rows.length, 2)
  for (const row of rows) {
    assert.equal(row.falseDeaths, 0)
    assert.equal(row.killedMs.length, 2)
    assert.ok(row.bytesPerNodeAndSecond > 10 && row.bytesPerNodeAndSecond < 3_000)
  }
})
