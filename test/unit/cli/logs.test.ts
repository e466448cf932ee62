import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test, type TestContext } from 'node:test'
import { parse } from 'yaml'
import { type FakeUser, fakeUser } from './fake-host.ts'
import { problem, type StubNode, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const line = (message: string, more: object = {}) => ({
  timestamp: '2026-01-02T03:04:05.067Z',
  node_id: 'coordinator-1',
  level: 'INFO',
  logger_name: 'Gossip',
  message,
  fields: {},
  ...more,
})

/** A node that has these lines, and its operator. */
async function nodeWith(t: TestContext, logs: object[], total = logs.length): Promise<[FakeUser, StubNode]> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = {
    body: { access_token: 't', token_type: 'bearer', expires_in: 43_200, role: 'admin' },
  }
  node.answers['GET /api/logs'] = { body: { logs, total, limit: 100, offset: 0, nodes: ['coordinator-1'] } }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const credential = { cluster: 'c1', credential: 'P2PO1-x', url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(credential))
  return [user, node]
}

test('reads as a log does: the newest line last, fields behind the message, a stack below', async (t) => {
  const error = {
    name: 'TypeError',
    message: 'x is not a function',
    stack: ['at a (main.ts:1:2)', 'at b (main.ts:3:4)'],
  }
  const [user] = await nodeWith(t, [
    line('A method failed', { level: 'ERROR', logger_name: 'Service', fields: { method: 'a/b', tries: 2, error } }),
    line('Member joined', { fields: { nodeId: 'worker-1' } }),
  ])
  const { code, output, talk } = await user.run('logs')
  assert.equal(code, 0, talk)
  assert.equal(
    output,
    `2026-01-02T03:04:05.067Z INFO     coordinator-1 Gossip: Member joined nodeId=worker-1
2026-01-02T03:04:05.067Z ERROR    coordinator-1 Service: A method failed method=a/b tries=2 error=x is not a function
    at a (main.ts:1:2)
    at b (main.ts:3:4)
`,
  )
  assert.equal(talk, '')
})

test('hands every flag on to the node', async (t) => {
  const [user, node] = await nodeWith(t, [])
  const flags = '--node worker-1 --level error --logger gos --grep a&b --since 10m --until 1m --limit 7'.split(' ')
  const { code, talk } = await user.run('logs', ...flags)
  assert.equal(code, 0)
  assert.equal(talk, 'No log line matches\n')
  const { searchParams } = new URL(node.requests.at(-1)?.path ?? '', node.url)
  assert.deepEqual(Object.fromEntries(searchParams), {
    limit: '7',
    node_id: 'worker-1',
    level: 'ERROR',
    logger_name: 'gos',
    search: 'a&b',
    since: '2026-01-02T02:54:05.000Z',
    until: '2026-01-02T03:03:05.000Z',
  })
})

test('takes a time as well as a span', async (t) => {
  const [user, node] = await nodeWith(t, [])
  await user.run('logs', '--since', '2026-01-01T12:00:00+02:00')
  assert.match(node.requests.at(-1)?.path ?? '', /since=2026-01-01T10%3A00%3A00.000Z/)
})

test('programs get the lines as the node gave them', async (t) => {
  const lines = [line('two'), line('one', { fields: { deep: [1] } })]
  const [user] = await nodeWith(t, lines)
  assert.deepEqual(JSON.parse((await user.run('logs', '--output', 'json')).output), lines)
  assert.deepEqual(parse((await user.run('logs', '--output', 'yaml')).output), lines)
})

test('says when there are more lines than shown, to the person and not in the data', async (t) => {
  const [user] = await nodeWith(t, [line('one')], 523)
  const { output, talk } = await user.run('logs', '--limit', '1')
  assert.equal(output.split('\n').length, 2)
  assert.equal(talk, 'The newest 1 of 523 lines; --limit shows more\n')
})

test('nothing in a line can steer the terminal or forge another line', async (t) => {
  const [user] = await nodeWith(t, [
    line('a\u001b[2J\nb\u202e', {
      level: 'INFO\u0007',
      logger_name: 'G\r\nx',
      timestamp: '\u001b]0;x\u0007',
      fields: { 'k\n\u009b': 'v\u001b[31m', error: { name: 'E', message: 'm\n\u001b', stack: ['at\n\u001b[0m'] } },
    }),
  ])
  const { output } = await user.run('logs')
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(output.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u202e]/)
  assert.equal(output.split('\n').length, 3, 'the line, its one frame, the end')
})

