import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { P2P, p2p } from './support/node-process.ts'

const dist = resolve(import.meta.dirname, '../../dist')

/** What esbuild makes of a CommonJS package that is loaded by `import()`: `const { name } = await import(…)` would be undefined. */
const ONLY_DEFAULT = /export default require_\w+\(\);?\s*$/

test('packages that are loaded when they are first needed give their names in the built program too', async (t) => {
  const chunks = readdirSync(join(dist, 'chunks'))
  assert.ok(chunks.length > 10, 'the program is built in chunks')
  for (const name of chunks) assert.doesNotMatch(readFileSync(join(dist, 'chunks', name), 'utf8'), ONLY_DEFAULT, name)

  const directory = mkdtempSync(join(tmpdir(), 'p2p-built-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const { code, stdout, stderr } = await p2p(['config', 'keys', '--output', 'yaml'], { cwd: directory, command: P2P })
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^- key: node_id$/m)
})

test('no chunk is kept in memory at twice its size because of one character', () => {
  for (const name of readdirSync(join(dist, 'chunks'))) {
    const text = readFileSync(join(dist, 'chunks', name), 'utf8')
    // V8 keeps a text with anything beyond Latin-1 at two bytes a character; esbuild escapes all but regular expressions.
    const wide = /[\u0100-\uffff]/.exec(text)
    assert.equal(
      wide && text.slice(wide.index - 40, wide.index + 10),
      null,
      `${name}: write it as \\uXXXX in the source`,
    )
  }
})
