import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TURN_BYTES, TurnShare } from '../../../src/transport/turn-share.ts'

test('a share is used up by bytes, comes back whole with the next turn, and then calls who waited', () => {
  const turns: (() => void)[] = []
  const share = new TurnShare((callback) => turns.push(callback))
  const renewed: string[] = []
  assert.equal(share.take(TURN_BYTES - 1), true)
  assert.equal(share.take(1), false)
  share.whenRenewed(() => renewed.push('a'))
  assert.equal(share.take(1), false)
  share.whenRenewed(() => renewed.push('b'))
  assert.deepEqual([turns.length, renewed], [1, []])
  turns.shift()?.()
  assert.deepEqual([turns.length, renewed], [0, ['a', 'b']])
  assert.equal(share.take(TURN_BYTES - 1), true)
})

test('who waits again right away waits for one more turn', () => {
  const turns: (() => void)[] = []
  const share = new TurnShare((callback) => turns.push(callback))
  let count = 0
  const readOn = (): void => {
    if (++count < 3 && !share.take(TURN_BYTES)) share.whenRenewed(readOn)
  }
  readOn()
  assert.equal(count, 1)
  for (const expected of [2, 3]) {
    turns.shift()?.()
    assert.equal(count, expected)
  }
  assert.equal(turns.length, 0)
})
