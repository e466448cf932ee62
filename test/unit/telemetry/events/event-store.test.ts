import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { HappenedEvent, Timeline, TimelineEvent, TimelineFilter } from '../../../../src/base/timeline.ts'
import { systemClock, systemFiles } from '../../../../src/platform/index.ts'
import {
  createEventStore,
  type EventStore,
  type OpenThread,
  storeThreads,
} from '../../../../src/telemetry/coordinator/index.ts'
import { SimulatedClock } from '../../../../src/testing/index.ts'
import { RememberingLogger } from '../logs/support.ts'

const THREADS = storeThreads(new URL('../../../../src/telemetry/logs/thread/main.ts', import.meta.url))

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-events-'))
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  return join(directory, 'events')
}

async function open(
  t: TestContext,
  directory: string,
  more: { openThread?: OpenThread; log?: RememberingLogger; clock?: SimulatedClock } = {},
): Promise<EventStore> {
  const { openThread = THREADS, log = new RememberingLogger(), clock = systemClock } = more
  const store = createEventStore({ clock, files: systemFiles, log, openThread }, { directory })
  await store.start(new AbortController().signal)
  t.after(() => store.stop())
  return store
}

const event = (title: string, more: Partial<HappenedEvent> = {}): HappenedEvent => ({
  timeMs: 1_000,
  kind: 'deploy',
  severity: 'info',
  title,
  ...more,
})

/** The next `count` events as they are stored. */
async function next(
  timeline: Timeline,
  count: number,
  after?: number,
  filter: TimelineFilter = {},
): Promise<TimelineEvent[]> {
  const found: TimelineEvent[] = []
  const signal = AbortSignal.timeout(10_000)
  for await (const group of timeline.subscribe(filter, { after, signal })) {
    found.push(...group)
    if (found.length >= count) break
  }
  return found
}

async function titles(timeline: Timeline, filter: TimelineFilter = {}): Promise<string[]> {
  const { events } = await timeline.query(filter, { limit: 1_000 })
  return events.map(({ title }) => title)
}

test('events are kept in the order of time, over a restart, with all that was told of them', async (t) => {
  const directory = folder(t)
  const store = await open(t, directory)
  const whole = event('b', {
    timeMs: 3_000,
    kind: 'health',
    severity: 'error',
    detail: 'd',
    nodeId: 'w1',
    service: 's',
    traceId: 'ab',
  })
  const stored = next(store, 3)
  store.record(event('a', { timeMs: 2_000 }))
  store.record(whole)
  store.record(event('late', { timeMs: 1_000 }))
  assert.deepEqual(
    (await stored).map(({ title, id }) => [title, id]),
    [
      ['a', 1],
      ['b', 2],
      ['late', 3],
    ],
  )
  await store.stop()
  const again = await open(t, directory)
  const { events, latest, next: more } = await again.query({}, { limit: 10 })
  assert.deepEqual(
    events.map(({ title }) => title),
    ['b', 'a', 'late'],
  )
  assert.deepEqual(events[0], { ...whole, id: 2 })
  assert.deepEqual([latest, more], [3, undefined])
})

test('pages join without a gap or a repetition, also when events bear the same time', async (t) => {
  const store = await open(t, folder(t))
  const stored = next(store, 25)
  for (let i = 1; i <= 25; i++) store.record(event(`e${i}`, { timeMs: Math.floor(i / 10) }))
  await stored
  const found: string[] = []
  for (let before; ; ) {
    const page = await store.query({}, { limit: 7, before })
    found.push(...page.events.map(({ title }) => title))
    before = page.next
    if (!before) break
  }
  assert.deepEqual(
    found,
    Array.from({ length: 25 }, (_, i) => `e${25 - i}`),
  )
})

test('filters join: node, service, kinds, time', async (t) => {
  const store = await open(t, folder(t))
  const stored = next(store, 4)
  store.record(event('a', { nodeId: 'w1', service: 's', timeMs: 1 }))
  store.record(event('b', { nodeId: 'w1', kind: 'health', timeMs: 2 }))
  store.record(event('c', { nodeId: 'w2', service: 's', timeMs: 3 }))
  store.record(event("d'; DROP TABLE events", { kind: 'member', timeMs: 4 }))
  await stored
  assert.deepEqual(await titles(store, { nodeId: 'w1' }), ['b', 'a'])
  assert.deepEqual(await titles(store, { service: 's', nodeId: 'w2' }), ['c'])
  assert.deepEqual(await titles(store, { kinds: ['health', 'member'] }), ["d'; DROP TABLE events", 'b'])
  assert.deepEqual(await titles(store, { sinceMs: 2, untilMs: 3 }), ['c', 'b'])
  assert.deepEqual(await titles(store, { nodeId: "w1' OR 1=1 --" }), [])
  assert.deepEqual(
    (await next(store, 1, 0, { kinds: ['health'] })).map(({ title }) => title),
    ['b'],
  )
})

