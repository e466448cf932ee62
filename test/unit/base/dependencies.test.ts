import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

test('docs/dependencies.md has a line for each dependency, with its licence, and for nothing else', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const rows = [...read('docs/dependencies.md').matchAll(/^\| ([@a-z][^ |]*) \|.*\| ([^|]+) \|$/gm)]
  const documented = Object.fromEntries(rows.map((row) => [row[1], row[2]]))
  const actual = Object.fromEntries(
    Object.keys({ ...dependencies, ...devDependencies }).map((name) => [
      name,
      (JSON.parse(read(`node_modules/${name}/package.json`)) as { license: string }).license,
    ]),
  )
  assert.deepEqual(documented, actual)
})
