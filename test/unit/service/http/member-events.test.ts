import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import { ACCESS_ROLES } from '../../../../src/base/identity.ts'
import type { Random } from '../../../../src/base/random.ts'
import { ACCESS } from '../../../../src/service/auth/access.ts'
import { CHANGES_MAX, createMemberFeed } from '../../../../src/service/http/member-feed.ts'
import { memberEvents } from '../../../../src/service/http/member-events.ts'
import { WATCHER_LIMITS } from '../../../../src/service/http/watcher-slots.ts'
import { ManualClock } from '../auth/manual-clock.ts'
import { observedMembers } from './observed-members.ts'
import { nodeConnection, type StubNode, startStubNode, strangerConnection } from './stub-node.ts'

const random: Random = { float: () => 0.01, bytes: (length) => new Uint8Array(length) }

interface Told {
  event: string
  id: number
  // Tests look into data of two shapes.
  // oxlint-disable-next-line typescript/no-explicit-any
  data: any
}

function eventsIn(text: string): Told[] {
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [, event = '', id, data = ''] = /^event: (.+)\nid: (\d+)\ndata: (.+)$/.exec(block) ?? []
      return { event, id: Number(id), data: JSON.parse(data) }
    })
}

function start(lastIndex?: (index: number) => number) {
  const clock = new ManualClock()
  const members = observedMembers()
  const feed = createMemberFeed({ membership: members, clock })
  feed.start()
  const first = feed.index
  members.set('worker-1', 'alive')
  const stream = memberEvents({ clock, random, feed, membership: members }, lastIndex?.(first))
  return { clock, members, feed, first, stream }
}

/** All that the stream has to give at the moment. */
function take(stream: Readable): string {
  let text = ''
  for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) text += String(chunk)
  return text
}

test('a stream begins with a snapshot and tells every change from there, in order', () => {
  const { members, feed, stream } = start()
  const begun = take(stream)
  assert.match(begun, /^retry: 2000\n\n/)
  const [snapshot, ...none] = eventsIn(begun)
  assert.deepEqual([snapshot?.event, snapshot?.id, none], ['snapshot', feed.index, []])
  assert.deepEqual(
    snapshot?.data.nodes.map((node: { node_id: string }) => node.node_id),
    ['coordinator-1', 'worker-1'],
  )
  members.set('worker-1', 'suspect')
  members.set('worker-2', 'alive')
  assert.deepEqual(
    eventsIn(take(stream)).map(({ event, id, data }) => [
      event,
      id,
      data.node.node_id,
      data.node.status,
      data.previous_status,
    ]),
    [
      ['member', feed.index - 1, 'worker-1', 'suspected', 'alive'],
      ['member', feed.index, 'worker-2', 'alive', null],
    ],
  )
})

test('a reader goes on where it was, without a snapshot', () => {
  const { stream, first } = start((index) => index)
  assert.deepEqual(
    eventsIn(take(stream)).map(({ event, id }) => [event, id]),
    [['member', first + 1]],
  )
})

test('a reader from before the history, from a restart or from another node gets a snapshot', () => {
  for (const foreign of [() => 0, (first: number) => first - 1, (first: number) => first + 2]) {
    const { stream } = start(foreign)
    assert.deepEqual(
      eventsIn(take(stream)).map(({ event }) => event),
      ['snapshot'],
    )
  }
})

test('a comment comes every 15 s', () => {
  const { clock, stream } = start()
  take(stream)
  clock.advance(14_999)
  assert.equal(take(stream), '')
  clock.advance(1)
  clock.advance(15_000)
  assert.equal(take(stream), ':\n\n:\n\n')
})

test('a stream ends by itself within ten minutes, and cleanly when the node stops', async () => {
  for (const end of ['life', 'stop'] as const) {
    const { clock, members, feed, stream } = start()
    take(stream)
    // Jitter makes ten minutes 599.6 s here.
    if (end === 'life') for (const ms of [...Array<number>(39).fill(15_000), 14_700]) clock.advance(ms)
    else feed.stop()
    take(stream)
    members.set('worker-1', 'dead')
    const ended = once(stream, 'end')
    assert.equal(take(stream), '')
    await ended
    assert.deepEqual([stream.errored, clock.pendingTimers], [null, 0])
  }
})

