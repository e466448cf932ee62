import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RpcError } from '../../../../src/base/errors.ts'
import type { LogFilter, LogLine, LogPageRequest, LogReader } from '../../../../src/base/log-line.ts'
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

test('a node without the log of the cluster asks a coordinator for the lines of others, for the caller, with every condition', async () => {
  const { asked, calls } = answering(PAGE)
  await using node = await startStubNode({ calls })
  const query =
    'node_id=worker-1&level=ERROR&logger_name=vau&search=a%26b&since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00%2B01:00&limit=5&offset=10&cursor=77'
  const answer = await node.ask(`/api/logs?${query}`, { token: await node.tokenFor('operator') })
  assert.equal(answer.status, 200, answer.text)
  const [call] = asked as [AskedCall]
  assert.equal(call.target, 'coordinator')
  assert.deepEqual(call.params, {
    node_id: 'worker-1',
    level: 'ERROR',
    logger_name: 'vau',
    search: 'a&b',
    since: '2026-01-02T00:00:00Z',
    until: '2026-01-03T00:00:00+01:00',
    limit: 5,
    offset: 10,
    cursor: 77,
  })
  const { caller, deadlineMs, traceId } = call.context
  assert.deepEqual([caller.kind, caller.kind === 'person' && caller.role], ['person', 'operator'])
  assert.equal(deadlineMs, node.clock.nowMs() + 10_000)
  assert.match(traceId, /^[0-9a-f]{32}$/)
})

test('an answer of another shape is the fault of the node that gave it, and is not passed on', async () => {
  for (const told of [undefined, 'x', { logs: 'none' }, { ...PAGE, logs: [{ ...LINE, level: '<b>' }] }]) {
    await using node = await startStubNode({ calls: answering(told).calls })
    const answer = await node.ask('/api/logs?node_id=worker-1', { token: await node.tokenFor('viewer') })
    assert.equal(answer.status, 500)
    assert.equal(answer.json().code, 'P2P_RPC_INVALID_RESULT')
    assert.match(answer.json().detail, /^The log collector \(coordinator\) answered/)
  }
})

test('why a node cannot be asked is told as it is', async () => {
  const nobody = new RpcError('P2P_RPC_NO_INSTANCE', 'No instance of service log_collector (target coordinator)')
  await using node = await startStubNode({ calls: answering(nobody).calls })
  const answer = await node.ask('/api/logs?node_id=worker-11', { token: await node.tokenFor('viewer') })
  assert.equal(answer.status, 503)
  assert.match(answer.json().detail, /target coordinator/)
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
    'cursor=0': 'cursor',
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
  const { asked, calls } = answering({ nodes: ['old-1'], loggers: ['Gossip', 'Vault'], log_levels: ['INFO', 'ERROR'] })
  await using node = await startStubNode({ calls })
  const answer = await node.ask('/api/logs/sources?node_id=worker-1', { token: await node.tokenFor('viewer') })
  assert.deepEqual(answer.json(), {
    nodes: ['coordinator-1', 'old-1', 'worker-1'],
    loggers: ['Gossip', 'Vault'],
    log_levels: ['INFO', 'ERROR'],
  })
  assert.deepEqual([asked[0]?.method, asked[0]?.target], ['log_collector/get_log_sources', 'coordinator'])
})

test('an admin clears the log of a node, or of all', async () => {
  const { asked, calls } = answering({ success: true, cleared: 7, node: 'somebody' })
  await using node = await startStubNode({ calls, logs: stubLogs([]) })
  const token = await node.tokenFor('admin')
  const clear = async (path: string) => (await node.ask(path, { method: 'DELETE', token })).json()
  assert.deepEqual(await clear('/api/logs'), { success: true, cleared: 7, node: 'somebody' })
  await clear('/api/logs?node_id=worker-1')
  assert.deepEqual(
    asked.map(({ method, params, target }) => [method, params, target]),
    [
      ['log_collector/clear_logs', {}, 'local'],
      ['log_collector/clear_logs', { node_id: 'worker-1' }, 'local'],
    ],
  )
  const { status } = await node.ask('/api/logs?node=worker-1', { method: 'DELETE', token })
  assert.equal(status, 400, 'a misspelt node is not all nodes')
  for (const role of ['viewer', 'operator'] as const) {
    const denied = await node.ask('/api/logs', { method: 'DELETE', token: await node.tokenFor(role) })
    assert.equal(denied.status, 403)
  }
  assert.equal(asked.length, 2)
})

const stored = (cursor: number, more: Partial<LogLine> = {}): LogLine => ({
  cursor,
  nodeId: 'worker-1',
  seq: cursor * 10,
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  receivedMs: Date.UTC(2026, 0, 2, 3, 4, 6),
  clockOffsetMs: 0,
  level: 'ERROR',
  logger: 'Vault',
  message: `line ${cursor} "<script>"`,
  fieldsJson: '{"__proto__":{"a":1},"list":[1]}',
  traceId: '',
  ...more,
})

