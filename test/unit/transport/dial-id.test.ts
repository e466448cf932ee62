import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDialId, isLaterDial, parseDialId } from '../../../src/transport/dial-id.ts'

const RUN = '0123456789abcdef'

test('a dial id is read back as written', () => {
  const dial = { instance: RUN, count: 42 }
  assert.deepEqual(parseDialId(formatDialId(dial)), dial)
})

test('a missing, repeated or malformed header is refused', () => {
  for (const header of [
    undefined,
    '',
    RUN,
    `${RUN}.`,
    `${RUN}.-1`,
    `${RUN}.1.2`,
    `x${RUN}.1`,
    `${RUN}.${'9'.repeat(16)}`,
  ])
    assert.equal(parseDialId(header), undefined, String(header))
  assert.equal(parseDialId([`${RUN}.1`, `${RUN}.2`]), undefined)
})

test('later is a higher count of the same run, or any other run', () => {
  const known = { instance: RUN, count: 5 }
  assert.equal(isLaterDial({ instance: RUN, count: 6 }, known), true)
  assert.equal(isLaterDial({ instance: RUN, count: 5 }, known), false)
  assert.equal(isLaterDial({ instance: RUN, count: 4 }, known), false)
  assert.equal(isLaterDial({ instance: 'fedcba9876543210', count: 1 }, known), true)
})
