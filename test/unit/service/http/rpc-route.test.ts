import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonBody, nodeConnection, startStubNode } from './stub-node.ts'

const CALL = { jsonrpc: '2.0', method: 'inventory/list', id: 1 }

test('the body goes to the runtime as it came, with caller, trace, deadline and target', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('operator')
  const init = jsonBody(CALL)
  const headers = {
    ...(init.headers as Record<string, string>),
    'x-p2p-timeout-ms': '1500',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  }
  const answer = await node.ask('/rpc?node=worker-1', { ...init, headers, token })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/json')
  assert.equal(answer.text, '{"jsonrpc":"2.0","result":1,"id":1}')
  const [{ body, request }] = node.calls as [(typeof node.calls)[number]]
  assert.equal(body, JSON.stringify(CALL))
  assert.deepEqual(request.caller, { kind: 'person', name: 'operator', role: 'operator' })
  assert.equal(request.traceId, '4bf92f3577b34da6a3ce929d0e0e4736')
  assert.equal(request.deadlineMs, node.clock.nowMs() + 1500)
  assert.equal(request.target, 'worker-1')
  assert.ok(request.signal instanceof AbortSignal)
})

test('without wishes the call may run anywhere, as long as a call may take at most', async () => {
  await using node = await startStubNode()
  node.transport.connection = nodeConnection('worker')
  await node.ask('/rpc', jsonBody(CALL))
  const request = node.calls[0]?.request
  assert.equal(request?.target, undefined)
  assert.equal(request?.deadlineMs, node.clock.nowMs() + 600_000)
  assert.deepEqual(request?.caller, { kind: 'node', nodeId: 'worker-9', role: 'worker' })
})

test('a longer patience than allowed is cut to what is allowed', async () => {
  await using node = await startStubNode()
  node.transport.connection = nodeConnection('worker')
  const init = jsonBody(CALL)
  await node.ask('/rpc', { ...init, headers: { ...(init.headers as object), 'x-p2p-timeout-ms': '9'.repeat(12) } })
  assert.equal(node.calls[0]?.request.deadlineMs, node.clock.nowMs() + 600_000)
})

test('notifications alone are answered 204 without a body', async () => {
  await using node = await startStubNode({ rpc: { handleRpc: async () => ({ status: 204, body: undefined }) } })
  node.transport.connection = nodeConnection('worker')
  const answer = await node.ask('/rpc', jsonBody(CALL))
  assert.deepEqual([answer.status, answer.text, answer.headers.get('content-type')], [204, '', null])
})

test('what is refused before the runtime is a problem, and the runtime never hears of it', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('admin')
  const headers = { 'content-type': 'application/json' }
  const refusals: [string, RequestInit & { token?: string }, number, string][] = [
    ['/rpc', {}, 401, 'P2P_RPC_AUTHENTICATION_REQUIRED'],
    ['/rpc', { token: 'a.b.c' }, 401, 'P2P_AUTH_TOKEN_INVALID'],
    ['/rpc', { token, headers: { 'content-type': 'text/plain' } }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
    ['/rpc', { token, headers: { 'content-type': 'application/jsonx' } }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
    ['/rpc', { token, body: new Blob(['{}']), headers: {} }, 415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'],
    ['/rpc?node=../x', { token }, 400, 'P2P_RPC_INVALID_REQUEST'],
    ['/rpc?node=', { token }, 400, 'P2P_RPC_INVALID_REQUEST'],
    ['/rpc', { token, headers: { ...headers, 'x-p2p-timeout-ms': '0' } }, 400, 'P2P_RPC_INVALID_REQUEST'],
    ['/rpc', { token, headers: { ...headers, 'x-p2p-timeout-ms': 'soon' } }, 400, 'P2P_RPC_INVALID_REQUEST'],
    ['/rpc', { token, headers: { ...headers, 'x-p2p-timeout-ms': '1.5' } }, 400, 'P2P_RPC_INVALID_REQUEST'],
  ]
  for (const [path, init, status, code] of refusals) {
    const answer = await node.ask(path, { method: 'POST', body: '{}', headers, ...init })
    assert.equal(answer.status, status, `${path} ${answer.text}`)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(answer.json().code, code)
  }
  assert.deepEqual(node.calls, [])
})

test('a runtime that throws is a bug: 500, logged, nothing told', async () => {
  const handleRpc = () => Promise.reject(new Error('secret of the program'))
  await using node = await startStubNode({ rpc: { handleRpc } })
  node.transport.connection = nodeConnection('worker')
  const answer = await node.ask('/rpc', jsonBody(CALL))
  assert.equal(answer.status, 500)
  assert.doesNotMatch(answer.text, /secret of the program/)
  assert.deepEqual(node.logged, ['POST /rpc failed'])
})
