import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isTooDeep } from '../../../../src/service/jsonrpc/json-guard.ts'

/** As one would do it who has the time. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

test('what nests deeper than allowed is found, whatever is in its strings and names', () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', '}', 'a') })
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'medium' },
      text,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(text, tie('tree'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(tree, fc.integer({ min: 0, max: 5 }), (value, depthMax) => {
      assert.equal(isTooDeep(JSON.stringify(value), depthMax), depthOf(value) > depthMax)
    }),
    { numRuns: 2_000 },
  )
})

test('a string that never ends, and one of backslashes only, are read to their end', () => {
  assert.equal(isTooDeep(`${'['.repeat(40)}"${'\\'.repeat(100_001)}`, 50), false)
  assert.equal(isTooDeep(`["${'\\\\'.repeat(50_000)}",${'['.repeat(40)}`, 40), true)
})