test('mistakes are found before anybody is asked', async (t) => {
  const [user, node] = await nodeWith(t, [])
  const wrong = [
    ['--level', 'LOUD'],
    ['--limit', '0'],
    ['--limit', '1001'],
    ['--since', 'yesterday'],
    ['--since', '5'],
    ['--since', '2026-13-01'],
    ['--since', '999999999y'],
    ['--until', 'later'],
    ['--follow', '--until', '5m'],
    ['--follow', '--output', 'yaml'],
  ]
  for (const flags of wrong) {
    const { code, talk } = await user.run('logs', ...flags)
    assert.equal(code, 2, flags.join(' '))
    assert.ok(talk.includes(flags.length > 2 ? (flags[0] as string) : (flags[1] as string)), talk)
  }
  assert.deepEqual(node.requests, [])
})

test('a node that is not known is told with exit code 1', async (t) => {
  const [user, node] = await nodeWith(t, [])
  node.answers['GET /api/logs'] = problem('P2P_NETWORK_NODE_UNKNOWN', 404)
  const { code, talk } = await user.run('logs', '--node', 'nobody')
  assert.equal(code, 1)
  assert.match(talk, /P2P_NETWORK_NODE_UNKNOWN/)
})

const lines = (id: number, ...messages: string[]): string =>
  `event: lines\nid: ${id}\ndata: ${JSON.stringify(messages.map((message) => line(message)))}\n\n`

test('follows: the last lines, then every new one, going on after a lost connection where it was', async (t) => {
  const [user, node] = await nodeWith(t, [line('b'), line('a')])
  node.answers['GET /api/logs'] = { body: { logs: [line('b'), line('a')], total: 2, latest_cursor: 17 } }
  const streams = [`retry: 2000\n\n:\n\n${lines(19, 'c', 'd')}`, lines(21, 'e')]
  node.answers['GET /api/logs/events'] = () => {
    const body = streams.shift()
    if (body === undefined) user.stop.abort()
    return { body: body ?? ':\n\n', headers: { 'content-type': 'text/event-stream' } }
  }
  const { code, output } = await user.run('logs', '-f', '--level', 'error', '--node', 'worker-1')
  assert.equal(code, 0)
  assert.deepEqual(
    output
      .trimEnd()
      .split('\n')
      .map((text) => text.split(': ').at(-1)),
    ['a', 'b', 'c', 'd', 'e'],
  )
  const asked = node.requests.filter(({ path }) => path.startsWith('/api/logs/events'))
  assert.ok(asked.every(({ path }) => path === '/api/logs/events?after=17&node_id=worker-1&level=ERROR'))
  assert.deepEqual(
    asked.map(({ headers }) => headers['last-event-id']),
    [undefined, '19', '21'],
  )
})

test('follows for programs: a line of JSON each', async (t) => {
  const [user, node] = await nodeWith(t, [line('a')])
  let isOver = false
  node.answers['GET /api/logs/events'] = () => {
    if (isOver) user.stop.abort()
    isOver = true
    return { body: `event: later\ndata: 1\n\n${lines(2, 'b', 'c')}`, headers: { 'content-type': 'text/event-stream' } }
  }
  const { output } = await user.run('logs', '--follow', '--output', 'json')
  const messages = output
    .trimEnd()
    .split('\n')
    .map((text) => (JSON.parse(text) as { message: string }).message)
  assert.deepEqual(messages.slice(0, 3), ['a', 'b', 'c'])
})

test('a node that cannot be followed says where to ask', async (t) => {
  const [user, node] = await nodeWith(t, [line('a')])
  node.answers['GET /api/logs/events'] = problem('P2P_HTTP_COORDINATOR_ONLY', 403)
  const { code, talk } = await user.run('logs', '-f')
  assert.equal(code, 1)
  assert.match(talk, /P2P_HTTP_COORDINATOR_ONLY/)
})

test('--trace asks for the lines of one call; serious lines tell theirs', async (t) => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const [user, node] = await nodeWith(t, [
    line('A method failed', { level: 'ERROR', trace_id: trace }),
    line('Begun', { trace_id: trace }),
  ])
  const { code, output, talk } = await user.run('logs', '--trace', trace.toUpperCase())
  assert.equal(code, 0, talk)
  assert.match(node.requests.at(-1)?.path ?? '', new RegExp(`&trace_id=${trace}$`))
  assert.deepEqual(
    output.split('\n').map((text) => text.replace(/^.*: /, '')),
    ['Begun', `A method failed trace=${trace}`, ''],
  )
  const wrong = await user.run('logs', '--trace', 'abc')
  assert.equal(wrong.code, 2)
  assert.match(wrong.talk, /32 hex digits/)
})