test('only a change of state is an event, also when it happened while nobody looked', async (t) => {
  const directory = folder(t)
  const store = await open(t, directory)
  const seen: (string | undefined)[] = []
  const observe = (to: EventStore, state: string): void =>
    to.observe('member/w1', state, (previous) => {
      seen.push(previous)
      return event(`w1 is ${state}`)
    })
  const stored = next(store, 2)
  for (const state of ['alive', 'alive', 'dead', 'dead']) observe(store, state)
  await stored
  await store.stop()
  const again = await open(t, directory)
  const more = next(again, 1)
  observe(again, 'dead')
  observe(again, 'alive')
  assert.deepEqual(
    (await more).map(({ title }) => title),
    ['w1 is alive'],
  )
  assert.deepEqual(seen, [undefined, 'alive', 'dead'])
})

test('what was shown survives kill -9', async (t) => {
  const directory = folder(t)
  const program = join(import.meta.dirname, 'event-store-child.ts')
  const child = spawn(process.execPath, ['--conditions=source', program, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  let shown = 0
  for await (const chunk of child.stdout) {
    shown = Math.max(shown, ...String(chunk).trim().split('\n').map(Number))
    if (shown >= 200) break
  }
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  const store = await open(t, directory)
  const { events } = await store.query({}, { limit: 1_000 })
  const kept = new Set(events.map(({ id }) => id))
  for (let id = 1; id <= shown; id++) assert.ok(kept.has(id), `event ${id} of ${shown} is there`)
})

test('long texts are cut', async (t) => {
  const store = await open(t, folder(t))
  const stored = next(store, 1)
  store.record(event('t'.repeat(1_000_000), { detail: 'd'.repeat(1_000_000) }))
  const [one] = await stored
  assert.equal(one?.title.length, 300)
  assert.equal(one?.detail?.length, 2_000)
})

test('a damaged file is put aside, and a new one begins', async (t) => {
  const directory = folder(t)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'events.db'), 'this is no database at all, but long enough to be looked at'.repeat(100))
  const clock = new SimulatedClock()
  const log = new RememberingLogger()
  const store = await open(t, directory, { clock, log })
  store.record(event('waits'))
  const stored = next(store, 1)
  await clock.run(5_000)
  assert.deepEqual(
    (await stored).map(({ title }) => title),
    ['waits'],
  )
  assert.ok(existsSync(join(directory, 'events.db.damaged')))
  assert.ok(log.lines.some((line) => line.startsWith('ERROR The file of the timeline was damaged')))
})

test('a disk that fails loses nothing that fits the queue; more is counted, and told once', async (t) => {
  const directory = folder(t)
  const clock = new SimulatedClock()
  const log = new RememberingLogger()
  let isFull = true
  const openThread: OpenThread = (kind) => {
    const thread = THREADS(kind)
    return {
      get pending() {
        return thread.pending
      },
      ask: (type, request) =>
        isFull && type === 'commit' ? Promise.reject(new Error('no space')) : thread.ask(type, request),
      end: () => thread.end(),
    }
  }
  const store = await open(t, directory, { clock, log, openThread })
  for (let i = 0; i < 5_010; i++) store.record(event(`e${i}`))
  await clock.run(20_000)
  assert.equal(store.lost, 10)
  assert.deepEqual(await titles(store), [])
  assert.equal(log.lines.filter((line) => line.includes('cannot be written')).length, 1)
  isFull = false
  const stored = next(store, 5_000)
  await clock.run(5_000)
  const kept = await stored
  assert.deepEqual([kept.length, kept[0]?.title, kept.at(-1)?.title], [5_000, 'e10', 'e5009'])
})

test('the thread ends when nobody asks for a minute, and comes back', async (t) => {
  const clock = new SimulatedClock()
  let opened = 0
  const openThread: OpenThread = (kind) => {
    opened++
    return THREADS(kind)
  }
  const store = await open(t, folder(t), { clock, openThread })
  const stored = next(store, 1)
  store.record(event('a'))
  await stored
  await clock.run(61_000)
  assert.deepEqual(await titles(store), ['a'])
  assert.equal(opened, 2)
})

test('a reader that is let go ends', async (t) => {
  const store = await open(t, folder(t))
  const aborting = new AbortController()
  const reading = store.subscribe({}, { signal: aborting.signal })[Symbol.asyncIterator]().next()
  aborting.abort()
  assert.equal((await reading).done, true)
  const other = store.subscribe({}, { signal: new AbortController().signal })[Symbol.asyncIterator]().next()
  await store.stop()
  assert.equal((await other).done, true)
  await assert.rejects(store.query({}, { limit: 1 }), { code: 'P2P_STORAGE_CLOSED' })
})
