import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { AuditRecord } from '../../../../src/base/audit.ts'
import { type ChangeEvent, jsonValue } from '../../../../src/base/control-store.ts'
import type { LogLine } from '../../../../src/base/log-line.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import type { Member, MemberEvent, ServiceRecord } from '../../../../src/base/member.ts'
import type { HappenedEvent } from '../../../../src/base/timeline.ts'
import { createTimelineSources } from '../../../../src/telemetry/coordinator/index.ts'
import { SimulatedClock } from '../../../../src/testing/index.ts'

/** A source of groups that ends with its signal. */
class Groups<T> {
  #wake = (): void => {}
  #waiting: T[] = []

  push(value: T): void {
    this.#waiting.push(value)
    this.#wake()
  }

  async *follow(signal: AbortSignal): AsyncGenerator<T> {
    signal.addEventListener('abort', () => this.#wake(), { once: true })
    while (!signal.aborted) {
      const [value] = this.#waiting.splice(0, 1)
      if (value === undefined) await new Promise<void>((resolve) => (this.#wake = resolve))
      else yield value
    }
  }
}

function member(health: ServiceRecord['health'], status: Member['status'] = 'alive'): Member {
  const services = [{ name: 'hello', version: '1.0.0', description: '', health, methods: [] }]
  const record = { nodeId: 'w1', role: 'worker', startedAtMs: 1, softwareVersion: '3.0.0', services }
  return { record: record as unknown as Member['record'], status, incarnation: 0, sinceMs: 0 }
}

async function sources(t: TestContext) {
  const clock = new SimulatedClock()
  const events: HappenedEvent[] = []
  const states = new Map<string, string>()
  const changes = new Groups<ChangeEvent>()
  const lines = new Groups<LogLine[]>()
  let now = member('healthy')
  const world = {
    clock,
    changes,
    lines,
    onMember: (_event: MemberEvent): void => {},
    onAudit: (_record: AuditRecord): void => {},
    onDeployment: (): void => {},
    listening: 0,
    become(next: Member): void {
      const previous = now.status
      now = next
      world.onMember({ member: next, previous })
    },
    titles: () => events.splice(0).map(({ title }) => title),
  }
  const listen = (set: () => void): (() => void) => {
    set()
    world.listening++
    return () => void world.listening--
  }
  const component = createTimelineSources({
    clock,
    log: silentLogger,
    recorder: {
      record: (event) => void events.push(event),
      observe: (key, state, eventOf) => {
        const previous = states.get(key)
        if (previous === state) return
        states.set(key, state)
        const event = eventOf(previous)
        if (event) events.push(event)
      },
    },
    membership: {
      self: () => now,
      members: () => [now],
      get: () => now,
      onChange: (listener) => listen(() => (world.onMember = listener)),
    },
    store: {
      watch: (prefix, { signal }) =>
        prefix === 'pki/issued/' ? changes.follow(signal) : new Groups<ChangeEvent>().follow(signal),
    },
    logs: {
      query: () => Promise.reject(new Error('nobody asks')),
      sources: () => Promise.reject(new Error('nobody asks')),
      subscribe: (_filter, { signal }) => lines.follow(signal),
    },
    audit: { onRecord: (listener) => listen(() => (world.onAudit = listener)) },
    deployments: { list: () => [], onChange: (listener) => listen(() => (world.onDeployment = listener)) },
  })
  await component.start(new AbortController().signal)
  t.after(() => component.stop())
  await clock.run(6_000)
  return { ...world, component, world }
}

test('every source is heard: members, audit, certificates, the log', async (t) => {
  const { world, clock } = await sources(t)
  assert.deepEqual(world.titles(), ['w1 joined as worker'])
  world.become(member('healthy', 'dead'))
  const time = new Date(clock.wallMs()).toISOString()
  world.onAudit({ seq: 1, time, phase: 'outcome', outcome: 'succeeded', act: 'POST /api/tokens', who: 'person:ada' })
  const value = jsonValue({ serial: '0a', node_id: 'w1', role: 'worker', not_before_ms: 0, not_after_ms: 1 })
  world.changes.push({
    type: 'put',
    entry: { key: 'pki/issued/0a', value, createRevision: 1, revision: 1, version: 1 },
  })
  world.lines.push([
    {
      cursor: 1,
      nodeId: 'w1',
      seq: 1,
      timeMs: 1,
      receivedMs: 1,
      clockOffsetMs: 0,
      level: 'ERROR',
      logger: 'X',
      message: 'boom',
      fieldsJson: '{}',
      traceId: '',
    },
    {
      cursor: 2,
      nodeId: 'w1',
      seq: 2,
      timeMs: 1,
      receivedMs: 1,
      clockOffsetMs: 0,
      level: 'WARNING',
      logger: 'X',
      message: 'hm',
      fieldsJson: '{}',
      traceId: '',
    },
  ])
  await clock.run(11_000)
  assert.deepEqual(world.titles(), [
    'w1 does not answer any more',
    'ada made a join token',
    'The certificate of w1 was issued',
    'w1 logged an error',
  ])
})

test('a service that fails for a moment while it is started again is no news; one that goes on failing is', async (t) => {
  const { world, clock } = await sources(t)
  world.titles()
  for (let i = 0; i < 20; i++) {
    world.become(member('failing'))
    await clock.run(1_000)
    world.become(member('healthy'))
    await clock.run(9_000)
  }
  assert.deepEqual(world.titles(), [])
  world.become(member('failing'))
  await clock.run(5_000)
  assert.deepEqual(world.titles(), ['hello 1.0.0 fails on w1'])
  world.become(member('healthy'))
  await clock.run(5_000)
  assert.deepEqual(world.titles(), ['hello 1.0.0 is healthy again on w1'])
})

test('when it stops nothing is listened to any more', async (t) => {
  const { world, component, clock } = await sources(t)
  world.titles()
  assert.equal(world.listening, 3)
  world.become(member('failing'))
  await component.stop()
  assert.equal(world.listening, 0)
  await clock.run(60_000)
  assert.deepEqual(world.titles(), [])
})
