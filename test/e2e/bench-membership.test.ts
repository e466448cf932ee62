import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runHostsBench } from '../../bench/membership-hosts.ts'
import { runQuietBench } from '../../bench/membership-quiet.ts'
import { runRealBench } from '../../bench/membership-real.ts'
import { isSerfInstalled } from '../../bench/real-cluster/serf-cluster.ts'
import { isLeftOut } from './support/left-out.ts'

test('the benchmark of real nodes runs, beside serf where it is installed', async (t) => {
  const isBesideSerf = isSerfInstalled()
  if (!isBesideSerf) t.diagnostic('LEFT OUT: the comparison with serf (Debian package "serf")')
  const rows = await runRealBench({ nodes: 3, rounds: 1, quietMs: 1_000, calmMs: 0, settleMs: 0, isBesideSerf })
  assert.deepEqual(
    rows.map(({ label }) => label),
    isBesideSerf ? ['P2P Core', 'serf'] : ['P2P Core'],
  )
  for (const row of rows) {
    for (const times of [row.killedMs, row.silentMs, row.backMs, row.joinedMs, row.changedMs])
      assert.equal(times.length, 1)
    assert.equal(row.falseDeaths, 0)
    assert.ok(row.residentMb > 1 && row.cpuPercent >= 0)
  }
  assert.ok((rows[0]?.messageBytesPerSecond ?? 0) > 0)
})

test('the benchmark of quiet nodes runs, beside serf where it is installed', async () => {
  const isBesideSerf = isSerfInstalled()
  const rows = await runQuietBench({ nodes: 3, processes: 2, calmMs: 0, quietMs: 1_500, isBesideSerf })
  assert.deepEqual(
    rows.map(({ label, nodes }) => `${label} ${nodes}`),
    isBesideSerf ? ['P2P Core 3', 'serf 3'] : ['P2P Core 3'],
  )
  const { own } = rows[0] ?? {}
  assert.equal(own?.channels, 2)
  assert.ok((own?.framesPerSecond ?? 0) > 0 && (own?.messageBytesPerSecond ?? 0) > 0)
})

test('the benchmark of hosts runs', {
  skip: isLeftOut('network namespaces') && 'no network namespaces here',
}, async () => {
  const result = await runHostsBench({ hosts: 3, partitionMs: 1_000, lossMs: 2_000, lossPercent: 20 })
  assert.equal(result.cutGapsMs.length, 1)
  assert.ok(result.returnMs > 0 && result.healMs >= 0)
  assert.ok(result.calls > 0)
  assert.equal(result.falseDeaths, 0)
})
