import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { CHANGES_MAX, createMemberFeed, type MemberChange } from '../../../../src/service/http/member-feed.ts'
import { jittered, untilChanged } from '../../../../src/service/http/until-changed.ts'
import { createWatcherSlots } from '../../../../src/service/http/watcher-slots.ts'
import { ManualClock } from '../auth/manual-clock.ts'
import { observedMembers } from './observed-members.ts'
import { StubDeployments } from './stub-deployments.ts'

function startFeed() {
  const clock = new ManualClock()
  const members = observedMembers()
  const feed = createMemberFeed({ membership: members, clock })
  feed.start()
  return { clock, members, feed, first: feed.index }
}

test('numbers begin at the time of the start and rise by one a change', () => {
  const { clock, members, feed, first } = startFeed()
  assert.equal(first, clock.wallMs())
  members.set('worker-1', 'alive')
  members.set('worker-1', 'suspect')
  assert.equal(feed.index, first + 2)
  assert.deepEqual(
    [feed.after(first), feed.after(first + 1)].map((change) => [
      change?.index,
      change?.previous,
      change?.member.status,
    ]),
    [
      [first + 1, undefined, 'alive'],
      [first + 2, 'alive', 'suspect'],
    ],
  )
  assert.equal(feed.after(first + 2), undefined)
})

test('a number the feed never gave is not one it reaches back to', () => {
  const { members, feed, first } = startFeed()
  members.set('worker-1', 'alive')
  for (const foreign of [0, first - 1, first + 2, Number.MAX_SAFE_INTEGER]) {
    assert.equal(feed.reachesBackTo(foreign), false, String(foreign))
    assert.equal(feed.after(foreign), undefined)
  }
  assert.equal(feed.reachesBackTo(first), true)
  assert.equal(feed.reachesBackTo(first + 1), true)
})

test('a drain that begins, goes on or ends is a change of its node; what else is deployed is none', () => {
  const clock = new ManualClock()
  const members = observedMembers()
  const deployments = new StubDeployments()
  const feed = createMemberFeed({ membership: members, clock, deployments })
  feed.start()
  members.set('worker-1', 'alive')
  const before = feed.index
  for (const drain of ['draining', 'draining', 'drained', undefined] as const) {
    if (drain) deployments.drained.set('worker-1', drain)
    else deployments.drained.clear()
    deployments.change()
  }
  // One that is no member is shown nowhere.
  deployments.drained.set('gone', 'drained')
  deployments.change()
  assert.equal(feed.index, before + 3)
  assert.deepEqual(
    [0, 1, 2].map((at) => {
      const { member, previous, drain } = feed.after(before + at) as MemberChange
      return [member.record.nodeId, previous, member.status, drain]
    }),
    [
      ['worker-1', 'alive', 'alive', 'draining'],
      ['worker-1', 'alive', 'alive', 'drained'],
      ['worker-1', 'alive', 'alive', undefined],
    ],
  )
  feed.stop()
  assert.equal(deployments.listeners.size, 0)
})

test('only so many changes are kept', () => {
  const { members, feed, first } = startFeed()
  for (let i = 0; i < CHANGES_MAX + 5; i++) members.set('worker-1', i % 2 === 0 ? 'alive' : 'suspect')
  assert.equal(feed.reachesBackTo(first + 4), false)
  assert.equal(feed.after(first + 5)?.index, first + 6)
  assert.equal(feed.after(feed.index - 1)?.index, feed.index)
})

test('a stopped feed hears nothing more and holds no listener', () => {
  const { members, feed, first } = startFeed()
  feed.stop()
  feed.stop()
  members.set('worker-1', 'alive')
  assert.deepEqual([feed.index, members.listenerCount, feed.stopped.aborted], [first, 0, true])
})

/** A wait for what comes after the latest change; `has()` says whether it is over. */
function wait(started: ReturnType<typeof startFeed>, waitMs = 30_000) {
  const response = new EventEmitter()
  let isOver = false
  const { feed, clock } = started
  const over = untilChanged({ feed, clock }, { index: feed.index, waitMs, response: response as never }).then(() => {
    isOver = true
  })
  return { response, over, has: () => isOver }
}

test('a wait ends with a change, the time, the client or the node, and leaves nothing behind', async () => {
  const endings: ((started: ReturnType<typeof startFeed>, response: EventEmitter) => void)[] = [
    ({ members }) => members.set('worker-1', 'alive'),
    ({ clock }) => clock.advance(30_000),
    (_started, response) => response.emit('close'),
    ({ feed }) => feed.stop(),
  ]
  for (const end of endings) {
    const started = startFeed()
    const { response, over, has } = wait(started)
    started.clock.advance(29_999)
    await Promise.resolve()
    assert.equal(has(), false)
    end(started, response)
    await over
    assert.deepEqual([started.clock.pendingTimers, response.listenerCount('close')], [0, 0])
  }
})

test('a number that is not the latest is not waited for, nor is anything on a stopped node', async () => {
  const { members, feed, clock, first } = startFeed()
  members.set('worker-1', 'alive')
  const response = new EventEmitter() as never
  for (const index of [first, 0, feed.index + 1]) await untilChanged({ feed, clock }, { index, waitMs: 1, response })
  feed.stop()
  await untilChanged({ feed, clock }, { index: feed.index, waitMs: 1, response })
  assert.equal(clock.pendingTimers, 0)
})

test('a wait is cut by up to a sixteenth, never lengthened', () => {
  const at = (fraction: number): number => jittered(16_000, { float: () => fraction, bytes: () => new Uint8Array() })
  assert.deepEqual([at(0), at(0.5), at(1)], [16_000, 15_500, 15_000])
})

test('watchers are bounded per caller and overall, and slots come back', () => {
  const slots = createWatcherSlots({ perCaller: 2, overall: 3 })
  const anna = { kind: 'person', name: 'anna', role: 'viewer' } as const
  const bert = { kind: 'person', name: 'bert', role: 'viewer' } as const
  const first = slots.take(anna)
  slots.take(anna)
  assert.throws(() => slots.take(anna), {
    code: 'P2P_HTTP_TOO_MANY_WATCHERS',
    details: { retry_after_s: 5, limit: 2 },
    message: /person:anna already waits for changes with 2 requests/,
  })
  const third = slots.take(bert)
  assert.throws(() => slots.take(bert), { code: 'P2P_RPC_OVERLOADED', message: /ask another node/ })
  third[Symbol.dispose]()
  first[Symbol.dispose]()
  slots.take(bert)
  slots.take(anna)
  assert.throws(() => slots.take({ kind: 'node', nodeId: 'worker-1', role: 'worker' }), { code: 'P2P_RPC_OVERLOADED' })
})
