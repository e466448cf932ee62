import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Slots } from '../../../../src/deploy/artifacts/slots.ts'

const NEVER = new AbortController().signal

test('so many run at once, and the others begin in the order in which they came', async () => {
  const slots = new Slots(2)
  const begun: number[] = []
  const ends = [0, 1, 2, 3].map(() => Promise.withResolvers<void>())
  const runs = ends.map(({ promise }, i) =>
    slots.run(NEVER, () => {
      begun.push(i)
      return promise
    }),
  )
  assert.deepEqual(begun, [0, 1])
  ends[1]?.resolve()
  await runs[1]
  await new Promise(setImmediate)
  assert.deepEqual(begun, [0, 1, 2])
  for (const { resolve } of ends) resolve()
  await Promise.all(runs)
  assert.deepEqual(begun, [0, 1, 2, 3])
})

test('whoever is given a slot as he gives up passes it on', async () => {
  const slots = new Slots(1)
  const first = Promise.withResolvers<void>()
  const running = slots.run(NEVER, () => first.promise)
  const impatient = new AbortController()
  const waiting = slots.run(impatient.signal, async () => assert.fail('it was given up'))
  first.resolve()
  impatient.abort(new Error('enough'))
  await running
  await assert.rejects(waiting, /enough/)
  let hasRun = false
  void slots.run(NEVER, async () => void (hasRun = true))
  await new Promise(setImmediate)
  assert.ok(hasRun)
})

test('a failure frees the slot', async () => {
  const slots = new Slots(1)
  await assert.rejects(
    slots.run(NEVER, () => Promise.reject(new Error('broken'))),
    /broken/,
  )
  assert.equal(await slots.run(NEVER, async () => 7), 7)
})
