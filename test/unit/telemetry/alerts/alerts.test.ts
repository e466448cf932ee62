import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { LogReader } from '../../../../src/base/log-line.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import type { HappenedEvent } from '../../../../src/base/timeline.ts'
import type { AlertsApi, AttentionItem } from '../../../../src/service/index.ts'
import type { Component } from '../../../../src/base/component.ts'
import type { AlertMessage } from '../../../../src/telemetry/alerts/alert-message.ts'
import type { AlertSender } from '../../../../src/telemetry/alerts/send/alert-sender.ts'
import { createAlerts } from '../../../../src/telemetry/coordinator/index.ts'
import { SimulatedClock, SimulatedRandom } from '../../../../src/testing/index.ts'
import { MemoryStore } from '../../service/auth/memory-store.ts'

const MINUTE = 60_000
const DEAD: AttentionItem = {
  id: 'node/w1',
  severity: 'error',
  title: 'w1 is dead',
  detail: 'Nobody reaches it.',
  node_id: 'w1',
  since: '',
}

/** A target whose answers the test decides. */
class Target implements AlertSender {
  readonly name: string
  readonly got: AlertMessage[] = []
  answer: 'takes' | 'refuses' | 'hangs' = 'takes'
  attempts = 0

  constructor(name = 'target') {
    this.name = name
  }

  async send(message: AlertMessage, signal: AbortSignal): Promise<void> {
    this.attempts++
    if (this.answer === 'refuses') throw new Error('it answered 500')
    if (this.answer === 'hangs') {
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      )
    }
    this.got.push(message)
  }

  take(): string[] {
    return this.got.splice(0).map(({ text }) => text)
  }
}

interface World {
  clock: SimulatedClock
  store: MemoryStore
  events: HappenedEvent[]
  present: AttentionItem[]
  alerts: AlertsApi & Component
  restart: () => Promise<void>
}

async function world(t: TestContext, ...senders: AlertSender[]): Promise<World> {
  const clock = new SimulatedClock()
  const store = new MemoryStore()
  const events: HappenedEvent[] = []
  const make = (): AlertsApi & Component =>
    createAlerts(
      {
        clock,
        random: new SimulatedRandom(1),
        log: silentLogger,
        store,
        membership: { onChange: () => () => {} },
        attention: () => made.present,
        logs: silentLogs,
        recorder: { record: (event) => void events.push(event), observe: () => {} },
        senders,
      },
      { cluster: 'c1' },
    )
  const made: World = {
    clock,
    store,
    events,
    present: [],
    alerts: make(),
    restart: async () => {
      await made.alerts.stop()
      made.alerts = make()
      await made.alerts.start(new AbortController().signal)
    },
  }
  await made.alerts.start(new AbortController().signal)
  t.after(() => made.alerts.stop())
  await clock.run(3 * MINUTE)
  return made
}

const silentLogs: Pick<LogReader, 'subscribe'> = {
  async *subscribe(_filter, { signal }) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    yield []
  },
}

test('what fires is shown, sent and on the timeline; likewise when it is over', async (t) => {
  const target = new Target()
  const w = await world(t, target)
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  const [alert] = w.alerts.list().alerts
  assert.deepEqual([alert?.id, alert?.state, alert?.rule], ['node/w1', 'firing', 'node'])
  w.present = []
  await w.clock.run(2 * MINUTE)
  assert.equal(w.alerts.list().alerts[0]?.state, 'resolved')
  assert.deepEqual(target.take(), ['ALERT: w1 is dead', 'OVER: w1 is dead'])
  assert.deepEqual(
    w.events.map(({ kind, severity, title }) => `${kind} ${severity} ${title}`),
    ['alert error w1 is dead', 'alert info Over: w1 is dead'],
  )
  assert.equal(w.alerts.list().targets[0]?.waiting, 0)
})

