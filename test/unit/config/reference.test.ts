import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { describeKeys } from '../../../src/config/index.ts'
import { REMOVED_KEYS } from '../../../src/config/removed-keys.ts'
import { referencePage } from './reference-page.ts'

test('docs/configuration.md lists the keys as the schema has them', () => {
  const { written, expected } = referencePage()
  assert.equal(written, expected, 'write it anew: node --conditions=source test/unit/config/reference-page.ts')
})

test('every key says what it takes, what it is without, and what it does', () => {
  for (const { key, value, default: fallback, description } of describeKeys()) {
    assert.ok(value.length > 2 && fallback.length > 0, key)
    assert.match(description, /^[A-Z`].*[.`]$/, key)
    assert.ok(!Object.hasOwn(REMOVED_KEYS, key), `${key} is both there and removed`)
  }
})

test('the keys of the README are all there', () => {
  const keys = new Set<string>(describeKeys().map(({ key }) => key))
  for (const name of ['coordinator', 'worker']) {
    const text = readFileSync(resolve(import.meta.dirname, `../../../config/${name}.yaml`), 'utf8')
    for (const [, key] of text.matchAll(/^(\w+):/gm)) assert.ok(keys.has(key as string), `${key}`)
  }
  assert.ok(keys.has('max_log_entries'), 'named in the README under Troubleshooting')
})
