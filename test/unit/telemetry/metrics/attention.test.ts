import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AttentionFacts, attentionOf, type MachineFacts } from '../../../../src/telemetry/metrics/attention.ts'
import { AttentionLog } from '../../../../src/telemetry/metrics/attention-log.ts'

const NOW_MS = Date.UTC(2026, 5, 1)
const DAY_MS = 86_400_000
const YEAR_MS = 365 * DAY_MS

const MACHINE: MachineFacts = {
  nodeId: 'worker-1',
  disk: { percent: 50, free: 50 * 2 ** 30 },
  diskPercentPerHour: 0,
  clockBehindMs: 40,
  certificate: { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + YEAR_MS },
}
const FINE: AttentionFacts = {
  nowMs: NOW_MS,
  members: [
    { nodeId: 'worker-1', status: 'alive', sinceMs: 1 },
    { nodeId: 'worker-2', status: 'left', sinceMs: 1 },
  ],
  services: [{ name: 'shop', wanted: 2, running: 2, healthy: 2, failing: [] }],
  machines: [MACHINE],
}

const ofMachine = (facts: Partial<MachineFacts>) => attentionOf({ ...FINE, machines: [{ ...MACHINE, ...facts }] })
const certificate = (lifeMs: number, leftMs: number) =>
  ofMachine({ certificate: { notBeforeMs: NOW_MS + leftMs - lifeMs, notAfterMs: NOW_MS + leftMs } })

test('a cluster in order needs nobody', () => {
  assert.deepEqual(attentionOf(FINE), [])
  assert.deepEqual(attentionOf({ nowMs: NOW_MS, members: [], services: [], machines: [] }), [])
  assert.deepEqual(ofMachine({ certificate: undefined }), [])
})

test('a dead node is an error, a suspected one a warning, since the membership saw it', () => {
  const items = attentionOf({
    ...FINE,
    members: [
      { nodeId: 'a', status: 'suspect', sinceMs: 7 },
      { nodeId: 'b', status: 'dead', sinceMs: 8 },
    ],
  })
  assert.deepEqual(
    items.map(({ id, severity, sinceMs }) => [id, severity, sinceMs]),
    [
      ['node/b', 'error', 8],
      ['node/a', 'warning', 7],
    ],
  )
})

test('a service that fails is told with its reason, worse when no copy of it is healthy', () => {
  const failing = [
    { nodeId: 'worker-1', reason: 'no disk' },
    { nodeId: 'worker-2', reason: undefined },
  ]
  const told = (healthy: number) =>
    attentionOf({ ...FINE, services: [{ name: 'shop', wanted: 3, running: 3, healthy, failing }] })[0]
  assert.equal(told(1)?.severity, 'warning')
  assert.equal(told(0)?.severity, 'error')
  assert.match(told(0)?.title ?? '', /shop fails on worker-1 and 1 more/)
  assert.equal(told(0)?.detail, 'no disk')
})

test('a service that runs less often than wanted is told, one that a person stopped is not', () => {
  const told = (wanted: number, running: number) =>
    attentionOf({ ...FINE, services: [{ name: 'shop', wanted, running, healthy: running, failing: [] }] })
  assert.deepEqual(
    told(3, 2).map(({ severity, title }) => [severity, title]),
    [['warning', 'Service shop runs 2 of 3']],
  )
  assert.equal(told(3, 0)[0]?.severity, 'error')
  assert.deepEqual(told(0, 0), [])
})

test('a certificate is told when its renewal is overdue, whatever its life', () => {
  assert.deepEqual(certificate(YEAR_MS, 31 * DAY_MS), [])
  assert.equal(certificate(YEAR_MS, 29 * DAY_MS)[0]?.severity, 'warning')
  assert.match(certificate(YEAR_MS, 29 * DAY_MS)[0]?.title ?? '', /ends in 29 days/)
  assert.equal(certificate(YEAR_MS, 2 * DAY_MS)[0]?.severity, 'error')
  assert.match(certificate(YEAR_MS, -1)[0]?.title ?? '', /has ended/)
  assert.deepEqual(certificate(9 * DAY_MS, 4 * DAY_MS), [], 'a short one is renewed at two thirds')
  assert.equal(certificate(9 * DAY_MS, 2.9 * DAY_MS)[0]?.severity, 'warning')
})

test('a full disk is told, and one that fills up within a day', () => {
  assert.deepEqual(ofMachine({ disk: { percent: 89, free: 1 } }), [])
  assert.equal(ofMachine({ disk: { percent: 90, free: 1 } })[0]?.severity, 'warning')
  assert.equal(ofMachine({ disk: { percent: 97, free: 1 } })[0]?.severity, 'error')
  assert.deepEqual(ofMachine({ diskPercentPerHour: 2 }), [])
  const [filling] = ofMachine({ diskPercentPerHour: 10 })
  assert.equal(filling?.severity, 'warning')
  assert.match(filling?.detail ?? '', /50\.0 GiB are free\. At this rate it is full in 5 hours\./)
})

test('a clock that is off is told, with its direction', () => {
  assert.deepEqual(ofMachine({ clockBehindMs: -4_900 }), [])
  assert.match(ofMachine({ clockBehindMs: 6_000 })[0]?.title ?? '', /6 s behind/)
  assert.match(ofMachine({ clockBehindMs: -90_000 })[0]?.title ?? '', /90 s ahead/)
  assert.equal(ofMachine({ clockBehindMs: -90_000 })[0]?.severity, 'error')
})

test('what is known keeps its beginning; what passes by itself is told once it lasts', () => {
  const log = new AttentionLog()
  const starting = attentionOf({
    ...FINE,
    services: [{ name: 'shop', wanted: 1, running: 0, healthy: 0, failing: [] }],
    machines: [{ ...MACHINE, clockBehindMs: 6_000 }],
  })
  log.update(starting, NOW_MS)
  assert.deepEqual(
    log.items.map(({ id }) => id),
    ['clock/worker-1'],
  )
  log.update(starting, NOW_MS + 10_000)
  assert.deepEqual(
    log.items.map(({ id, since }) => [id, since]),
    [
      ['service/shop', new Date(NOW_MS).toISOString()],
      ['clock/worker-1', new Date(NOW_MS).toISOString()],
    ],
  )
  log.update([], NOW_MS + 11_000)
  assert.deepEqual(log.items, [])
  log.update(starting, NOW_MS + 12_000)
  assert.deepEqual(
    log.items.map(({ since }) => since),
    [new Date(NOW_MS + 12_000).toISOString()],
  )
})
