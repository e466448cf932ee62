import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/reports.ts')

test('the bench of reports runs, and every report is taken', async () => {
  const small = '--nodes 12 --seconds 5 --services 2 --pages 0,1'.split(' ')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  const results = stdout.split('\n').filter((line) => line.includes(' dashboards open, '))
  assert.equal(results.length, 2, stdout)
  for (const line of results) assert.match(line, /: [1-9]\d* reports, 0 failed, 12 nodes report;/)
})