interface StubLogs extends LogReader {
  asked: { filter: LogFilter; page?: LogPageRequest; after?: number | undefined }[]
}

/** A log with these lines; a subscriber gets all after its cursor, then waits. */
function stubLogs(lines: LogLine[], total = lines.length): StubLogs {
  const asked: StubLogs['asked'] = []
  return {
    asked,
    async query(filter, page) {
      asked.push({ filter, page })
      return { lines: lines.slice(0, page.limit), total, latest: 42 }
    },
    sources: async () => ({ nodes: ['gone-1', 'worker-1'], loggers: [] }),
    async *subscribe(filter, { after, signal }) {
      asked.push({ filter, after })
      const group = lines.filter(({ cursor }) => cursor > (after ?? 0))
      if (group.length > 0) yield group
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
  }
}

test('a coordinator answers from its own log, with where the next page and where following begins', async () => {
  const logs = stubLogs(
    [stored(9, { traceId: '0123456789abcdef0123456789abcdef' }), stored(8, { clockOffsetMs: 5 })],
    30,
  )
  const { asked, calls } = answering(PAGE)
  await using node = await startStubNode({ calls, logs })
  const token = await node.tokenFor('viewer')
  const answer = await node.ask('/api/logs?node_id=worker-1&level=WARNING&search=a&limit=2&cursor=10', { token })
  assert.equal(answer.status, 200, answer.text)
  const line = {
    timestamp: '2026-01-02T03:04:05.067Z',
    node_id: 'worker-1',
    level: 'ERROR',
    logger_name: 'Vault',
    received_at: '2026-01-02T03:04:06.000Z',
  }
  const fields = JSON.parse('{"__proto__":{"a":1},"list":[1]}') as object
  assert.deepEqual(answer.json(), {
    logs: [
      {
        ...line,
        message: 'line 9 "<script>"',
        trace_id: '0123456789abcdef0123456789abcdef',
        seq: 90,
        cursor: 9,
        fields,
      },
      { ...line, message: 'line 8 "<script>"', seq: 80, cursor: 8, clock_offset_ms: 5, fields },
    ],
    total: 30,
    limit: 2,
    offset: 0,
    next_cursor: 8,
    latest_cursor: 42,
    nodes: ['coordinator-1', 'gone-1', 'worker-1'],
  })
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
  assert.deepEqual(logs.asked, [
    {
      filter: {
        nodeId: 'worker-1',
        level: 'WARNING',
        logger: undefined,
        search: 'a',
        traceId: undefined,
        sinceMs: undefined,
        untilMs: undefined,
      },
      page: { limit: 2, offset: 0, before: 10 },
    },
  ])
  assert.deepEqual(asked, [])
})

test('a coordinator names the node that was meant when it knows none of that name', async () => {
  await using node = await startStubNode({ logs: stubLogs([]) })
  const token = await node.tokenFor('viewer')
  const answer = await node.ask('/api/logs?node_id=worker-11', { token })
  assert.equal(answer.status, 404)
  assert.match(answer.json().detail, /No node worker-11 .* did you mean worker-1/)
  assert.equal((await node.ask('/api/logs?node_id=gone-1', { token })).status, 200, 'gone, but its lines are there')
})

test('following gives lines as events whose id is where to go on', async () => {
  const logs = stubLogs([stored(7), stored(8)])
  await using node = await startStubNode({ logs })
  const token = await node.tokenFor('viewer')
  const headers = { authorization: `Bearer ${token}`, 'last-event-id': '7' }
  const aborting = new AbortController()
  const response = await fetch(`${node.url}/api/logs/events?after=3&level=ERROR`, { headers, signal: aborting.signal })
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes('data:') && text.endsWith('\n\n')) break
  }
  aborting.abort()
  const [retry, comment, event = ''] = text.split('\n\n')
  assert.deepEqual([retry, comment], ['retry: 2000', ':'])
  const [name, id, data = ''] = event.split('\n')
  assert.deepEqual([name, id], ['event: lines', 'id: 8'])
  assert.deepEqual(
    (JSON.parse(data.slice('data: '.length)) as { message: string }[]).map(({ message }) => message),
    ['line 8 "<script>"'],
  )
  assert.equal(logs.asked[0]?.after, 7, 'the header wins')
  assert.equal(logs.asked[0]?.filter.level, 'ERROR')
})

test('following is for coordinators, and for who may read', async () => {
  await using worker = await startStubNode({})
  const answer = await worker.ask('/api/logs/events', { token: await worker.tokenFor('viewer') })
  assert.equal(answer.json().code, 'P2P_HTTP_COORDINATOR_ONLY')
  await using node = await startStubNode({ logs: stubLogs([]) })
  assert.equal((await node.ask('/api/logs/events')).status, 401)
  const token = await node.tokenFor('viewer')
  assert.equal((await node.ask('/api/logs/events?until=2026-01-02T00:00:00Z', { token })).status, 400)
  assert.equal((await node.ask('/api/logs/events?after=-1', { token })).status, 400)
})
