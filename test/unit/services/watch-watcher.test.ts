import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import { CHECKS_MAX, NewCheck, RESULTS_MAX } from '../../../services/watch/check.ts'
import type { Finding } from '../../../services/watch/probe.ts'
import { Watcher } from '../../../services/watch/watcher.ts'

const UP: Finding = { isUp: true, detail: '200 OK' }
const DOWN: Finding = { isUp: false, detail: 'connect ECONNREFUSED' }

interface Folder {
  path: string
  change(names: string[]): void
  fail(): void
  isOpen: boolean
}

interface World {
  watcher: Watcher
  finding: Finding | ((check: NewCheck, signal: AbortSignal) => Promise<Finding>)
  folderError: Error | undefined
  probed: string[]
  logged: string[]
  folders: Folder[]
  timers: { atMs: number; fn(): void }[]
  advance(ms: number): Promise<void>
}

/** A watcher in a world that the test moves. */
function simulated(): World {
  let nowMs = 1_700_000_000_000
  const timers: World['timers'] = []
  const logged: string[] = []
  const folders: Folder[] = []
  const world: World = {
    finding: UP,
    folderError: undefined,
    probed: [],
    logged,
    folders,
    timers,
    /** Lets time pass, timer by timer, and what they set off come to rest. */
    async advance(ms: number): Promise<void> {
      const endMs = nowMs + ms
      for (;;) {
        await settled()
        const due = timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
        if (!due) break
        timers.splice(timers.indexOf(due), 1)
        nowMs = due.atMs
        due.fn()
      }
      nowMs = endMs
    },
    watcher: new Watcher({
      log: {
        ...silentLogger,
        info: (message, fields) => logged.push(`INFO ${message} ${String(fields?.check)}`),
        warning: (message, fields) =>
          logged.push(`WARNING ${message} ${String(fields?.check)}: ${String(fields?.detail)}`),
      },
      nowMs: () => nowMs,
      after: (delayMs, fn) => {
        const timer = { atMs: nowMs + delayMs, fn }
        timers.push(timer)
        return () => {
          if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1)
        }
      },
      probe: async (check, signal) => {
        world.probed.push(check.name)
        return typeof world.finding === 'function' ? world.finding(check, signal) : world.finding
      },
      watchFolder: (path, onChange, onEnd) => {
        if (world.folderError) throw world.folderError
        const folder = { path, change: onChange, fail: onEnd, isOpen: true }
        folders.push(folder)
        return () => {
          folder.isOpen = false
        }
      },
    }),
  }
  return world
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

function check(more: Partial<NewCheck> = {}): NewCheck {
  return NewCheck.parse({ name: 'site', kind: 'http', target: 'http://127.0.0.1/', interval_ms: 10_000, ...more })
}

test('a check runs at once, then in its rhythm', async () => {
  const world = simulated()
  assert.equal(world.watcher.add(check()).state, 'pending')
  await world.advance(0)
  assert.equal(world.probed.length, 1)
  await world.advance(9_999)
  assert.equal(world.probed.length, 1)
  await world.advance(1)
  assert.equal(world.probed.length, 2)
  await world.advance(100_000)
  assert.equal(world.probed.length, 12)
})

test('changes of state are logged, once each, and dated', async () => {
  const world = simulated()
  world.watcher.add(check())
  await world.advance(10_000)
  world.finding = DOWN
  await world.advance(30_000)
  const [status] = world.watcher.list()
  assert.equal(status?.state, 'down')
  assert.equal(status?.since, new Date(1_700_000_020_000).toISOString())
  assert.equal(status?.last_result?.detail, 'connect ECONNREFUSED')
  assert.equal(status?.up_ratio, 2 / 5)
  world.finding = UP
  await world.advance(30_000)
  assert.deepEqual(world.logged, [
    'INFO Check added site',
    'INFO Check is up site',
    'WARNING Check is down site: connect ECONNREFUSED',
    'INFO Check is up site',
  ])
})

test('runs of one check do not overlap, however long one takes', async () => {
  const world = simulated()
  const gate = Promise.withResolvers<Finding>()
  world.finding = () => gate.promise
  world.watcher.add(check())
  await world.advance(60_000)
  assert.equal(world.probed.length, 1)
  gate.resolve(UP)
  await world.advance(0)
  assert.equal(world.probed.length, 2, 'what is late runs again at once')
})

test('the history is bounded, newest first', async () => {
  const world = simulated()
  world.watcher.add(check())
  await world.advance(10_000 * (RESULTS_MAX + 50))
  const history = world.watcher.history('site', RESULTS_MAX)
  assert.equal(history.length, RESULTS_MAX)
  assert.ok((history[0]?.at ?? '') > (history[1]?.at ?? ''))
  assert.deepEqual(world.watcher.history('site', 2), history.slice(0, 2))
})

test('a removed check runs no more, ends its run, and its late answer counts for nothing', async () => {
  const world = simulated()
  let seen: AbortSignal | undefined
  const gate = Promise.withResolvers<Finding>()
  world.finding = (_check, signal) => {
    seen = signal
    return gate.promise
  }
  world.watcher.add(check())
  await world.advance(0)
  world.watcher.remove('site')
  assert.equal(seen?.aborted, true)
  gate.resolve(DOWN)
  await world.advance(60_000)
  assert.equal(world.probed.length, 1)
  assert.deepEqual(world.watcher.list(), [])
  assert.equal(world.timers.length, 0)
  assert.deepEqual(world.logged, ['INFO Check added site', 'INFO Check removed site'])
})

