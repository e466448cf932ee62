import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditRecord } from '../../../../src/base/audit.ts'
import { jsonValue } from '../../../../src/base/control-store.ts'
import type { LogLine } from '../../../../src/base/log-line.ts'
import type { Member, MemberStatus, ServiceRecord } from '../../../../src/base/member.ts'
import type { HappenedEvent } from '../../../../src/base/timeline.ts'
import { tellAudit } from '../../../../src/telemetry/events/audit-happenings.ts'
import { tellCertificate, tellPending, tellRotation } from '../../../../src/telemetry/events/certificate-happenings.ts'
import { type DeployedService, tellDeployment } from '../../../../src/telemetry/events/deployment-happenings.ts'
import type { EventRecorder } from '../../../../src/telemetry/events/event-store.ts'
import { ErrorCounts, tellServiceEnd } from '../../../../src/telemetry/events/log-happenings.ts'
import { tellHealth, tellMember } from '../../../../src/telemetry/events/member-happenings.ts'
import { tellUpgrade } from '../../../../src/telemetry/events/upgrade-happenings.ts'
import { SimulatedClock } from '../../../../src/testing/index.ts'

/** Remembers what it is told, as a store would. */
class Remembering implements EventRecorder {
  readonly events: HappenedEvent[] = []
  readonly #states = new Map<string, string>()

  record(event: HappenedEvent): void {
    this.events.push(event)
  }

  observe(key: string, state: string, eventOf: (previous: string | undefined) => HappenedEvent | undefined): void {
    const previous = this.#states.get(key)
    if (previous === state) return
    this.#states.set(key, state)
    const event = eventOf(previous)
    if (event) this.events.push(event)
  }

  take(): string[] {
    return this.events
      .splice(0)
      .map(({ severity, title, detail }) => `${severity} ${title}${detail === undefined ? '' : ` | ${detail}`}`)
  }
}

function member(
  status: MemberStatus,
  more: { startedAtMs?: number; version?: string; health?: ServiceRecord['health'] } = {},
): Member {
  const { startedAtMs = 1, version = '3.0.0', health } = more
  const services = health ? [{ name: 'hello', version: '1.0.0', description: '', health, methods: [] }] : []
  const record = {
    nodeId: 'w1',
    role: 'worker',
    startedAtMs,
    softwareVersion: version,
    services,
  } as unknown as Member['record']
  return { record, status, incarnation: 0, sinceMs: 0 }
}

test('a member joins, dies, comes back, leaves; a suspicion is no news', () => {
  const told = new Remembering()
  for (const status of ['alive', 'alive', 'suspect', 'alive', 'suspect', 'dead', 'alive', 'left', 'alive'] as const)
    tellMember(told, member(status), 5)
  assert.deepEqual(told.take(), [
    'info w1 joined as worker',
    'error w1 does not answer any more | No member of the cluster reaches it: its process or machine ended, or its network is cut.',
    'info w1 answers again',
    'info w1 was stopped, and said so',
    'info w1 is back',
  ])
})

test('a new start, another program, and the health of services are told; what starts is not', () => {
  const told = new Remembering()
  const steps = [
    { health: 'starting' },
    { health: 'healthy' },
    { health: 'failing' },
    { health: 'failing' },
    { health: 'stopping' },
    { health: 'healthy' },
    { startedAtMs: 2, version: '3.1.0', health: 'healthy' },
  ] as const
  for (const step of steps) {
    tellMember(told, member('alive', step), 5)
    tellHealth(told, member('alive', step), 5)
  }
  assert.deepEqual(told.take(), [
    'info w1 joined as worker',
    'error hello 1.0.0 fails on w1',
    'info hello 1.0.0 is healthy again on w1',
    'info w1 started again',
    'info w1 now runs P2P Core 3.1.0 | It ran 3.0.0 before.',
  ])
})

function deployed(
  state: NonNullable<DeployedService['rollout']>['state'],
  more: { reason?: string; isStopped?: boolean; from?: string } = {},
): DeployedService {
  const { reason, isStopped = false, from = '1.0.0' } = more
  return {
    deployment: { service: 'hello', version: '1.1.0', by: 'person:ada', reason: '', isStopped },
    rollout: { generation: 2, fromVersion: from, toVersion: '1.1.0', state, reason, done: 2, wanted: 2 },
  }
}

test('a rollout is told when it begins and when it ends, once each', () => {
  const told = new Remembering()
  for (const state of ['running', 'running', 'succeeded', 'succeeded'] as const)
    tellDeployment(told, deployed(state), 5)
  assert.deepEqual(told.take(), [
    'info ada deployed hello 1.1.0 | 1.0.0 ran before. Generation 2',
    'info hello 1.1.0 is deployed | 2 of 2 run and are healthy.',
  ])
  tellDeployment(told, deployed('rolled-back', { reason: 'it ended with exit code 1' }), 5)
  tellDeployment(told, deployed('failed', { reason: 'no room' }), 5)
  tellDeployment(told, deployed('superseded'), 5)
  tellDeployment(told, deployed('running', { from: '1.1.0' }), 5)
  assert.deepEqual(told.take(), [
    'error hello 1.1.0 was taken back to 1.0.0 | it ended with exit code 1',
    'error The deployment of hello 1.1.0 failed | no room',
    'info ada changed hello 1.1.0 | Generation 2',
  ])
  tellDeployment(told, deployed('running', { from: '1.1.0', isStopped: true }), 5)
  tellDeployment(told, deployed('running', { from: '1.1.0' }), 5)
  assert.deepEqual(told.take(), ['info ada stopped hello', 'info ada started hello'])
})

