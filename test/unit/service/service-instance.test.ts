import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import { sourceOfDefinition } from '../../../src/service/definition/service-body.ts'
import { defineService } from '../../../src/service/index.ts'
import { ServiceInstance } from '../../../src/service/service-instance.ts'
import { SimulatedClock } from '../../../src/testing/simulated-clock.ts'

test('whoever stops it a second time waits for the same end', async () => {
  const cleanedUp = Promise.withResolvers<void>()
  const draining = Promise.withResolvers<void>()
  const instance = new ServiceInstance(
    {
      clock: new SimulatedClock(),
      log: silentLogger,
      dispatch: { add: () => {}, remove: () => {}, drain: () => draining.promise },
      createProxy: () => ({}),
      createEvents: () => ({ publish: () => {}, subscribe: () => () => {}, close: () => {} }),
      onChange: () => {},
    },
    'shop',
    { isBuiltin: false, folder: undefined, startTimeoutMs: 1_000, stopTimeoutMs: 1_000 },
  )
  let signal: AbortSignal | undefined
  await instance.start(
    sourceOfDefinition(
      defineService({
        name: 'shop',
        version: '1.0.0',
        description: 'x',
        methods: {},
        initialize: (service) => void (signal = service.signal),
        cleanup: () => cleanedUp.promise,
      }),
    ),
  )
  const stops = [instance.stop(), instance.stop()]
  await new Promise(setImmediate)
  assert.equal(signal?.aborted, false, 'running calls may still use it')
  const first = Promise.race([...stops, new Promise((resolve) => setImmediate(resolve, 'none'))])
  assert.equal(await first, 'none')
  draining.resolve()
  cleanedUp.resolve()
  await Promise.all(stops)
  assert.equal(instance.status, 'stopped')
})
