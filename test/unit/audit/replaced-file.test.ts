import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAuditTrail } from '../../../src/audit/index.ts'
import type { ControlStore } from '../../../src/base/control-store.ts'
import { silentLogger } from '../../../src/base/log.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { SimulatedDisk, SimulatedRandom } from '../../../src/testing/index.ts'
import { ManualClock } from '../pki/manual-clock.ts'
import { MemoryStore } from '../pki/memory-store.ts'

const FIRST = '/state/audit/audit-000001.log'

/** A trail of two files: the acts of `person`, as many and as long whoever it is. */
async function twoFiles(store: ControlStore, person: string) {
  const disk = new SimulatedDisk(new SimulatedRandom(1))
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const trail = createAuditTrail(
    { files: disk, store, clock, random: systemRandom, log: silentLogger },
    { directory: '/state/audit', fileBytesMax: 1_000 },
  )
  await trail.start(new AbortController().signal)
  while ((await disk.list('/state/audit')).length < 2) await trail.begin({ act: 'POST /api/tokens', who: person })
  return { disk, trail }
}

test('a file in whose place another sound one of the same key and numbers was put is found by the file after it', async () => {
  const store = new MemoryStore()
  const { disk, trail } = await twoFiles(store, 'person:ada')
  const key = await store.get('audit/key')
  assert.ok(key)
  const otherStore = new MemoryStore()
  await otherStore.transact({ operations: [{ type: 'put', key: key.key, value: key.value }] })
  const other = await twoFiles(otherStore, 'person:bob')
  const replacement = other.disk.contentOf(FIRST)
  assert.equal(replacement.byteLength, disk.contentOf(FIRST).byteLength)
  assert.deepEqual((await trail.verify()).problems, [])
  assert.deepEqual((await other.trail.verify()).problems, [])
  disk.overwrite(FIRST, replacement)
  const { problems, records } = await trail.verify()
  assert.equal(records, (await other.trail.verify()).records)
  assert.deepEqual(
    problems.map(({ file, line, problem }) => [file, line, /what came before record \d+ was changed/.test(problem)]),
    [['/state/audit/audit-000002.log', 1, true]],
  )
  await trail.stop()
  await other.trail.stop()
})
