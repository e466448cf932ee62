import assert from 'node:assert/strict'
import { test } from 'node:test'
import { happened, stubTimeline, stubWhy } from './stub-timeline.ts'
import { startStubNode } from './stub-node.ts'

test('events come newest first, with a cursor that gives the next page', async () => {
  const { timeline, asked } = stubTimeline([happened(1, { nodeId: 'w1', detail: 'why', traceId: 'ab' }), happened(2)])
  await using node = await startStubNode({ timeline })
  const token = await node.tokenFor('viewer')
  const first = (await node.ask('/api/events?limit=1', { token })).json()
  assert.deepEqual(first, {
    events: [{ id: '2', time: '1970-01-01T00:00:02.000Z', kind: 'deploy', severity: 'info', title: 'event 2' }],
    cursor: '2000-2',
    latest: '2',
  })
  await node.ask(
    `/api/events?cursor=${first.cursor}&node_id=w1&service=hello&kind=deploy,health&since=1970-01-01T00:00:01Z&until=1970-01-01T01:00:02%2B01:00`,
    { token },
  )
  assert.deepEqual(asked[1], {
    filter: { nodeId: 'w1', service: 'hello', kinds: ['deploy', 'health'], sinceMs: 1_000, untilMs: 2_000 },
    page: { limit: 100, before: { timeMs: 2_000, id: 2 } },
  })
})

test('what no filter can mean is refused', async () => {
  await using node = await startStubNode({ timeline: stubTimeline().timeline })
  const token = await node.tokenFor('viewer')
  for (const query of [
    'kind=weather',
    'kind=',
    'cursor=abc',
    'limit=0',
    'limit=1001',
    'since=yesterday',
    'node_id=a%2Fb',
    'other=1',
  ]) {
    assert.equal((await node.ask(`/api/events?${query}`, { token })).status, 400, query)
  }
})

test('a node without a timeline names the coordinator', async () => {
  await using node = await startStubNode({})
  const token = await node.tokenFor('viewer')
  for (const path of ['/api/events', '/api/events/follow', '/api/why/node/worker-1']) {
    const answer = await node.ask(path, { token })
    assert.equal(answer.json().code, 'P2P_HTTP_COORDINATOR_ONLY', path)
  }
})

test('events are followed after the last one that was seen', async () => {
  const { timeline, asked } = stubTimeline([happened(1), happened(2), happened(3)])
  await using node = await startStubNode({ timeline })
  assert.equal((await node.ask('/api/events/follow')).status, 401)
  const aborting = new AbortController()
  const headers = { authorization: `Bearer ${await node.tokenFor('viewer')}`, 'last-event-id': '1' }
  const response = await fetch(`${node.url}/api/events/follow?kind=deploy&after=9`, {
    headers,
    signal: aborting.signal,
  })
  let text = ''
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    if (text.includes('event 3')) break
  }
  aborting.abort()
  assert.match(text, /event: events\nid: 3\ndata: \[\{"id":"2",.*"event 3"\}\]\n\n/)
  assert.deepEqual(asked, [
    {
      filter: { nodeId: undefined, service: undefined, kinds: ['deploy'], sinceMs: undefined, untilMs: undefined },
      after: 1,
    },
  ])
})

test('why is answered for services and nodes; an unknown name is refused with a near one', async () => {
  await using node = await startStubNode({ why: stubWhy })
  const token = await node.tokenFor('viewer')
  assert.equal((await node.ask('/api/why/service/inventory', { token })).json().summary, 'inventory is well.')
  const noService = (await node.ask('/api/why/service/inventroy', { token })).json()
  assert.equal(noService.code, 'P2P_SERVICE_NOT_FOUND')
  assert.match(noService.detail, /did you mean inventory\?/)
  const noNode = (await node.ask('/api/why/node/worker-2', { token })).json()
  assert.equal(noNode.code, 'P2P_NETWORK_NODE_UNKNOWN')
  assert.equal((await node.ask('/api/why/moon/x', { token })).status, 400)
})
