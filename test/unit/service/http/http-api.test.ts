import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import { test } from 'node:test'
import { StorageError } from '../../../../src/base/errors.ts'
import { INVENTORY, jsonBody, type StubNode, startStubNode, strangerConnection } from './stub-node.ts'
import { stubTrustAdmin } from './stub-trust.ts'

const HEX_32 = /^[0-9a-f]{32}$/

test('health tells strangers little: status, node id and how many services do well', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/health')
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.json(), {
    status: 'healthy',
    node_id: 'coordinator-1',
    services: { total: 1, healthy: 1, degraded: 0 },
    timestamp: '2026-01-01T00:00:00.000Z',
  })
})

test('health is degraded, with status 200, while a service has failed or says it is failing', async () => {
  const list = () => [
    INVENTORY,
    { ...INVENTORY, name: 'a', health: 'failing' as const },
    { ...INVENTORY, name: 'b', status: 'error' as const },
    { ...INVENTORY, name: 'c', status: 'initializing' as const },
  ]
  await using node = await startStubNode({ services: { list, get: () => undefined } })
  const answer = await node.ask('/health')
  assert.equal(answer.status, 200)
  assert.equal(answer.json().status, 'degraded')
  assert.deepEqual(answer.json().services, { total: 4, healthy: 1, degraded: 2 })
})

test('an expired token does not turn a health check red', async () => {
  await using node = await startStubNode()
  assert.equal((await node.ask('/health', { token: 'a.b.c' })).status, 200)
})

test('requests that come together while the application loads are all answered', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  const answers = await Promise.all(Array.from({ length: 10 }, () => node.ask('/services', { token })))
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
})

test('cluster nodes carry the field names of the Python program', async () => {
  await using node = await startStubNode()
  const answer = (await node.ask('/cluster/nodes', { token: await node.tokenFor('viewer') })).json()
  assert.deepEqual([answer['cluster_size'], answer['coordinators'], answer['workers']], [2, 1, 1])
  const [coordinator, worker] = answer['nodes']
  assert.deepEqual(worker, {
    node_id: 'worker-1',
    address: '10.0.0.8',
    port: 8001,
    role: 'worker',
    status: 'suspected',
    services: {
      inventory: { version: '1.2.0', status: 'healthy', description: 'Hosts', methods: ['list'] },
      watch: { version: '1.0.0', status: 'failing', description: 'Folders', methods: [] },
    },
    addresses: ['10.0.0.8', 'fd00::1'],
    last_seen: '2025-12-31T00:00:00.000Z',
    metadata: {
      started_at: '2025-12-31T23:59:00.000Z',
      version: '3.0.0',
      cpus: 2,
      memory_bytes: 1000,
      labels: { rack: 'a' },
    },
    capabilities: ['inventory'],
  })
  assert.equal(coordinator.last_seen, '2026-01-01T00:00:00.000Z', 'a node that is alive is seen now')
})

test('services are listed by name without the methods nobody outside can call', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  const listed = (await node.ask('/services', { token })).json()
  assert.deepEqual(Object.keys(listed), ['inventory'])
  assert.deepEqual(listed['inventory'].methods, ['inventory/list'])
  assert.deepEqual(listed['inventory'].info.exposed_methods, ['list'])
  const one = (await node.ask('/services/inventory', { token })).json()
  assert.deepEqual({ ...one, method_details: undefined }, { ...listed['inventory'], method_details: undefined })
  assert.deepEqual(
    one['method_details'].map(({ name }: { name: string }) => name),
    ['list'],
  )
  assert.equal(one['method_details'][0].params.properties.prefix.$ref, '#/$defs/name')
})

test('an unknown service is 404 and names the ones there are', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/services/nope', { token: await node.tokenFor('viewer') })
  assert.equal(answer.status, 404)
  assert.equal(answer.json().code, 'P2P_SERVICE_NOT_FOUND')
  assert.match(answer.json().detail, /inventory/)
})

