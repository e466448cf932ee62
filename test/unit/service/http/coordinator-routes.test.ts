import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { CertificateRequest, EnrolmentConnection } from '../../../../src/base/enrolment.ts'
import { PkiError } from '../../../../src/base/errors.ts'
import { jsonBody, member, membershipOf, nodeConnection, startStubNode } from './stub-node.ts'
import { CERTIFICATE_REQUEST, stubEnrolment, stubTrustAdmin } from './stub-trust.ts'

test('enrolment gets the request and the facts of its own connection', async () => {
  const seen: [CertificateRequest, EnrolmentConnection][] = []
  const enrolment = stubEnrolment({
    request: async (request, connection) => {
      seen.push([request, connection])
      return { status: 'issued', cluster: 'blue', certificate_chain: 'PEM', ca_certificate: 'ROOT' }
    },
  })
  await using node = await startStubNode({ enrolment })
  const answer = await node.ask('/internal/cert-request', jsonBody({ ...CERTIFICATE_REQUEST, later_field: 1 }))
  assert.equal(answer.status, 200)
  assert.equal(answer.json().certificate_chain, 'PEM')
  const [[request, connection]] = seen as [[CertificateRequest, EnrolmentConnection]]
  assert.deepEqual(request, CERTIFICATE_REQUEST, 'fields of later versions are left out')
  assert.equal(connection.remoteAddress, '192.0.2.7')
  assert.equal(connection.exporter().length, 32)
})

test('a stranger waits for a person up to 25 s, then is told to ask again; no timer is left', async () => {
  const waiting = Promise.withResolvers<void>()
  const stub = stubEnrolment()
  const enrolment = stubEnrolment({
    request: (...all) => {
      waiting.resolve()
      return stub.request(...all)
    },
  })
  await using node = await startStubNode({ enrolment })
  const asked = node.ask('/internal/cert-request', jsonBody(CERTIFICATE_REQUEST))
  await waiting.promise
  node.clock.advance(25_000)
  const answer = await asked
  assert.equal(answer.status, 202)
  assert.deepEqual(answer.json(), { status: 'pending', request_id: 'r1', fingerprint: 'f'.repeat(64) })
  assert.equal(node.clock.pendingTimers, 0)
})

test('a stranger who goes away stops waiting', async () => {
  const waiting = Promise.withResolvers<AbortSignal>()
  const stub = stubEnrolment()
  const enrolment = stubEnrolment({
    request: (request, connection, signal) => {
      waiting.resolve(signal)
      return stub.request(request, connection, signal)
    },
  })
  await using node = await startStubNode({ enrolment })
  const controller = new AbortController()
  const asked = fetch(`${node.url}/internal/cert-request`, {
    ...jsonBody(CERTIFICATE_REQUEST),
    signal: controller.signal,
  })
  const signal = await waiting.promise
  assert.equal(signal.aborted, false, 'a body that was read is no departure')
  controller.abort()
  await assert.rejects(asked)
  if (!signal.aborted) await once(signal, 'abort')
})

test('a certificate request of the wrong shape never reaches the authority', async () => {
  const request = () => assert.fail('reached')
  await using node = await startStubNode({ enrolment: stubEnrolment({ request }) })
  const wrong: [string, unknown][] = [
    ['body/node_id', { ...CERTIFICATE_REQUEST, node_id: '../x' }],
    ['body/role', { ...CERTIFICATE_REQUEST, role: 'admin' }],
    ['body/csr', { ...CERTIFICATE_REQUEST, csr: 'x'.repeat(16_385) }],
    ['body/ip_addresses', { ...CERTIFICATE_REQUEST, ip_addresses: Array(65).fill('192.0.2.1') }],
    ['body/challenge', { ...CERTIFICATE_REQUEST, challenge: 'short' }],
    ['body/challenge_port', { ...CERTIFICATE_REQUEST, challenge_port: 70_000 }],
    ['body/proof/kind', { ...CERTIFICATE_REQUEST, proof: { kind: 'trust-me' } }],
    ['body/proof/mac', { ...CERTIFICATE_REQUEST, proof: { kind: 'plot', mac: 'zz' } }],
    ['body', [CERTIFICATE_REQUEST]],
  ]
  for (const [path, body] of wrong) {
    const answer = await node.ask('/internal/cert-request', jsonBody(body))
    assert.equal(answer.status, 400, path)
    assert.equal(answer.json().issues[0].path, path)
  }
})

