import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renewalTimeMs } from '../../../src/pki/renewal-schedule.ts'

const DAY_MS = 86_400_000

test('a certificate of 90 days or more is renewed 30 to 33 days before its end', () => {
  for (const lifeMs of [90 * DAY_MS, 365 * DAY_MS]) {
    const validity = { notBeforeMs: 0, notAfterMs: lifeMs }
    assert.equal(lifeMs - renewalTimeMs(validity, 0), 30 * DAY_MS)
    assert.equal(lifeMs - renewalTimeMs(validity, 1), 33 * DAY_MS)
  }
})

test('a shorter one is renewed at two thirds of its life, or a little before', () => {
  const validity = { notBeforeMs: 0, notAfterMs: 90_000 }
  assert.equal(renewalTimeMs(validity, 0), 60_000)
  assert.equal(renewalTimeMs(validity, 1), 57_000)
  assert.equal(renewalTimeMs({ notBeforeMs: 0, notAfterMs: 89 * DAY_MS }, 0), (89 * DAY_MS * 2) / 3)
})
