import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StubAcme } from './stub-acme.ts'
import { jsonBody, startStubNode } from './stub-node.ts'

const JOSE = { 'content-type': 'application/jose+json' }

test('a signed request reaches the server with the URL as the client wrote it, and its answer comes back unchanged', async () => {
  const acme = new StubAcme()
  await using node = await startStubNode({ acme, acmeAdmin: acme })
  const answer = await node.ask('/acme/order/o1/finalize', {
    method: 'POST',
    headers: { ...JOSE, host: 'ca.test:8001' },
    body: '{"protected":"","payload":"","signature":""}',
  })
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.json(), { status: 'valid' })
  assert.equal(answer.headers.get('replay-nonce'), 'another')
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  const [{ request, body } = { request: undefined, body: undefined }] = acme.posted
  assert.equal(request?.path, '/acme/order/o1/finalize')
  assert.match(request?.base ?? '', /^https:\/\//)
  assert.deepEqual(body, { protected: '', payload: '', signature: '' })
})

test('a body of another type, or none, never reaches the server', async () => {
  const acme = new StubAcme()
  await using node = await startStubNode({ acme, acmeAdmin: acme })
  assert.equal((await node.ask('/acme/new-order', jsonBody({}))).status, 415)
  const form = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' }
  assert.equal((await node.ask('/acme/new-order', form)).status, 415)
  assert.equal((await node.ask('/acme/new-order', { method: 'POST', headers: JOSE, body: '{' })).status, 400)
  assert.deepEqual(acme.posted, [])
})

test('a nonce is in the header, of HEAD with status 200, of GET with 204', async () => {
  const acme = new StubAcme()
  await using node = await startStubNode({ acme, acmeAdmin: acme })
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
  ] as const) {
    const answer = await node.ask('/acme/new-nonce', { method })
    assert.equal(answer.status, status)
    assert.equal(answer.headers.get('replay-nonce'), 'a-nonce')
  }
})

test('a worker says where the server is', async () => {
  await using node = await startStubNode({})
  const answer = await node.ask('/acme/directory')
  assert.equal(answer.status, 403)
  assert.equal(answer.json().code, 'P2P_HTTP_COORDINATOR_ONLY')
})