test('status adds what is known of the process and leaves out what is not', async () => {
  const nodeFacts = () => ({ certificateNotAfterMs: Date.UTC(2027, 0, 1), memoryRssBytes: 5 })
  await using node = await startStubNode({ nodeFacts })
  const status = (await node.ask('/api/status', { token: await node.tokenFor('viewer') })).json()
  assert.equal(status['uptime_s'], 60)
  assert.deepEqual(status['members'], { alive: 1, suspected: 1, dead: 0, left: 0 })
  assert.deepEqual(status['certificate'], { serial: '0a', not_after: '2027-01-01T00:00:00.000Z' })
  assert.equal(status['memory_rss_bytes'], 5)
  assert.ok(!('storage_bytes' in status))
})

test('a problem says what, where and under which trace, and nothing of the program', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/cluster/node?secret=1', { token: await node.tokenFor('viewer') })
  const { trace_id, ...problem } = answer.json()
  assert.equal(answer.headers.get('content-type'), 'application/problem+json')
  assert.match(trace_id, HEX_32)
  assert.deepEqual(problem, {
    type: 'urn:p2p-core:error:P2P_HTTP_NOT_FOUND',
    title: 'Not Found',
    status: 404,
    detail: 'There is no /cluster/node on this node; did you mean /cluster/nodes?',
    instance: '/cluster/node',
    code: 'P2P_HTTP_NOT_FOUND',
    retryable: false,
    details: { near: ['/cluster/nodes'] },
  })
})

test('a path like no other is 404 without a guess', async () => {
  await using node = await startStubNode()
  const answer = await node.ask(`/${'x'.repeat(500)}`, { token: await node.tokenFor('viewer') })
  assert.equal(answer.status, 404)
  assert.match(answer.json().detail, /openapi\.json/)
})

test('a wrong method is 405 and names the right ones, to whom the path is open or who may know', async () => {
  await using node = await startStubNode()
  const open = await node.ask('/health', { method: 'POST' })
  assert.deepEqual([open.status, open.headers.get('allow')], [405, 'GET'])
  assert.equal((await node.ask('/rpc')).status, 401)
  const known = await node.ask('/rpc', { token: await node.tokenFor('viewer') })
  assert.deepEqual([known.status, known.headers.get('allow')], [405, 'POST'])
  const several = await node.ask('/api/tokens', { method: 'PUT', token: await node.tokenFor('admin') })
  assert.deepEqual([several.status, several.headers.get('allow')], [405, 'GET, POST'])
})

