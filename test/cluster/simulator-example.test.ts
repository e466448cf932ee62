import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')
const EXAMPLE = 'examples/simulation/ledger.test.ts'

test('the example of docs/simulator.md is the one in the examples, and it passes', () => {
  const [, shown] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs/simulator.md'), 'utf8')) ?? []
  assert.equal(shown, readFileSync(join(root, EXAMPLE), 'utf8'))
  const { status, stdout } = spawnSync(process.execPath, ['--conditions=source', '--test', EXAMPLE], {
    cwd: root,
    // With the variable the child would report to this process, as if it were a part of it.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    encoding: 'utf8',
  })
  assert.equal(status, 0, stdout)
})