test('a refusal of the authority keeps its code', async () => {
  const enrolment = stubEnrolment({
    nonce: () => {
      throw new PkiError('P2P_PKI_TOKEN_EXPIRED', 'The token has expired')
    },
  })
  await using node = await startStubNode({ enrolment })
  const answer = await node.ask('/internal/cert-nonce', jsonBody({ client_nonce: 'abcdefghijklmnop' }))
  assert.deepEqual([answer.status, answer.json().code], [403, 'P2P_PKI_TOKEN_EXPIRED'])
})

test('the revocation list comes as DER, byte for byte', async () => {
  await using node = await startStubNode({ enrolment: stubEnrolment() })
  const response = await fetch(`${node.url}/internal/crl`)
  assert.equal(response.headers.get('content-type'), 'application/pkix-crl')
  assert.deepEqual([...new Uint8Array(await response.arrayBuffer())], [0x30, 0x03, 0x02, 0x01, 0x05])
})

test('an admin approves by fingerprint, rejects, revokes, and makes and withdraws tokens', async () => {
  const trustAdmin = stubTrustAdmin()
  await using node = await startStubNode({ trustAdmin })
  const token = await node.tokenFor('admin')
  const fingerprint = 'f'.repeat(64)
  const approved = await node.ask('/api/nodes/worker-7/approve', { ...jsonBody({ fingerprint }), token })
  assert.equal(approved.json().node_id, 'worker-7')
  await node.ask('/api/nodes/r1/reject', { method: 'POST', token })
  const revoked = await node.ask('/api/nodes/worker-7/certificates', { method: 'DELETE', token })
  assert.equal(revoked.json().revoked[0].revoked_at_ms, 5)
  const made = await node.ask('/api/tokens', { ...jsonBody({ uses: 50, ttl_s: 86_400 }), token })
  assert.deepEqual([made.status, made.json().token], [201, 'P2P1-x-y'])
  const withdrawn = await node.ask('/api/tokens/t1', { method: 'DELETE', token })
  assert.deepEqual([withdrawn.status, withdrawn.text], [204, ''])
  assert.deepEqual(trustAdmin.done, [
    `approve worker-7 ${fingerprint}`,
    'reject r1',
    'revoke node worker-7',
    'create {"role":"worker","uses":50,"ttlMs":86400000}',
    'revoke token t1',
  ])
})

test('approving nobody is 404, and a malformed fingerprint approves nothing', async () => {
  const trustAdmin = stubTrustAdmin()
  await using node = await startStubNode({ trustAdmin })
  const token = await node.tokenFor('admin')
  const unknown = await node.ask('/api/nodes/nobody/approve', { method: 'POST', token })
  assert.deepEqual([unknown.status, unknown.json().code], [404, 'P2P_PKI_REQUEST_UNKNOWN'])
  const before = trustAdmin.done.length
  const malformed = await node.ask('/api/nodes/worker-7/approve', { ...jsonBody({ fingerprint: 'ff' }), token })
  const misspelt = await node.ask('/api/nodes/worker-7/approve', { ...jsonBody({ fingerprnt: 'f'.repeat(64) }), token })
  assert.deepEqual([malformed.status, misspelt.status, trustAdmin.done.length], [400, 400, before])
})

test('a worker answers the coordinator routes with 403 and names the coordinators', async () => {
  const membership = membershipOf([member('worker-1', 'worker'), member('coordinator-1', 'coordinator')])
  await using node = await startStubNode({ membership, tokenIssuer: undefined })
  node.transport.connection = nodeConnection('coordinator')
  const admin = await node.tokenFor('admin')
  const asked: [string, RequestInit & { token?: string }][] = [
    ['/internal/ca-cert', {}],
    ['/internal/crl', {}],
    ['/internal/cert-nonce', jsonBody({ client_nonce: 'abcdefghijklmnop' })],
    ['/internal/cert-request', jsonBody(CERTIFICATE_REQUEST)],
    ['/auth/token', jsonBody({ credential: node.credential })],
    ['/api/nodes/pending', { token: admin }],
    ['/api/tokens', { token: admin }],
    ['/api/ca', { token: admin }],
  ]
  for (const [path, init] of asked) {
    if (init.token) node.transport.connection = { ...node.transport.connection, identity: undefined }
    const answer = await node.ask(path, init)
    assert.deepEqual([answer.status, answer.json().code], [403, 'P2P_HTTP_COORDINATOR_ONLY'], path)
    assert.match(answer.json().detail, /ask 10\.0\.0\.13:8001/)
    assert.deepEqual(answer.json().details, { coordinators: ['10.0.0.13:8001'] })
  }
})
