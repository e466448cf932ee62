import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGate } from '../../../../src/service/http/gate.ts'
import { createRateLimiter } from '../../../../src/transport/index.ts'
import { ManualClock } from '../auth/manual-clock.ts'
import { jsonBody, nodeConnection, startStubNode, strangerConnection } from './stub-node.ts'

function limitsOf(burst: number) {
  const clock = new ManualClock()
  const limiter = () => createRateLimiter({ clock }, { perMinute: 60, burst })
  return { clock, limits: { rpc: limiter(), health: limiter(), default: limiter() } }
}

test('a stranger who asks too often is told when to come back, and then may', async () => {
  const { clock, limits } = limitsOf(2)
  await using node = await startStubNode({ limits })
  assert.equal((await node.ask('/health')).status, 200)
  assert.equal((await node.ask('/health')).status, 200)
  const refused = await node.ask('/health')
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '1'])
  assert.deepEqual(refused.json().code, 'P2P_RPC_RATE_LIMITED')
  assert.equal(refused.json().retryable, true)
  clock.advance(1_000)
  assert.equal((await node.ask('/health')).status, 200)
})

test('each address has its own bucket, each IPv6 network one together, and no header changes that', async () => {
  const { limits } = limitsOf(1)
  await using node = await startStubNode({ limits })
  const ask = async (address: string, headers: Record<string, string> = {}): Promise<number> => {
    node.transport.connection = strangerConnection(address)
    return (await node.ask('/health', { headers })).status
  }
  assert.equal(await ask('192.0.2.1'), 200)
  assert.equal(await ask('192.0.2.2'), 200)
  assert.equal(await ask('192.0.2.1', { 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9' }), 429)
  assert.equal(await ask('2001:db8::1'), 200)
  assert.equal(await ask('2001:db8::2'), 429)
})

test('the three classes do not eat from each other', async () => {
  const { limits } = limitsOf(1)
  await using node = await startStubNode({ limits })
  const token = await node.tokenFor('viewer')
  assert.equal((await node.ask('/services', { token })).status, 200)
  assert.equal((await node.ask('/services', { token })).status, 429)
  assert.equal((await node.ask('/metrics', { token })).status, 200)
  assert.equal((await node.ask('/rpc', { ...jsonBody({}), token })).status, 200)
  const refused = await node.ask('/rpc', { ...jsonBody({}), token })
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '1'])
})

test('a person is limited as one, wherever the requests come from', async () => {
  const { limits } = limitsOf(1)
  await using node = await startStubNode({ limits })
  const token = await node.tokenFor('viewer')
  assert.equal((await node.ask('/services', { token })).status, 200)
  node.transport.connection = strangerConnection('198.51.100.1')
  assert.equal((await node.ask('/services', { token: await node.tokenFor('viewer') })).status, 429)
})

test('nodes are not limited by what is meant for people', async () => {
  const { limits } = limitsOf(1)
  await using node = await startStubNode({ limits })
  node.transport.connection = nodeConnection('worker')
  for (let i = 0; i < 5; i++) {
    assert.equal((await node.ask('/rpc', jsonBody({}))).status, 200)
    assert.equal((await node.ask('/cluster/nodes')).status, 200)
    assert.equal((await node.ask('/health')).status, 200)
  }
})

test('a node that floods is limited by itself, others are not, and it is renewed all the same', async () => {
  const { clock, limits } = limitsOf(1)
  let nodeId = 'rogue'
  const authenticator = { authenticate: async () => ({ kind: 'node', nodeId, role: 'worker' }) as const }
  const gate = createGate({ clock, authenticator, limits })
  const request = { headers: {}, connection: nodeConnection('worker') }
  for (let i = 0; i < 6_000; i++) await gate.admit('POST /rpc', request)
  for (const key of ['POST /rpc', 'GET /metrics', 'GET /health', undefined] as const) {
    await assert.rejects(gate.admit(key, request), {
      code: 'P2P_RPC_RATE_LIMITED',
      details: { retry_after_s: 1 },
    })
  }
  await gate.admit('POST /internal/cert-request', request)
  clock.advance(1)
  await gate.admit('POST /rpc', request)
  nodeId = 'honest'
  await gate.admit('POST /rpc', request)
})

test('guessing is limited by address: credentials, tokens and paths', async () => {
  for (const guess of [
    ['/auth/token', jsonBody({ credential: 'P2PO1-wrong' }), 401],
    ['/services', { token: 'a.b.c' }, 401],
    ['/nope', {}, 401],
  ] as const) {
    const { limits } = limitsOf(2)
    await using node = await startStubNode({ limits })
    const [path, init, status] = guess
    const answers = [await node.ask(path, init), await node.ask(path, init), await node.ask(path, init)]
    assert.deepEqual(
      answers.map((answer) => answer.status),
      [status, status, 429],
      path,
    )
  }
})

test('without limits nobody is limited', async () => {
  await using node = await startStubNode()
  for (let i = 0; i < 20; i++) assert.equal((await node.ask('/health')).status, 200)
})

test('joining has a lane of its own: a thousand machines behind one address get in, a flood does not', async () => {
  const { clock, limits } = limitsOf(1)
  const authenticator = { authenticate: async () => assert.fail('open routes ask for no credential') }
  const gate = createGate({ clock, authenticator, limits })
  const request = { headers: {}, connection: strangerConnection() }
  for (let i = 0; i < 1_000; i++) {
    await gate.admit('GET /internal/ca-cert', request)
    await gate.admit('POST /internal/cert-nonce', request)
    await gate.admit('POST /internal/cert-request', request)
  }
  await assert.rejects(gate.admit('POST /internal/cert-nonce', request), { code: 'P2P_RPC_RATE_LIMITED' })
  clock.advance(10)
  await gate.admit('POST /internal/cert-nonce', request)
})

test('the files of a page have a lane of their own: several people behind one address see it whole, a flood does not', async () => {
  const { clock, limits } = limitsOf(1)
  const authenticator = { authenticate: async () => assert.fail('open routes ask for no credential') }
  const gate = createGate({ clock, authenticator, limits })
  const request = { headers: {}, connection: strangerConnection() }
  await gate.admit('GET /dashboard', request)
  for (let i = 0; i < 500; i++) {
    await gate.admit('GET /dashboard/assets/{file}', request)
    await gate.admit('GET /docs/assets/{file}', request)
  }
  await assert.rejects(gate.admit('GET /dashboard/assets/{file}', request), { code: 'P2P_RPC_RATE_LIMITED' })
  await assert.rejects(gate.admit('GET /dashboard', request), { code: 'P2P_RPC_RATE_LIMITED' })
})