test('the trace id of the caller is kept; a malformed one is replaced', async () => {
  await using node = await startStubNode()
  const given = '4bf92f3577b34da6a3ce929d0e0e4736'
  const ask = (traceparent: string) => node.ask('/services', { headers: { traceparent } })
  assert.equal((await ask(`00-${given}-00f067aa0ba902b7-01`)).json().trace_id, given)
  for (const malformed of [
    given,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${given}\u00e4-00f067aa0ba902b7-01`,
  ]) {
    const { trace_id } = (await ask(malformed)).json()
    assert.match(trace_id, HEX_32)
    assert.notEqual(trace_id, given)
  }
})

const askForToken = (node: StubNode, init: RequestInit) => node.ask('/auth/token', { method: 'POST', ...init })
const json = { 'content-type': 'application/json' }

test('a body that is not JSON, too deep, too large, of another type, or poisoned is refused by name', async () => {
  await using node = await startStubNode()
  const refusals: [string, RequestInit, number, string][] = [
    ['malformed', { headers: json, body: '{"credential":' }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['empty', { headers: json, body: '' }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['not UTF-8', { headers: json, body: new Uint8Array([0x22, 0xff, 0x22]) }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['deep', { headers: json, body: '['.repeat(33) + ']'.repeat(33) }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['very deep', { headers: json, body: '['.repeat(60_000) }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['poisoned', { headers: json, body: '{"credential":"x","__proto__":{"a":1}}' }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['escaped', { headers: json, body: '{"credential":"x","__pr\\u006fto__":1}' }, 400, 'P2P_HTTP_BODY_INVALID'],
    ['large', { headers: json, body: JSON.stringify('x'.repeat(1_048_576)) }, 413, 'P2P_TRANSPORT_TOO_LARGE'],
    [
      'large for who is not known',
      { headers: json, body: JSON.stringify('x'.repeat(65_536)) },
      413,
      'P2P_TRANSPORT_TOO_LARGE',
    ],
    ['text', { headers: { 'content-type': 'text/plain' }, body: '{}' }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
    ['no type', { body: new Blob(['{}']) }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
    ['form', { body: new URLSearchParams({ credential: 'x' }) }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
  ]
  for (const [what, init, status, code] of refusals) {
    const answer = await askForToken(node, init)
    assert.equal(answer.status, status, `${what}: ${answer.text}`)
    assert.equal(answer.json().code, code, what)
  }
})

test('a body of the wrong shape is answered with the path of each mistake', async () => {
  await using node = await startStubNode()
  const answer = await askForToken(node, jsonBody({ credential: 7, role: 'root', ttl_s: 1e9, extra: 1 }))
  assert.equal(answer.status, 400)
  const paths = answer.json().issues.map(({ path }: { path: string }) => path)
  assert.deepEqual(paths, ['body/credential', 'body/role', 'body/ttl_s', 'body'])
  assert.match(answer.json().detail, /body\/role/)
})

test('a wrong query is answered with its path', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/metrics?format=xml', { token: await node.tokenFor('viewer') })
  assert.equal(answer.status, 400)
  assert.equal(answer.json().issues[0].path, 'querystring/format')
})

test('a URL that cannot be decoded is 400 with the headers of every answer', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/services/%E0%A4%A')
  assert.equal(answer.status, 400)
  assert.equal(answer.json().code, 'P2P_HTTP_BODY_INVALID')
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
})

test('an error of ours keeps its code and status; a bug is told as a trace id only, and logged', async () => {
  const trustAdmin = stubTrustAdmin()
  await using node = await startStubNode({ trustAdmin })
  const token = await node.tokenFor('admin')
  trustAdmin.listTokens = () => Promise.reject(new StorageError('P2P_STORAGE_FULL', 'The disk is full'))
  const full = await node.ask('/api/tokens', { token })
  assert.deepEqual([full.status, full.json().code, full.json().retryable], [507, 'P2P_STORAGE_FULL', true])
  assert.deepEqual(node.logged, [])
  trustAdmin.listTokens = () => Promise.reject(new Error('secret of the program'))
  const bug = await node.ask('/api/tokens', { token })
  assert.deepEqual([bug.status, bug.json().code], [500, 'P2P_RPC_INTERNAL'])
  assert.doesNotMatch(bug.text, /secret of the program|\.ts|node_modules/)
  assert.match(bug.json().detail, new RegExp(bug.json().trace_id))
  assert.equal(node.logged.length, 1)
})

test('an answer of ours that breaks its own schema is a bug, not something to send', async () => {
  const trustAdmin = stubTrustAdmin()
  await using node = await startStubNode({ trustAdmin })
  trustAdmin.listTokens = async () => [{ token_id: 't', secret: 'x' } as never]
  const answer = await node.ask('/api/tokens', { token: await node.tokenFor('admin') })
  assert.equal(answer.status, 500)
  assert.doesNotMatch(answer.text, /secret/)
})

test('every answer forbids caching, framing, sniffing and loading anything', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  for (const path of ['/health', '/services', '/nope', '/rpc']) {
    const { headers } = await node.ask(path, path === '/rpc' ? { ...jsonBody({}), token } : { token })
    assert.equal(headers.get('content-security-policy'), "default-src 'none'; frame-ancestors 'none'", path)
    assert.equal(headers.get('cache-control'), 'no-store', path)
    assert.equal(headers.get('x-content-type-options'), 'nosniff', path)
    assert.equal(headers.get('x-frame-options'), 'DENY', path)
    assert.equal(headers.get('access-control-allow-origin'), null, path)
  }
})

test('a certificate that is shown but not accepted is named as the reason', async () => {
  await using node = await startStubNode()
  node.transport.connection = { ...strangerConnection(), peerCertificateDer: new Uint8Array([48]) }
  assert.match((await node.ask('/services')).json().detail, /certificate shown is not accepted/)
})

test('a bad token is told apart from none, by code and by WWW-Authenticate', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/services', { token: 'a.b.c' })
  assert.deepEqual([answer.status, answer.json().code], [401, 'P2P_AUTH_TOKEN_INVALID'])
  assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="p2p-core", error="invalid_token"')
})

test('credential for token, token for service, revocation for 401', async () => {
  await using node = await startStubNode()
  const issued = await node.ask('/auth/token', jsonBody({ credential: node.credential, role: 'viewer', ttl_s: 43_200 }))
  assert.deepEqual(
    { ...issued.json(), access_token: '' },
    {
      access_token: '',
      token_type: 'bearer',
      expires_in: 43_200,
      role: 'viewer',
    },
  )
  const token: string = issued.json().access_token
  assert.equal((await node.ask('/services', { token })).status, 200)
  const revoked = await node.ask('/auth/revoke', { method: 'POST', token })
  assert.deepEqual([revoked.status, revoked.json()], [200, { message: 'Token revoked' }])
  const refused = await node.ask('/services', { token })
  assert.deepEqual([refused.status, refused.json().code], [401, 'P2P_AUTH_TOKEN_REVOKED'])
})

test('a wrong credential is 401 and not repeated', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/auth/token', jsonBody({ credential: 'P2PO1-wrong' }))
  assert.deepEqual([answer.status, answer.json().code], [401, 'P2P_AUTH_CREDENTIAL_INVALID'])
  assert.doesNotMatch(answer.text, /P2PO1-wrong/)
})

test('the node_id that once got anybody a token is refused', async () => {
  await using node = await startStubNode()
  assert.equal((await node.ask('/auth/token', jsonBody({ node_id: 'worker-1' }))).status, 400)
})

test('everything works over HTTP/2', async () => {
  await using node = await startStubNode({}, { http2: true })
  const token = await node.tokenFor('viewer')
  const session = connect(node.url)
  const ask = (headers: Record<string, string>, body?: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ authorization: `Bearer ${token}`, ...headers })
      let status = 0
      let text = ''
      stream.setEncoding('utf8')
      stream.on('response', (answer) => (status = Number(answer[':status'])))
      stream.on('data', (chunk: string) => (text += chunk))
      stream.on('end', () => resolve({ status, text }))
      stream.on('error', reject)
      stream.end(body)
    })
  try {
    assert.equal((await ask({ ':path': '/services' })).status, 200)
    const tokenAnswer = await ask(
      { ':path': '/auth/token', ':method': 'POST', 'content-type': 'application/json' },
      JSON.stringify({ credential: node.credential }),
    )
    assert.equal(JSON.parse(tokenAnswer.text).token_type, 'bearer')
    assert.equal((await ask({ ':path': '/nope' })).status, 404)
    assert.equal((await ask({ ':path': '/docs' })).status, 200)
  } finally {
    session.close()
  }
})

test('after stop every request is told that the node is stopping', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  await node.ask('/services', { token })
  await node.api.stop()
  await node.api.stop()
  const answer = await node.ask('/services', { token })
  assert.deepEqual([answer.status, answer.json().code, answer.json().retryable], [503, 'P2P_HTTP_STOPPING', true])
})
