import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchStreams } from '../../bench/streams.ts'

test('the benchmark of streams reads every item, beside a bare TLS socket', { timeout: 60_000 }, async () => {
  const rows = await benchStreams({ rounds: 1, megabytes: 1 })
  assert.deepEqual(
    rows.map(({ name, unit }) => `${name}, ${unit}`),
    [
      'items of 64 KiB, MB/s',
      'items of 16 KiB, MB/s',
      'items of 1 KiB, MB/s',
      'JSON objects of 90 bytes, items/s',
      'bare TLS socket, MB/s',
    ],
  )
  for (const { name, rates } of rows) assert.ok((rates[0] as number) > 0, name)
})
