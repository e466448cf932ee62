import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/joins.ts')

test('the bench of joins runs, and every worker has a certificate of its own', { timeout: 60_000 }, async () => {
  const small = ['--workers', '5', '--handshakes', '5']
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
  assert.match(stdout, /^5 workers joined in /m)
  assert.match(stdout, /^serials: 5 different of 5$/m)
  assert.match(stdout, /^bare mutual TLS handshakes: \d+ a second/m)
})