function change(value: object, version = 1) {
  const entry = { key: 'k', value: jsonValue(value), createRevision: 1, revision: version, version }
  return { type: 'put', entry } as const
}

test('certificates are issued, renewed and revoked; a server is named by its names', () => {
  const told = new Remembering()
  const issued = { serial: '0a', node_id: 'w1', role: 'worker', not_before_ms: 0, not_after_ms: 86_400_000 }
  tellCertificate(told, change(issued), 5)
  tellCertificate(told, change(issued), 5)
  tellCertificate(told, change({ ...issued, serial: '0b' }), 5)
  tellCertificate(told, change({ ...issued, revoked_at_ms: 4 }, 2), 5)
  tellCertificate(told, change({ ...issued, revoked_at_ms: 4 }, 2), 5)
  tellCertificate(told, { type: 'delete', key: 'k', revision: 9 }, 5)
  tellCertificate(told, change({ ...issued, serial: '0c', node_id: 'acme:1', role: 'server', names: ['a.example'] }), 5)
  const [first, , , server] = told.events
  assert.equal(first?.nodeId, 'w1')
  assert.equal(server?.nodeId, undefined)
  assert.deepEqual(told.take(), [
    'info The certificate of w1 was issued | Good until 1970-01-02 00:00 UTC. Serial 0a.',
    'info The certificate of w1 was renewed | Good until 1970-01-02 00:00 UTC. Serial 0b.',
    'warning The certificate of w1 was revoked | Serial 0a. Nobody trusts it any more.',
    'info The certificate of a.example was issued | Good until 1970-01-02 00:00 UTC. Serial 0c.',
  ])
})

test('a stranger is told of once, not at each decision', () => {
  const told = new Remembering()
  const pending = { node_id: 'w9', role: 'worker', fingerprint: 'ab', remote_address: '10.0.0.9' }
  tellPending(told, change(pending), 5)
  tellPending(told, change({ ...pending, decision: 'approved' }, 2), 5)
  assert.deepEqual(told.take(), [
    "warning w9 asks to join as worker | From 10.0.0.9, its key's fingerprint is ab. It waits until somebody approves or rejects it.",
  ])
})

test('what people did is told in words; routine, nodes and intents are not; who was refused is', () => {
  const told = new Remembering()
  const record = (more: Partial<AuditRecord>): AuditRecord => ({
    seq: 1,
    time: '2026-01-02T03:04:05.000Z',
    phase: 'outcome',
    outcome: 'succeeded',
    act: 'POST /api/nodes/{id}/drain',
    who: 'person:ada',
    target: 'w1',
    ...more,
  })
  const told_ = [
    record({}),
    record({ phase: 'intent', outcome: undefined }),
    record({ act: 'POST /auth/token', who: 'anonymous' }),
    record({ act: 'rpc inventory/clear', target: undefined, from: '10.0.0.1' }),
    record({ act: 'rpc inventory/clear', who: 'node:w2' }),
    record({ act: 'rpc inventory/clear', who: 'node:w2', outcome: 'refused', detail: 'P2P_RPC_ACCESS_DENIED' }),
    record({
      act: 'POST /auth/token',
      who: 'anonymous',
      outcome: 'refused',
      from: '10.0.0.6',
      target: undefined,
      detail: '401',
    }),
    record({ outcome: 'failed', detail: '409' }),
  ]
  for (const one of told_) tellAudit(told, one)
  assert.deepEqual(told.take(), [
    'info ada moved everything away from w1',
    'info ada called inventory/clear | From 10.0.0.1',
    'warning w2 was refused: inventory/clear (w1) | P2P_RPC_ACCESS_DENIED',
    'warning Somebody was refused: POST /auth/token | From 10.0.0.6: 401',
    'warning ada failed: POST /api/nodes/{id}/drain (w1) | 409',
  ])
})

function line(message: string, more: Partial<LogLine> = {}): LogLine {
  return {
    cursor: 1,
    nodeId: 'w1',
    seq: 1,
    timeMs: 1,
    receivedMs: 1,
    clockOffsetMs: 0,
    level: 'ERROR',
    logger: 'Vault',
    message,
    fieldsJson: '{}',
    traceId: '',
    ...more,
  }
}

