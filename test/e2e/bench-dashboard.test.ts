import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/dashboard.ts')

test('the bench of dashboards runs, and every line comes to every page', async () => {
  const small = '--seconds 1 --rates 200 --sockets 1,5'.split(' ')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  const results = stdout.split('\n').filter((line) => line.includes(' pages, '))
  assert.equal(results.length, 2, stdout)
  for (const line of results) assert.match(line, /n=[1-9]\d* of [1-9]\d* lines\); (\d+) of \1 pages have all, 0 cut$/)
})
