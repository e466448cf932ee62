import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../../src/base/turns.ts'

test('one piece of work begins when the one before is over, also when that has failed', async () => {
  const turns = new Turns()
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = turns.run(async () => {
    order.push('first')
    await gate.promise
    throw new Error('broken')
  })
  const second = turns.run(async () => order.push('second'))
  await new Promise(setImmediate)
  assert.deepEqual(order, ['first'])
  gate.resolve()
  await assert.rejects(first, /broken/)
  assert.equal(await second, 2)
  await turns.settled
  assert.deepEqual(order, ['first', 'second'])
})

test('a failure is told to whoever asked, and settles all the same', async () => {
  const turns = new Turns()
  const failed = assert.rejects(
    turns.run(() => Promise.reject(new Error('broken'))),
    /broken/,
  )
  await turns.settled
  await failed
})