test('a stream on a node that has stopped ends at once', async () => {
  const { clock, members, feed } = start()
  feed.stop()
  const stream = memberEvents({ clock, random, feed, membership: members }, undefined)
  const ended = once(stream, 'end')
  assert.equal(eventsIn(take(stream)).length, 1)
  await ended
})

test('nothing is queued for a reader that does not read: it is cut when it cannot catch up any more', async () => {
  const { clock, members, stream } = start()
  stream.read(0)
  let setCount = 0
  while (!stream.destroyed && setCount < 10 * CHANGES_MAX) members.set('worker-1', setCount++ % 2 ? 'alive' : 'suspect')
  assert.ok(setCount > CHANGES_MAX, `cut after ${setCount} changes`)
  assert.ok(stream.destroyed)
  await once(stream, 'close')
  assert.ok(stream.readableLength < 256 * 1024, `${stream.readableLength} bytes held`)
  assert.equal(clock.pendingTimers, 0)
})

test('a reader that was slow and then reads gets every change', () => {
  const { members, feed, stream } = start()
  stream.read(0)
  for (let i = 0; i < 200; i++) members.set('worker-1', i % 2 === 0 ? 'suspect' : 'alive')
  const ids = eventsIn(take(stream)).map(({ id }) => id)
  assert.equal(ids.length, 201)
  assert.equal(ids.at(-1), feed.index)
  assert.deepEqual(
    ids,
    [...ids].sort((a, b) => a - b),
  )
})

/** The answer to `GET /cluster/events`, its head read and its body not. */
async function openStream(node: StubNode, headers: Record<string, string>, signal = AbortSignal.timeout(10_000)) {
  return fetch(`${node.url}/cluster/events`, { headers, signal })
}