test('the nodes own program: who began, who went back and why, how it ended, each once', () => {
  const told = new Remembering()
  const upgrade = { number: 3, version: '3.1.0', fromVersion: '3.0.0', state: 'running', by: 'person:ada' }
  const nodes = (...states: string[]) => states.map((state, index) => ({ nodeId: `w${index + 1}`, state }))
  for (const states of [
    ['waiting', 'waiting'],
    ['fetching', 'waiting'],
    ['done', 'starting'],
  ]) {
    tellUpgrade(told, change({ ...upgrade, nodes: nodes(...states) }), 5)
  }
  const returned = [
    { nodeId: 'w1', state: 'done' },
    { nodeId: 'w2', state: 'returned', reason: 'it did not answer' },
  ]
  for (let again = 0; again < 2; again++) {
    tellUpgrade(told, change({ ...upgrade, nodes: returned, state: 'failed', reason: 'w2 went back' }), 6)
  }
  tellUpgrade(told, change({ ...upgrade, number: 4, nodes: nodes('done', 'done'), state: 'succeeded' }), 7)
  tellUpgrade(told, { type: 'delete', key: 'k', revision: 9 }, 8)
  assert.equal(told.events[1]?.nodeId, 'w2')
  assert.deepEqual(told.take(), [
    'info ada began to change the nodes to P2P Core 3.1.0 | 2 nodes, from 3.0.0.',
    'error w2 went back from P2P Core 3.1.0 to the version before | it did not answer',
    'error The change to P2P Core 3.1.0 failed | w2 went back',
    'info All nodes run P2P Core 3.1.0 | 2 nodes changed from 3.0.0.',
  ])
})

test('an exchange of the CA is told step by step, and who was left behind', () => {
  const told = new Remembering()
  const rotation = { kind: 'root', phase: 'distributing', startedAtMs: 1, leftBehind: [] as string[] }
  for (const phase of ['distributing', 'distributing', 'renewing', 'dropping']) {
    tellRotation(told, change({ ...rotation, phase }), 5)
  }
  tellRotation(told, change({ ...rotation, phase: 'done', leftBehind: ['w9'] }), 5)
  tellRotation(told, change({ ...rotation, kind: 'issuing', startedAtMs: 2, phase: 'renewing' }), 5)
  assert.deepEqual(told.take(), [
    'info The root CA is exchanged: the nodes are told to trust the new one',
    'info The root CA is exchanged: the nodes get new certificates',
    'info The root CA was exchanged: nobody is to trust the old one any more',
    'warning The root CA was exchanged: nobody trusts the old one any more | Nobody waits for: w9',
    'info The issuing CA is exchanged: the nodes get new certificates',
  ])
})

test('a service that ended is told of with the reason its node gave; its own lines cannot say so', () => {
  const told = new Remembering()
  const fieldsJson = JSON.stringify({ instance: 'hello#1', reason: 'it ended with exit code 1: boom' })
  assert.ok(tellServiceEnd(told, line('A service ended and is started again', { logger: 'Services', fieldsJson })))
  assert.ok(tellServiceEnd(told, line('A service is not started again', { logger: 'Services', fieldsJson })))
  assert.equal(tellServiceEnd(told, line('A service is not started again', { logger: 'hello', fieldsJson })), false)
  assert.equal(tellServiceEnd(told, line('A service is not started again', { logger: 'Services' })), false)
  assert.equal(told.events[0]?.service, 'hello')
  assert.deepEqual(told.take(), [
    'warning hello ended and is started again on w1 | it ended with exit code 1: boom',
    'error hello was given up on w1 | it ended with exit code 1: boom',
  ])
})

test('errors are counted: soon at first, ever later while they go on, anew after quiet', async () => {
  const clock = new SimulatedClock()
  const told = new Remembering()
  const counts = new ErrorCounts(clock, told)
  for (let i = 0; i < 10_000; i++) counts.add(line(`error ${i}`))
  counts.add(line('other', { nodeId: 'w2', traceId: 'ab' }))
  assert.deepEqual(told.take(), [])
  await clock.run(10_000)
  assert.deepEqual(told.take(), [
    'error w1 logged 10000 errors | The first, Vault: error 0',
    'error w2 logged an error | Vault: other',
  ])
  counts.add(line('later'))
  await clock.run(19_000)
  assert.deepEqual(told.take(), [])
  await clock.run(1_000)
  assert.deepEqual(told.take(), ['error w1 logged an error | Vault: later'])
  await clock.run(3_600_000)
  counts.add(line('anew'))
  await clock.run(10_000)
  assert.deepEqual(told.take(), ['error w1 logged an error | Vault: anew'])
  counts.add(line('at the end'))
  counts.stop()
  assert.deepEqual(told.take(), ['error w1 logged an error | Vault: at the end'])
})

test('an hour of errors every second is a handful of events', async () => {
  const clock = new SimulatedClock()
  const told = new Remembering()
  const counts = new ErrorCounts(clock, told)
  clock.every(1_000, () => counts.add(line('again')))
  await clock.run(3_600_000)
  assert.ok(told.events.length < 12, `${told.events.length} events`)
})