test('what cannot be watched is refused before it is kept', () => {
  const { watcher } = simulated()
  const wrong: Partial<NewCheck>[] = [
    { target: 'ftp://host/' },
    { target: 'not a url' },
    { target: 'http://user:geheim@host/' },
    { kind: 'tcp', target: 'host' },
    { kind: 'tcp', target: 'host:0' },
    { kind: 'tcp', target: 'host:65536' },
    { kind: 'tcp', target: 'a:b:1' },
    { kind: 'folder', target: 'relative/path' },
    { kind: 'tcp', target: 'host:1', expect_status: 200 },
    { kind: 'folder', target: '/tmp', expect_text: 'x' },
  ]
  for (const more of wrong) {
    assert.throws(
      () => watcher.add(check(more)),
      (error: Error & { reason?: string }) => {
        assert.equal(error.reason, 'TARGET_INVALID')
        assert.doesNotMatch(`${error.message}${JSON.stringify(error)}`, /geheim/)
        return true
      },
    )
  }
  assert.deepEqual(watcher.list(), [])
  for (const target of ['host:1', '127.0.0.1:65535', '[::1]:80'])
    watcher.add(check({ name: `n${target.length}`, kind: 'tcp', target }))
  assert.equal(watcher.list().length, 3)
})

test('names are unique, known and bounded in number', () => {
  const { watcher } = simulated()
  watcher.add(check())
  assert.throws(() => watcher.add(check()), { reason: 'CHECK_EXISTS' })
  assert.throws(() => watcher.remove('other'), { reason: 'CHECK_UNKNOWN' })
  assert.throws(() => watcher.history('other', 1), { reason: 'CHECK_UNKNOWN' })
  for (let index = 1; index < CHECKS_MAX; index++) watcher.add(check({ name: `c${index}` }))
  assert.throws(() => watcher.add(check({ name: 'one-too-many' })), { reason: 'TOO_MANY_CHECKS' })
  watcher.remove('c1')
  watcher.add(check({ name: 'now-there-is-room' }))
})

test('the schema keeps figures in their bounds and fills in the defaults', () => {
  const given = { name: 'a', kind: 'tcp', target: 'h:1' }
  assert.deepEqual(NewCheck.parse(given), { ...given, interval_ms: 30_000, timeout_ms: 5_000 })
  const wrong = [
    { interval_ms: 999 },
    { interval_ms: 1_000.5 },
    { timeout_ms: 60_001 },
    { timeout_ms: 0 },
    { name: '' },
    { name: '../x' },
    { name: 'x'.repeat(64) },
    { kind: 'udp' },
    { target: '' },
    { expect_status: 99 },
  ]
  for (const more of wrong) assert.equal(NewCheck.safeParse({ ...given, ...more }).success, false, JSON.stringify(more))
})

const FOLDER = { name: 'inbox', kind: 'folder', target: '/inbox' } as const

test('changes in a folder are remembered as they come; that nothing changed is not', async () => {
  const world = simulated()
  world.finding = { isUp: true, detail: 'present', folderId: '1' }
  world.watcher.add(check(FOLDER))
  await world.advance(50_000)
  assert.equal(world.folders.length, 1, 'one watch, however often it is looked at')
  world.folders[0]?.change(['a.txt', 'b.txt'])
  await settled()
  const details = world.watcher.history('inbox', 10).map(({ detail }) => detail)
  assert.deepEqual(details, ['changed: a.txt, b.txt', 'present'])
})

test('a folder that goes away is down by the event alone, and watched anew when it is back', async () => {
  const world = simulated()
  world.finding = { isUp: true, detail: 'present', folderId: '1' }
  world.watcher.add(check(FOLDER))
  await world.advance(0)
  world.finding = { isUp: false, detail: 'ENOENT' }
  world.folders[0]?.change(['inbox'])
  await settled()
  assert.equal(world.watcher.list()[0]?.state, 'down')
  world.finding = { isUp: true, detail: 'present', folderId: '2' }
  await world.advance(10_000)
  assert.equal(world.watcher.list()[0]?.state, 'up')
  assert.deepEqual(
    world.folders.map(({ isOpen }) => isOpen),
    [false, true],
  )
})

test('a folder replaced by another of its name is watched anew, and so is one whose watch failed', async () => {
  const world = simulated()
  world.finding = { isUp: true, detail: 'present', folderId: '1' }
  world.watcher.add(check(FOLDER))
  await world.advance(0)
  world.finding = { isUp: true, detail: 'present', folderId: '2' }
  await world.advance(10_000)
  assert.deepEqual(
    world.folders.map(({ isOpen }) => isOpen),
    [false, true],
  )
  world.folders[1]?.fail()
  await world.advance(10_000)
  assert.deepEqual(
    world.folders.map(({ isOpen }) => isOpen),
    [false, false, true],
  )
  world.watcher.close()
  assert.deepEqual(
    world.folders.map(({ isOpen }) => isOpen),
    [false, false, false],
  )
  assert.equal(world.timers.length, 0)
})

test('a folder that cannot be watched is down and says why', async () => {
  const world = simulated()
  world.finding = { isUp: true, detail: 'present', folderId: '1' }
  world.folderError = new Error('ENOSPC: System limit for number of file watchers reached')
  world.watcher.add(check(FOLDER))
  await world.advance(0)
  assert.equal(world.watcher.list()[0]?.state, 'down')
  assert.match(world.watcher.list()[0]?.last_result?.detail ?? '', /cannot be watched: ENOSPC/)
})
