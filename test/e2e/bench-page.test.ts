import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { isLeftOut } from './support/left-out.ts'

const BENCH = resolve(import.meta.dirname, '../../bench/page.ts')

test('the bench of the page runs, and every line is shown', { skip: isLeftOut('chromium') }, async () => {
  const small = '--rounds 1 --rates 200 --seconds 1'.split(' ')
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  assert.match(stdout, /^empty cache: state shown after \d+ ms/m)
  assert.match(stdout, /^first load: \d+ files, \d+ kB with gzip$/m)
  assert.match(stdout, /: 200 of 200 lines shown; /)
})