test('listeners are told of whatever changes the list: what fires, who cares, what is silenced, what was sent', async (t) => {
  const target = new Target()
  const w = await world(t, target)
  let told = 0
  let seen = JSON.stringify(w.alerts.list())
  const unlisten = w.alerts.onChange(() => told++)
  const changes = async (what: string, step: () => unknown): Promise<void> => {
    told = 0
    await step()
    const now = JSON.stringify(w.alerts.list())
    assert.notEqual(now, seen, what)
    assert.ok(told > 0, what)
    seen = now
  }
  target.answer = 'refuses'
  await changes('fires, and cannot be sent', async () => {
    w.present = [DEAD]
    await w.clock.run(MINUTE)
  })
  await changes('acknowledged', () => w.alerts.acknowledge('node/w1', 'person:ada', 'on my way'))
  const until = new Date(w.clock.wallMs() + 600_000).toISOString()
  let id = ''
  await changes('silenced', async () => ({ id } = await w.alerts.silence({ rule: 'node', until }, 'person:ada')))
  await changes('silenced no more', () => w.alerts.endSilence(id))
  target.answer = 'takes'
  await changes('sent', () => w.clock.run(20 * MINUTE))
  await changes('over', async () => {
    w.present = []
    await w.clock.run(2 * MINUTE)
  })
  told = 0
  await w.clock.run(2 * MINUTE)
  assert.equal(told, 0, 'nothing is new')
  unlisten()
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.equal(told, 0)
  assert.ok(w.events.some(({ title }) => title === 'ada takes care of: w1 is dead'))
})

test('a target that fails gets it later, in order, each once; another one waits for nobody', async (t) => {
  const [failing, good] = [new Target('failing'), new Target('good')]
  failing.answer = 'refuses'
  const w = await world(t, failing, good)
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  w.present = []
  await w.clock.run(2 * MINUTE)
  assert.deepEqual(good.take(), ['ALERT: w1 is dead', 'OVER: w1 is dead'])
  const [told] = w.alerts.list().targets
  assert.deepEqual([told?.waiting, told?.failure], [2, 'it answered 500'])
  failing.answer = 'takes'
  await w.clock.run(15 * MINUTE)
  assert.deepEqual(failing.take(), ['ALERT: w1 is dead', 'OVER: w1 is dead'])
  assert.deepEqual(w.alerts.list().targets[0]?.failure, undefined)
})

test('a target that hangs is given up after 30 s, and tried again', async (t) => {
  const target = new Target()
  target.answer = 'hangs'
  const w = await world(t, target)
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.equal(w.alerts.list().targets[0]?.failure, 'no answer within 30 s')
  target.answer = 'takes'
  await w.clock.run(MINUTE)
  assert.deepEqual(target.take(), ['ALERT: w1 is dead'])
})

test('a target that fails for ever: few attempts, bounded memory and disk, and then it is old news', async (t) => {
  const target = new Target()
  target.answer = 'refuses'
  const w = await world(t, target)
  for (let i = 0; i < 12; i++) {
    w.present = Array.from({ length: 20 }, (_, n) => ({ ...DEAD, id: `node/n${i}-${n}` }))
    await w.clock.run(5 * MINUTE)
  }
  await w.clock.run(12 * MINUTE)
  assert.equal(w.alerts.list().targets[0]?.waiting, 100)
  assert.ok(target.attempts < 30, `${target.attempts} attempts in an hour`)
  const lost = w.alerts.list().targets[0]?.lost ?? 0
  w.present = []
  await w.clock.run(26 * 60 * MINUTE)
  assert.ok((w.alerts.list().targets[0]?.lost ?? 0) > lost)
  assert.equal(w.alerts.list().targets[0]?.waiting, 0)
  assert.deepEqual((await w.store.range('alerts/outbox/')).length, 0)
})

test('a coordinator that restarts goes on: with what waits, what fires, who takes care, what is silenced', async (t) => {
  const target = new Target()
  target.answer = 'refuses'
  const w = await world(t, target)
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.ok(await w.alerts.acknowledge('node/w1', 'person:ada', 'on my way'))
  const { id } = await w.alerts.silence(
    { rule: 'disk', until: new Date(w.clock.wallMs() + 60 * MINUTE).toISOString() },
    'person:ada',
  )
  await w.restart()
  const { alerts, silences } = w.alerts.list()
  assert.deepEqual([alerts[0]?.state, alerts[0]?.acknowledged?.by, silences[0]?.id], ['firing', 'person:ada', id])
  target.answer = 'takes'
  await w.clock.run(MINUTE)
  assert.deepEqual(target.take(), ['ALERT: w1 is dead'])
  w.present = []
  await w.clock.run(5 * MINUTE)
  assert.deepEqual(target.take(), ['OVER: w1 is dead'])
})

