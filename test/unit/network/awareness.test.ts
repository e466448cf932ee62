import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Awareness } from '../../../src/network/swim/awareness.ts'

test('local health stretches timeouts by its score', () => {
  const awareness = new Awareness(8)
  assert.equal(awareness.scaleTimeout(1_000), 1_000)
  awareness.applyDelta(2)
  assert.equal(awareness.scaleTimeout(1_000), 3_000)
})

test('local health stays between 0 and its maximum', () => {
  const awareness = new Awareness(8)
  awareness.applyDelta(-1)
  assert.equal(awareness.score, 0)
  awareness.applyDelta(100)
  assert.equal(awareness.score, 7)
})
