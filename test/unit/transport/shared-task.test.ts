import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedTask } from '../../../src/transport/shared-task.ts'

function task() {
  const work = Promise.withResolvers<string>()
  let ended: AbortSignal | undefined
  const shared = new SharedTask((signal) => {
    ended = signal
    return work.promise
  })
  return { shared, work, ended: ended as unknown as AbortSignal }
}

test('all who join get the one result', async () => {
  const { shared, work } = task()
  const joined = [shared.join(), shared.join(new AbortController().signal)]
  work.resolve('done')
  assert.deepEqual(await Promise.all(joined), ['done', 'done'])
})

test('a caller that gives up does not disturb the others', async () => {
  const { shared, work, ended } = task()
  const impatient = new AbortController()
  const first = shared.join(impatient.signal)
  const second = shared.join()
  impatient.abort(new Error('gave up'))
  await assert.rejects(first, /gave up/)
  assert.equal(ended.aborted, false)
  work.resolve('done')
  assert.equal(await second, 'done')
})

test('the work is ended when the last caller gives up, and then nobody should join', async () => {
  const { shared, ended } = task()
  const controllers = [new AbortController(), new AbortController()]
  const joined = controllers.map(({ signal }) => shared.join(signal))
  for (const controller of controllers) controller.abort(new Error('gave up'))
  for (const promise of joined) await assert.rejects(promise, /gave up/)
  assert.equal(ended.aborted, true)
  assert.equal(shared.isOver, true)
})

test('a result from elsewhere is given to all and ends the work', async () => {
  const { shared, work, ended } = task()
  const joined = shared.join()
  shared.fulfil('from elsewhere')
  assert.equal(ended.aborted, true)
  work.reject(new Error('aborted'))
  assert.equal(await joined, 'from elsewhere')
})

test('joining with an aborted signal fails at once and counts for nothing', async () => {
  const { shared, work } = task()
  await assert.rejects(shared.join(AbortSignal.abort(new Error('too late'))), /too late/)
  const joined = shared.join()
  work.resolve('done')
  assert.equal(await joined, 'done')
})
