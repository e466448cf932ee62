import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { benchVault, formatRow } from '../../../bench/vault.ts'

test('the benchmark of the vault runs, with real commits on a real disk', async () => {
  const rows = await benchVault({ rounds: 1, seconds: 0.05, directory: tmpdir() })
  assert.equal(rows.length, 3)
  for (const row of rows) assert.ok((row.commitsPerSecond[0] as number) > 0, formatRow(row))
})