test('what waits for a target that is configured no more is forgotten', async (t) => {
  const target = new Target()
  target.answer = 'refuses'
  const w = await world(t, target)
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.equal((await w.store.range('alerts/outbox/')).length, 1)
  const other = await world(t)
  await other.alerts.stop()
  await w.alerts.stop()
  const silent = createAlerts(
    {
      clock: w.clock,
      random: new SimulatedRandom(1),
      log: silentLogger,
      store: w.store,
      membership: { onChange: () => () => {} },
      attention: () => [],
      logs: silentLogs,
      recorder: { record: () => {}, observe: () => {} },
      senders: [],
    },
    { cluster: 'c1' },
  )
  await silent.start(new AbortController().signal)
  await silent.stop()
  assert.equal((await w.store.range('alerts/outbox/')).length, 0)
})

test('silences: sent to nobody meanwhile, told when they end, refused without sense', async (t) => {
  const target = new Target()
  const w = await world(t, target)
  const until = (ms: number): string => new Date(w.clock.wallMs() + ms).toISOString()
  const silence = await w.alerts.silence({ node_id: 'w1', until: until(10 * MINUTE), reason: 'new disk' }, 'person:ada')
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.deepEqual(target.take(), [])
  assert.equal(w.alerts.list().alerts[0]?.silenced_until, silence.until)
  assert.ok(await w.alerts.endSilence(silence.id))
  assert.equal(await w.alerts.endSilence(silence.id), false)
  await w.clock.run(10_000)
  assert.deepEqual(target.take(), ['ALERT: w1 is dead'])
  for (const request of [
    { until: until(MINUTE) },
    { rule: 'disk', until: until(-1) },
    { rule: 'disk', until: until(400 * 86_400_000) },
  ]) {
    await assert.rejects(w.alerts.silence(request, 'ada'), { code: 'P2P_RPC_INVALID_PARAMS' })
  }
  for (let i = 0; i < 100; i++) await w.alerts.silence({ rule: `r${i}`, until: until(MINUTE) }, 'ada')
  await assert.rejects(w.alerts.silence({ rule: 'more', until: until(MINUTE) }, 'ada'), /100 silences/)
})

test('a disk that fails delays no alert', async (t) => {
  const target = new Target()
  const w = await world(t, target)
  w.store.failNext = new Error('no space')
  w.present = [DEAD]
  await w.clock.run(MINUTE)
  assert.deepEqual(target.take(), ['ALERT: w1 is dead'])
})

test('a test message is sent at once, past the queue, and tells how that went', async (t) => {
  const [good, bad, hanging] = [new Target('good'), new Target('bad'), new Target('hanging')]
  bad.answer = 'refuses'
  hanging.answer = 'hangs'
  const w = await world(t, good, bad, hanging)
  const testing = w.alerts.test(undefined, new AbortController().signal)
  await w.clock.run(MINUTE)
  const { results } = await testing
  assert.deepEqual(
    results.map(({ target, sent, failure }) => [target, sent, failure]),
    [
      ['good', true, undefined],
      ['bad', false, 'it answered 500'],
      ['hanging', false, 'no answer within 30 s'],
    ],
  )
  assert.deepEqual(good.take(), ['TEST: This is a test of the alerts'])
  assert.equal((await w.alerts.test('good', new AbortController().signal)).results.length, 1)
  assert.deepEqual(w.alerts.list().alerts, [])
})

test('a suspicion and what is only information are no alerts', async (t) => {
  const w = await world(t)
  w.present = [
    { ...DEAD, severity: 'warning' },
    { ...DEAD, id: 'disk/w1', severity: 'info' },
  ]
  await w.clock.run(10 * MINUTE)
  assert.deepEqual(w.alerts.list().alerts, [])
})
