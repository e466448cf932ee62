import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFaultsBench } from '../../bench/membership-faults.ts'
import { runMembershipBench } from '../../bench/membership.ts'

test('the membership benchmark runs, and a quiet node sends less than 3 kB/s', async () => {
  const rows = await runMembershipBench({ sizes: [3], lossRatios: [0, 0.1], seeds: 1, watchMs: 60_000, deaths: 1 })
  assert.equal(rows.length, 2)
  for (const row of rows) {
    assert.equal(row.falseDeaths, 0)
    assert.equal(row.killedMs.length, 2)
    assert.equal(row.vanishedAllMs.length, 1)
    assert.ok(row.bytesPerSecond > 10 && row.bytesPerSecond < 3_000)
    assert.ok(row.channels >= 1.5 && row.channels <= 2.5)
  }
})

test('the benchmark of faults runs, and nothing breaks in it', async () => {
  const { equalMs, faults, broken } = await runFaultsBench({ firstSeed: 1, seeds: 2, nodes: 5, faultsMs: 60_000 })
  assert.deepEqual([...broken], [])
  assert.equal(equalMs.length, 2)
  assert.ok(faults > 4)
})
