import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Delivery } from '../../../src/deploy/delivery.ts'
import { SimulatedClock } from '../../../src/testing/simulated-clock.ts'

function setUp(deliver: (signal: AbortSignal) => Promise<void>) {
  const clock = new SimulatedClock()
  const failures: string[] = []
  const random = { bytes: (length: number) => new Uint8Array(length), float: () => 1 }
  const delivery = new Delivery({ clock, random, deliver, onFailure: (reason) => failures.push(reason) })
  return { clock, delivery, failures }
}

test('what is asked for during a delivery is one more delivery, however often', async () => {
  let gate = Promise.withResolvers<void>()
  let deliveries = 0
  const { clock, delivery } = setUp(() => {
    deliveries++
    return gate.promise
  })
  for (let i = 0; i < 5; i++) delivery.request()
  await clock.run(0)
  assert.equal(deliveries, 1, 'never two at once')
  const first = gate
  gate = Promise.withResolvers<void>()
  first.resolve()
  await clock.run(0)
  assert.equal(deliveries, 2)
  gate.resolve()
  await clock.run(60_000)
  assert.equal(deliveries, 2)
})

test('a failed delivery is repeated with growing pauses, and said once', async () => {
  const atMs: number[] = []
  const { clock, delivery, failures } = setUp(async () => {
    atMs.push(clock.nowMs())
    throw new Error('not there')
  })
  delivery.request()
  await clock.run(10_000)
  assert.deepEqual(atMs, [0, 500, 1_500, 3_500, 7_500])
  assert.deepEqual(failures, ['not there'])
  await clock.run(600_000)
  const pauses = atMs.slice(1).map((ms, i) => ms - (atMs[i] as number))
  assert.equal(Math.max(...pauses), 30_000)
})

test('a request while it waits to try again goes out at once', async () => {
  let isThere = false
  let delivered = 0
  const { clock, delivery } = setUp(async () => {
    if (!isThere) throw new Error('not there')
    delivered++
  })
  delivery.request()
  await clock.run(100_000)
  isThere = true
  delivery.request()
  await clock.run(0)
  assert.equal(delivered, 1)
  await clock.run(100_000)
  assert.equal(delivered, 1)
})

test('a stop ends what is under way, and nothing is delivered after it', async () => {
  let deliveries = 0
  const { clock, delivery } = setUp((signal) => {
    deliveries++
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  })
  delivery.request()
  delivery.request()
  await delivery.stop()
  delivery.request()
  await clock.run(100_000)
  assert.equal(deliveries, 1)
})
