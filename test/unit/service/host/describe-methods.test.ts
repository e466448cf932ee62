import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeMethods } from '../../../../src/service/host/describe-methods.ts'
import type { RunEvents, RunOrder, ServiceRun } from '../../../../src/service/host/run.ts'
import type { ServiceSpec } from '../../../../src/service/index.ts'
import { SimulatedClock } from '../../../../src/testing/simulated-clock.ts'

const SPEC: ServiceSpec = {
  name: 'shop',
  version: '1.0.0',
  folder: '/shop',
  kind: 'inline',
  instances: 3,
  manifest: {},
  permissions: { net: true, childProcess: true, read: ['/etc'], write: ['/srv'] },
  config: {},
  secrets: { key: 'hunter2' },
}

test('code that loops while it is loaded is killed after its time', async () => {
  const clock = new SimulatedClock()
  const orders: RunOrder[] = []
  let wasKilled = false
  const driver = {
    start(order: RunOrder, events: RunEvents): ServiceRun {
      orders.push(order)
      const kill = (): void => {
        wasKilled = true
        events.ended({ cause: 'killed', reason: 'it was killed' })
      }
      return { kill } as ServiceRun
    },
  }
  const described = describeMethods({ driver, clock }, SPEC)
  const refused = assert.rejects(described, { code: 'P2P_SERVICE_START_FAILED', message: /not loaded within 10000 ms/ })
  await clock.run(10_000)
  await refused
  assert.equal(wasKilled, true)
  const [{ spec, isOnlyDescribed } = { spec: SPEC, isOnlyDescribed: false }] = orders
  assert.equal(isOnlyDescribed, true)
  const { kind, instances, secrets, permissions } = spec
  assert.deepEqual([kind, instances, secrets], ['process', 1, {}])
  assert.deepEqual(permissions, { net: false, childProcess: false, read: [], write: [] })
})
