import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test, type TestContext } from 'node:test'
import { type FakeUser, fakeUser } from './fake-host.ts'
import { problem, type StubNode, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const event = (id: number, title: string, more: object = {}) => ({
  id: String(id),
  time: '2026-01-02T03:04:05.067Z',
  kind: 'deploy',
  severity: 'info',
  title,
  ...more,
})

async function nodeWith(t: TestContext, events: object[]): Promise<[FakeUser, StubNode]> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = {
    body: { access_token: 't', token_type: 'bearer', expires_in: 43_200, role: 'admin' },
  }
  node.answers['GET /api/events'] = { body: { events, cursor: null, latest: '7' } }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const credential = { cluster: 'c1', credential: 'P2PO1-x', url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(credential))
  return [user, node]
}

test('events read as a log does, the newest last; texts of others steer no terminal', async (t) => {
  const [user, node] = await nodeWith(t, [
    event(2, 'hello was given up on w1', { kind: 'health', severity: 'error', detail: 'it ended\u001b[2J\nwith 1' }),
    event(1, 'ada deployed hello 1.1.0'),
  ])
  const { code, output, talk } = await user.run('events', '--service', 'hello', '--kind', 'deploy', '--kind', 'HEALTH')
  assert.equal(code, 0, talk)
  assert.equal(
    output,
    `2026-01-02 03:04:05 · deploy      ada deployed hello 1.1.0
2026-01-02 03:04:05 ✗ health      hello was given up on w1
                                  it ended\uFFFD[2J with 1
`,
  )
  assert.ok(node.requests.some(({ path }) => path === '/api/events?limit=50&service=hello&kind=deploy%2Chealth'))
})

test('follows: the last events, then every new one, going on after a lost connection where it was', async (t) => {
  const [user, node] = await nodeWith(t, [event(7, 'b'), event(6, 'a')])
  const streams = [`event: events\nid: 9\ndata: ${JSON.stringify([event(8, 'c'), event(9, 'd')])}\n\n`]
  node.answers['GET /api/events/follow'] = () => {
    const body = streams.shift()
    if (body === undefined) user.stop.abort()
    return { body: body ?? ':\n\n', headers: { 'content-type': 'text/event-stream' } }
  }
  const { code, output } = await user.run('events', '-f', '--output', 'json', '--node', 'w1')
  assert.equal(code, 0)
  const titles = output
    .trimEnd()
    .split('\n')
    .map((text) => (JSON.parse(text) as { title: string }).title)
  assert.deepEqual(titles, ['a', 'b', 'c', 'd'])
  const asked = node.requests.filter(({ path }) => path.startsWith('/api/events/follow'))
  assert.ok(asked.every(({ path }) => path === '/api/events/follow?after=7&node_id=w1'))
  assert.deepEqual(
    asked.map(({ headers }) => headers['last-event-id']),
    [undefined, '9'],
  )
})

test('what makes no sense is refused before anything is asked', async (t) => {
  const [user] = await nodeWith(t, [])
  assert.equal((await user.run('events', '--kind', 'weather')).code, 2)
  assert.equal((await user.run('events', '-f', '--until', '1h')).code, 2)
  assert.match((await user.run('events', '--since', 'soon')).talk, /neither a span/)
  assert.match((await user.run('events')).talk, /Nothing of that kind happened/)
})

const ANSWER = {
  kind: 'node',
  name: 'w1',
  state: 'down',
  summary: 'No member of the cluster has reached w1 for 5 minutes.',
  cause: { what: 'disk', text: 'Its last word: the disk failed.', since: '2026-01-02T03:04:05.000Z' },
  before: [event(1, 'w1 joined as worker', { kind: 'member' })],
  logs: [
    {
      timestamp: '2026-01-02T03:04:05.067Z',
      node_id: 'w1',
      level: 'CRITICAL',
      logger_name: 'Vault',
      message: 'The disk failed',
    },
  ],
  remedy: 'Make room.',
}

test('why: a service of that name first, then a node; the whole answer in order', async (t) => {
  const [user, node] = await nodeWith(t, [])
  node.answers['GET /api/why/service/w1'] = problem('P2P_SERVICE_NOT_FOUND', 404)
  node.answers['GET /api/why/node/w1'] = { body: ANSWER }
  const { code, output, talk } = await user.run('why', 'w1')
  assert.equal(code, 0, talk)
  assert.match(
    output,
    /^No member.*\n\nWhy \(now\)\n {2}Its last word.*\n\nWhat to do\n {2}Make room\.\n\nWhat happened up to then\n {2}2026.*w1 joined as worker\n\nIts last warnings and errors\n {2}2026.*CRITICAL w1 Vault: The disk failed\n$/,
  )
})

test('why: a name that is neither is refused', async (t) => {
  const [user, node] = await nodeWith(t, [])
  node.answers['GET /api/why/service/w7'] = problem('P2P_SERVICE_NOT_FOUND', 404)
  node.answers['GET /api/why/node/w7'] = problem('P2P_NETWORK_NODE_UNKNOWN', 404)
  assert.notEqual((await user.run('why', 'w7')).code, 0)
  assert.equal(node.requests.filter(({ path }) => path.startsWith('/api/why/')).length, 2)
  assert.notEqual((await user.run('why', 'w7', '--kind', 'service')).code, 0)
  assert.equal(node.requests.filter(({ path }) => path.startsWith('/api/why/')).length, 3)
})
