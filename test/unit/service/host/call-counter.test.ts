import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallCounter } from '../../../../src/service/host/call-counter.ts'
import { turn } from '../support/node.ts'

async function allOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = []
  for await (const item of stream) items.push(item)
  return items
}

/** Counts a call that ends as this promise does. */
function track(counter: CallCounter, work: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const reply = counter.begin({ resolve, reject })
    work.then(
      (value) => reply.resolve(value),
      (error: unknown) => reply.reject(error),
    )
  })
}

test('calls count until they are answered, well or badly', async () => {
  const counter = new CallCounter()
  const [good, bad] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()]
  const tracked = [track(counter, good.promise), track(counter, bad.promise)]
  let isIdle = false
  const idle = counter.idle().then(() => (isIdle = true))
  good.resolve(1)
  assert.equal(await tracked[0], 1)
  assert.deepEqual([counter.count, isIdle], [1, false])
  bad.reject(new Error('no'))
  await assert.rejects(tracked[1] as Promise<unknown>, /no/)
  await idle
  assert.equal(counter.count, 0)
})

test('a stream counts until it was read, was broken off, or failed', async () => {
  const items = async function* (failure?: Error) {
    yield 1
    if (failure) throw failure
    yield 2
  }
  const streamed = async (counter: CallCounter, source: AsyncIterable<unknown>) =>
    (await track(counter, Promise.resolve(source))) as AsyncIterable<unknown>
  const counter = new CallCounter()
  const whole = await streamed(counter, items())
  assert.equal(counter.count, 1)
  assert.deepEqual(await allOf(whole), [1, 2])
  assert.equal(counter.count, 0)
  for await (const _ of await streamed(counter, items())) break
  await turn()
  assert.equal(counter.count, 0)
  await assert.rejects(allOf(await streamed(counter, items(new Error('torn')))), /torn/)
  assert.equal(counter.count, 0)
  await counter.idle()
})