async function bearer(node: StubNode): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await node.tokenFor('viewer')}` }
}

test('the route serves everybody the table names, as an event stream that nobody keeps', async () => {
  await using node = await startStubNode({ membership: observedMembers() })
  const { status } = await openStream(node, {})
  assert.equal(status, 401)
  for (const role of ACCESS_ROLES) {
    const isMachine = role === 'node' || role === 'coordinator'
    node.transport.connection = isMachine
      ? nodeConnection(role === 'node' ? 'worker' : 'coordinator')
      : strangerConnection()
    const headers: Record<string, string> = isMachine ? {} : { authorization: `Bearer ${await node.tokenFor(role)}` }
    const gone = new AbortController()
    const answer = await openStream(node, headers, gone.signal)
    assert.equal(answer.status, ACCESS['GET /cluster/events'].includes(role) ? 200 : 403, role)
    assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    gone.abort()
  }
})

test('HEAD on a stream is refused instead of opening one', async () => {
  await using node = await startStubNode({ membership: observedMembers() })
  const answer = await node.ask('/cluster/events', { method: 'HEAD', token: await node.tokenFor('viewer') })
  assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'GET'])
})

test('a caller has so many streams; one that is closed makes room', async () => {
  await using node = await startStubNode({ membership: observedMembers() })
  const headers = await bearer(node)
  const gone = Array.from({ length: WATCHER_LIMITS.perCaller }, () => new AbortController())
  // Held, because an answer that nobody holds is cancelled when memory is tidied.
  const held = await Promise.all(gone.map(({ signal }) => openStream(node, headers, signal)))
  assert.deepEqual(new Set(held.map(({ status }) => status)), new Set([200]))
  const refused = await openStream(node, headers)
  assert.equal(refused.status, 429)
  assert.equal(refused.headers.get('retry-after'), '5')
  const problem = (await refused.json()) as { code: string }
  assert.equal(problem.code, 'P2P_HTTP_TOO_MANY_WATCHERS')
  gone[0]?.abort()
  // The node learns of it when the connection is closed; asking again is how a client sees it.
  let status = 429
  for (let i = 0; i < 1_000 && status === 429; i++) status = (await openStream(node, headers)).status
  assert.equal(status, 200)
})

test('stopping the node ends streams and answers long polls', async () => {
  const members = observedMembers()
  await using node = await startStubNode({ membership: members })
  const headers = await bearer(node)
  const token = await node.tokenFor('viewer')
  const index = (await node.ask('/cluster/nodes', { token })).headers.get('x-p2p-index')
  const stream = await openStream(node, headers)
  const polled = node.ask(`/cluster/nodes?index=${index}`, { token })
  const body = stream.text()
  // The stream has three timers, its life, its heartbeat and the look at its credential; the fourth is the poll's.
  while (node.clock.pendingTimers < 4) await node.ask('/cluster/nodes', { token })
  await node.api.stop()
  assert.equal((await polled).status, 200)
  assert.deepEqual(
    eventsIn(await body).map(({ event }) => event),
    ['snapshot'],
  )
  assert.equal(members.listenerCount, 0)
})

test('Last-Event-ID resumes; what is no number asks for a snapshot', async () => {
  const members = observedMembers()
  await using node = await startStubNode({ membership: members })
  const headers = await bearer(node)
  const token = await node.tokenFor('viewer')
  const index = (await node.ask('/cluster/nodes', { token })).headers.get('x-p2p-index') as string
  members.set('worker-1', 'alive')
  const resumed = openStream(node, { ...headers, 'last-event-id': index })
  const others = ['', '-1', '1e3', '9'.repeat(400), 'x'].map((id) =>
    openStream(node, { ...headers, 'last-event-id': id }),
  )
  const bodies = await Promise.all([resumed, ...others].map(async (answer) => (await answer).text.bind(await answer)))
  const texts = bodies.map((text) => text())
  await node.api.stop()
  const [first, ...rest] = (await Promise.all(texts)).map((text) => eventsIn(text).map(({ event }) => event))
  assert.deepEqual(first, ['member'])
  for (const events of rest) assert.deepEqual(events, ['snapshot'])
})

test('a long poll answers at the next change, with the number of that change', async () => {
  const members = observedMembers()
  await using node = await startStubNode({ membership: members })
  const token = await node.tokenFor('viewer')
  const now = Number((await node.ask('/cluster/nodes', { token })).headers.get('x-p2p-index'))
  const polled = node.ask(`/cluster/nodes?index=${now}&wait=30s`, { token })
  while (node.clock.pendingTimers === 0) await node.ask('/cluster/nodes', { token })
  members.set('worker-7', 'alive')
  const answer = await polled
  assert.equal(Number(answer.headers.get('x-p2p-index')), now + 1)
  assert.match(answer.text, /worker-7/)
  const stale = await node.ask(`/cluster/nodes?index=${now}&wait=10m`, { token })
  assert.equal(Number(stale.headers.get('x-p2p-index')), now + 1)
  for (const foreign of ['0', '1', String(now + 2), '999999999999999']) {
    assert.equal((await node.ask(`/cluster/nodes?index=${foreign}`, { token })).status, 200, foreign)
  }
})

test('a long poll answers when its time is up, with the state as it still is', async () => {
  await using node = await startStubNode({ membership: observedMembers() })
  const token = await node.tokenFor('viewer')
  const now = (await node.ask('/cluster/nodes', { token })).headers.get('x-p2p-index')
  const polled = node.ask(`/cluster/nodes?index=${now}&wait=2s`, { token })
  while (node.clock.pendingTimers === 0) await node.ask('/cluster/nodes', { token })
  node.clock.advance(2_000)
  const answer = await polled
  assert.deepEqual([answer.status, answer.headers.get('x-p2p-index')], [200, now])
  assert.equal(node.clock.pendingTimers, 0)
})

test('a wait or an index that is none is refused with its place', async () => {
  await using node = await startStubNode({ membership: observedMembers() })
  const token = await node.tokenFor('viewer')
  for (const [query, place] of [
    ['wait=0s', 'querystring/wait'],
    ['wait=11m', 'querystring/wait'],
    ['wait=5', 'querystring/wait'],
    ['wait=1h', 'querystring/wait'],
    ['wait=-1s', 'querystring/wait'],
    ['index=-1', 'querystring/index'],
    ['index=1.5', 'querystring/index'],
    ['index=abc', 'querystring/index'],
    [`index=${'9'.repeat(16)}`, 'querystring/index'],
    ['waits=5s', 'querystring'],
  ] as const) {
    const answer = await node.ask(`/cluster/nodes?${query}`, { token })
    assert.deepEqual([answer.status, answer.json().issues[0].path], [400, place], query)
  }
})
