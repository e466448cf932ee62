import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/revocation.ts')

test('the bench of revocations runs, and every node cuts and refuses', { timeout: 60_000 }, async () => {
  const small = ['--nodes', '2', '--rounds', '1']
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  assert.match(stdout, /^2 nodes, 1 revocations/m)
  assert.match(stdout, /^last node of a revocation: median \d/m)
  assert.match(stdout, /^new channels refused afterwards: 2 of 2$/m)
})
