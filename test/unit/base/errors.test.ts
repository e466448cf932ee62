import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ERROR_CODES, messageOf, StorageError } from '../../../src/base/errors.ts'
import { VERSION } from '../../../src/base/version.ts'

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')

test('docs/errors.md has exactly the codes of the list, with their numbers', () => {
  const documented = new Map<string, string>()
  for (const row of page.matchAll(/^\| (P2P_[A-Z0-9_]+) \| (-?\d+, \d+) \| (yes|no) \|/gm)) {
    assert.ok(!documented.has(row[1] as string), `${row[1]} has two rows`)
    documented.set(row[1] as string, `${row[2]}, ${row[3]}`)
  }
  const listed = Object.entries(ERROR_CODES).map(([code, facts]) => [
    code,
    `${facts.rpc}, ${facts.http}, ${facts.retryable ? 'yes' : 'no'}`,
  ])
  assert.deepEqual(Object.fromEntries(documented), Object.fromEntries(listed))
})

test('every code of the list is used', () => {
  const root = new URL('../../../src/', import.meta.url)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const sources = files
    .filter((name) => !name.endsWith('errors.ts'))
    .map((name) => readFileSync(new URL(name, root), 'utf8'))
  const unused = Object.keys(ERROR_CODES).filter((code) => !sources.some((text) => text.includes(`'${code}'`)))
  assert.deepEqual(unused, [])
})

test('our JSON-RPC numbers lie in the range the specification leaves to servers', () => {
  for (const [code, { rpc }] of Object.entries(ERROR_CODES)) {
    const isReserved = [-32700, -32600, -32601, -32602, -32603].includes(rpc)
    assert.ok(isReserved || (rpc <= -32000 && rpc >= -32099), `${code}: ${rpc}`)
  }
})

test('an error keeps its code and facts; a message of many errors names them all', () => {
  const error = new StorageError('P2P_STORAGE_FULL', 'No space left on /data')
  assert.equal(error.facts.http, 507)
  assert.equal(messageOf(new AggregateError([error, new Error('and this')])), 'No space left on /data; and this')
  assert.equal(messageOf('plain'), 'plain')
})

test('the version is that of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  assert.equal(VERSION, manifest.version)
})
