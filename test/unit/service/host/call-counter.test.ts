import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallCounter } from '../../../../src/service/host/call-counter.ts'
import { turn } from '../support/node.ts'

async function allOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = []
  for await (const item of stream) items.push(item)
  return items
}

test('calls count until they are answered, well or badly', async () => {
  const counter = new CallCounter()
  const [good, bad] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()]
  const tracked = [counter.track(good.promise), counter.track(bad.promise)]
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
    (await counter.track(Promise.resolve(source))) as AsyncIterable<unknown>
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
