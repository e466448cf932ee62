import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/logs.ts')

test('the bench of log lines runs, and no line is lost', async () => {
  const small = '--seconds 1 --rates 200 --flood 2000 --flood-seconds 1 --workers 1 --search 4000'.split(' ')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  const results = stdout.split('\n').filter((line) => line.includes(' lines/s for '))
  assert.equal(results.length, 2, stdout)
  for (const line of results) assert.match(line, /, 0 lost$/)
  assert.match(stdout, /a rare number: /)
})
