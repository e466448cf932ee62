import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const BENCH = resolve(import.meta.dirname, '../../bench/sockets.ts')

for (const [what, more] of [
  ['of a coordinator', []],
  ['of a bare server', ['--bare']],
] as const) {
  test(`the bench of many dashboards opens all ${what}, and each gets every line`, async () => {
    const small = ['--sockets', '150', '--lines', '2', ...more]
    const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=source', BENCH, ...small])
    assert.match(stdout, /^150 of 150 pages open /m)
    assert.match(stdout, /^a line to all pages: .*\(n=300\)$/m)
  })
}
