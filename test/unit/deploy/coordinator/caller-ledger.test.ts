import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ControlStore } from '../../../../src/base/control-store.ts'
import { CALLER_DAYS, CallerLedger } from '../../../../src/deploy/coordinator/caller-ledger.ts'
import type { NodeReport } from '../../../../src/deploy/model.ts'
import { openVault, world } from '../../storage/support.ts'

const DAY_MS = 86_400_000

function report(callers: Record<string, string[]>): NodeReport {
  const assignment = { service: 'shop', generation: 1, hasArtifact: true, instances: [], callers }
  return { nodeId: 'w1', revision: 1, assignments: [assignment] }
}

test('who called a method is known for a week, also after a restart, and stored once a day', async (t) => {
  const store = await opened(t)
  const clock = { day: 20_000, wallMs: () => clock.day * DAY_MS + 1 }
  const ledger = new CallerLedger(store, clock)
  await ledger.note(report({ buy: ['web', 'person:ada', 'shop'], sell: ['web'] }))
  assert.deepEqual(ledger.callersOf('shop', 'buy'), ['web', 'person:ada'], 'a service that calls itself misses nothing')
  const { revision } = store
  await ledger.note(report({ buy: ['web'] }))
  assert.equal(store.revision, revision)

  clock.day += CALLER_DAYS
  await ledger.note(report({ buy: ['desk'] }))
  const restarted = new CallerLedger(store, clock)
  await restarted.load()
  assert.deepEqual(restarted.callersOf('shop', 'buy'), ['desk', 'web', 'person:ada'], 'the last one first')
  clock.day += 1
  assert.deepEqual(restarted.callersOf('shop', 'buy'), ['desk'])
  assert.deepEqual(restarted.callersOf('shop', 'sell'), [])
  assert.deepEqual(restarted.callersOf('shop', 'constructor'), [])

  await restarted.forget('shop')
  assert.deepEqual(restarted.callersOf('shop', 'buy'), [])
})

test('callers and methods are bounded: those who called last stay', async (t) => {
  const store = await opened(t)
  const clock = { day: 20_000, wallMs: () => clock.day * DAY_MS }
  const ledger = new CallerLedger(store, clock)
  const many = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
  await ledger.note(report({ buy: many('old', 32) }))
  clock.day += 1
  await ledger.note(report({ buy: many('new', 30) }))
  const callers = ledger.callersOf('shop', 'buy')
  assert.equal(callers.length, 32)
  assert.equal(callers.filter((name) => name.startsWith('new')).length, 30)
  await ledger.note(report(Object.fromEntries(many('m', 500).map((method) => [method, ['web']]))))
  const entry = await store.get('deploy/callers/shop')
  assert.equal(Object.keys(JSON.parse(new TextDecoder().decode(entry?.value)) as object).length, 128)
})

test('what nodes tell at the same moment is all noted, and nothing of it after the service is forgotten', async (t) => {
  const store = await opened(t)
  const ledger = new CallerLedger(store, { wallMs: () => 20_000 * DAY_MS })
  await Promise.all([ledger.note(report({ buy: ['web'] })), ledger.note(report({ buy: ['desk'], sell: ['web'] }))])
  assert.deepEqual(ledger.callersOf('shop', 'buy').sort(), ['desk', 'web'])
  await Promise.all([ledger.note(report({ buy: ['mail'] })), ledger.forget('shop')])
  assert.deepEqual(ledger.callersOf('shop', 'buy'), [])
  assert.deepEqual(await store.range('deploy/callers/'), [])
})

async function opened(t: TestContext): Promise<ControlStore> {
  const vault = await openVault(world())
  t.after(() => vault.stop())
  return vault.store
}
