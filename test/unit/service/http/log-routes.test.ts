import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NetworkError } from '../../../../src/base/errors.ts'
import type { Caller } from '../../../../src/service/index.ts'
import { startStubNode } from './stub-node.ts'

interface AskedCall {
  method: string
  params: unknown
  context: Parameters<Caller['call']>[2]
  target: string | undefined
}

const LINE = {
  timestamp: '2026-01-02T03:04:05.067Z',
  node_id: 'worker-1',
  level: 'ERROR',
  logger_name: 'Vault',
  message: '<script>alert(1)</script> \\u001b[2J',
  fields: { constructor: 'odd', deep: { list: [1] } },
}
const PAGE = { logs: [LINE], total: 41, limit: 100, offset: 0 }

/** Services that answer the one thing, and what they were asked. */
function answering(answer: unknown): { asked: AskedCall[]; calls: Caller } {
  const asked: AskedCall[] = []
  return {
    asked,
    calls: {
      async call(method, params, context, target) {
        asked.push({ method, params, context, target })
        if (answer instanceof Error) throw answer
        return answer
      },
    },
  }
}

test('without a node id the log is that of the node asked, and the answer has the fields of the Python program', async () => {
  const { asked, calls } = answering({ ...PAGE, logs: [{ ...LINE, node_id: 'coordinator-1' }] })
  await using node = await startStubNode({ calls })
  const answer = await node.ask('/api/logs', { token: await node.tokenFor('viewer') })
  assert.deepEqual(answer.json(), {
    logs: [{ ...LINE, node_id: 'coordinator-1' }],
    total: 41,
    limit: 100,
    offset: 0,
    nodes: ['coordinator-1', 'worker-1'],
  })
  assert.deepEqual(
    asked.map(({ method, params, target }) => ({ method, params, target })),
    [{ method: 'log_collector/get_logs', params: { limit: 100, offset: 0 }, target: 'local' }],
  )
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
})

test('of another node it is asked for there, for the caller, with a deadline and every condition', async () => {
  const { asked, calls } = answering(PAGE)
  await using node = await startStubNode({ calls })
  const query =
    'node_id=worker-1&level=ERROR&logger_name=vau&search=a%26b&since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00%2B01:00&limit=5&offset=10'
  const answer = await node.ask(`/api/logs?${query}`, { token: await node.tokenFor('operator') })
  assert.equal(answer.status, 200, answer.text)
  const [call] = asked as [AskedCall]
  assert.equal(call.target, 'worker-1')
  assert.deepEqual(call.params, {
    level: 'ERROR',
    logger_name: 'vau',
    search: 'a&b',
    since: '2026-01-02T00:00:00Z',
    until: '2026-01-03T00:00:00+01:00',
    limit: 5,
    offset: 10,
  })
  const { caller, deadlineMs, traceId } = call.context
  assert.deepEqual([caller.kind, caller.kind === 'person' && caller.role], ['person', 'operator'])
  assert.equal(deadlineMs, node.clock.nowMs() + 10_000)
  assert.match(traceId, /^[0-9a-f]{32}$/)
})

test('a node speaks for itself only: lines it gives for another one are its own', async () => {
  const { calls } = answering({ ...PAGE, logs: [{ ...LINE, node_id: 'coordinator-1' }] })
  await using node = await startStubNode({ calls })
  const answer = await node.ask('/api/logs?node_id=worker-1', { token: await node.tokenFor('viewer') })
  assert.deepEqual(
    answer.json().logs.map((line: { node_id: string }) => line.node_id),
    ['worker-1'],
  )
})

test('an answer of another shape is the fault of the node that gave it, and is not passed on', async () => {
  for (const told of [undefined, 'x', { logs: 'none' }, { ...PAGE, logs: [{ ...LINE, level: '<b>' }] }]) {
    await using node = await startStubNode({ calls: answering(told).calls })
    const answer = await node.ask('/api/logs?node_id=worker-1', { token: await node.tokenFor('viewer') })
    assert.equal(answer.status, 500)
    assert.equal(answer.json().code, 'P2P_RPC_INVALID_RESULT')
    assert.match(answer.json().detail, /^Node worker-1 answered/)
  }
})

test('why a node cannot be asked is told as it is', async () => {
  const unknown = new NetworkError(
    'P2P_NETWORK_NODE_UNKNOWN',
    'No node worker-11 is known here; did you mean worker-1?',
  )
  await using node = await startStubNode({ calls: answering(unknown).calls })
  const answer = await node.ask('/api/logs?node_id=worker-11', { token: await node.tokenFor('viewer') })
  assert.equal(answer.status, 404)
  assert.match(answer.json().detail, /did you mean worker-1/)
})

test('bad questions are refused with the place of the mistake, and nobody is asked', async () => {
  const { asked, calls } = answering(PAGE)
  await using node = await startStubNode({ calls })
  const token = await node.tokenFor('viewer')
  const wrong = {
    'level=error': 'level',
    'limit=0': 'limit',
    'limit=1001': 'limit',
    'limit=ten': 'limit',
    'offset=-1': 'offset',
    'since=yesterday': 'since',
    'node_id=../etc': 'node_id',
    'node_id=worker': 'node_id',
    'node_id=local': 'node_id',
    'node_id=a&node_id=b': 'node_id',
    'nodeid=worker-1': 'nodeid',
    [`search=${'x'.repeat(257)}`]: 'search',
  }
  for (const [query, place] of Object.entries(wrong)) {
    const answer = await node.ask(`/api/logs?${query}`, { token })
    assert.equal(answer.status, 400, query)
    assert.match(answer.json().detail, new RegExp(place), query)
  }
  assert.deepEqual(asked, [])
})

test('the sources are nodes, loggers and levels', async () => {
  const { asked, calls } = answering({ loggers: ['Gossip', 'Vault'], log_levels: ['INFO', 'ERROR'] })
  await using node = await startStubNode({ calls })
  const answer = await node.ask('/api/logs/sources?node_id=worker-1', { token: await node.tokenFor('viewer') })
  assert.deepEqual(answer.json(), {
    nodes: ['coordinator-1', 'worker-1'],
    loggers: ['Gossip', 'Vault'],
    log_levels: ['INFO', 'ERROR'],
  })
  assert.deepEqual([asked[0]?.method, asked[0]?.target], ['log_collector/get_log_sources', 'worker-1'])
})

test('an admin clears the log of the node asked or of another one', async () => {
  const { asked, calls } = answering({ success: true, cleared: 7, node: 'somebody' })
  await using node = await startStubNode({ calls })
  const token = await node.tokenFor('admin')
  const clear = async (path: string) => (await node.ask(path, { method: 'DELETE', token })).json()
  assert.deepEqual(await clear('/api/logs'), { success: true, cleared: 7, node: 'coordinator-1' })
  assert.deepEqual(await clear('/api/logs?node_id=worker-1'), { success: true, cleared: 7, node: 'worker-1' })
  assert.deepEqual(
    asked.map(({ method, target }) => [method, target]),
    [
      ['log_collector/clear_logs', 'local'],
      ['log_collector/clear_logs', 'worker-1'],
    ],
  )
  const { status } = await node.ask('/api/logs?node=worker-1', { method: 'DELETE', token })
  assert.equal(status, 400, 'a misspelt node is not this node')
  assert.equal(asked.length, 2)
})
