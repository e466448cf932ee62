import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AcmeRequest } from '../../../../src/base/acme.ts'
import type { CertificateAnswer, TrustAdmin } from '../../../../src/base/enrolment.ts'
import { PkiError, StorageError } from '../../../../src/base/errors.ts'
import { ACCESS, type RouteKey } from '../../../../src/service/auth/access.ts'
import { isAudited } from '../../../../src/service/auth/audited.ts'
import { StubAudit } from './stub-audit.ts'
import { jsonBody, startStubNode } from './stub-node.ts'
import { StubAcme } from './stub-acme.ts'
import { CERTIFICATE_REQUEST, stubEnrolment, stubTrustAdmin } from './stub-trust.ts'

test('a privileged act is recorded before it is done, with who and from where, and then how it ended', async () => {
  const audit = new StubAudit()
  const order: string[] = []
  const trustAdmin: TrustAdmin = {
    ...stubTrustAdmin(),
    createToken: async () => {
      order.push(...audit.written, 'done')
      return {
        token: 'P2P1-x-y',
        facts: { token_id: 't', role: 'worker', uses_left: 1, expires_at_ms: 1, created_at_ms: 1 },
      }
    },
  }
  await using node = await startStubNode({ audit, trustAdmin })
  const token = await node.tokenFor('admin')
  const answer = await node.ask('/api/tokens', { ...jsonBody({ uses: 3 }), token })
  assert.equal(answer.status, 201)
  assert.match(order.join(), /^intent POST \/api\/tokens person:\w+,done$/)
  assert.equal(audit.written.at(-1), 'succeeded POST /api/tokens 201')
  assert.equal(audit.acts[0]?.role, 'admin')
  assert.ok(audit.acts[0]?.from)
  assert.ok(!JSON.stringify(audit.acts).includes('P2P1'))
})

test('what was refused and what failed is recorded too', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit, trustAdmin: stubTrustAdmin() })
  assert.equal((await node.ask('/api/tokens', jsonBody({}))).status, 401)
  const viewer = await node.tokenFor('viewer')
  assert.equal((await node.ask('/api/nodes/worker-7/approve', { method: 'POST', token: viewer })).status, 403)
  const admin = await node.tokenFor('admin')
  assert.equal((await node.ask('/api/tokens', { ...jsonBody({ uses: -1 }), token: admin })).status, 400)
  const [anonymous, denied, , failed] = audit.written
  assert.equal(anonymous, 'refused POST /api/tokens anonymous P2P_RPC_AUTHENTICATION_REQUIRED')
  assert.match(denied ?? '', /^refused POST \/api\/nodes\/\{id\}\/approve person:\w+ P2P_RPC_ACCESS_DENIED$/)
  assert.equal(failed, 'failed POST /api/tokens 400')
  assert.equal(audit.acts[1]?.target, 'worker-7')
})

test('without a record nothing privileged is done', async () => {
  const audit = new StubAudit()
  audit.failure = new StorageError('P2P_STORAGE_FULL', 'The audit trail cannot be written')
  let isDone = false
  const trustAdmin: TrustAdmin = {
    ...stubTrustAdmin(),
    revokeToken: async () => {
      isDone = true
    },
  }
  await using node = await startStubNode({ audit, trustAdmin })
  const token = await node.tokenFor('admin')
  const answer = await node.ask('/api/tokens/t1', { method: 'DELETE', token })
  assert.equal(answer.status, 507)
  assert.equal(isDone, false)
  assert.equal((await node.ask('/api/tokens', { token })).status, 200, 'reading goes on')
})

test('every route that changes something for somebody with a role is recorded', () => {
  const changing = (Object.keys(ACCESS) as RouteKey[]).filter(
    (key) => !key.startsWith('GET ') && ACCESS[key] !== 'open',
  )
  const left = changing.filter((key) => !isAudited(key))
  assert.deepEqual(left.sort(), [
    'POST /api/audit/verify',
    'POST /api/deployments/{service}/plan',
    'POST /p2p/v1/channel',
    'POST /rpc',
    'PUT /api/artifacts/{digest}',
  ])
})

test('who joins and who is refused is recorded with the name that was asked for; a renewal is not', async () => {
  const audit = new StubAudit()
  let answer: CertificateAnswer | Error = new PkiError('P2P_PKI_TOKEN_USED_UP', 'The token has no uses left')
  const enrolment = stubEnrolment({
    request: async () => {
      if (answer instanceof Error) throw answer
      return answer
    },
  })
  await using node = await startStubNode({ audit, enrolment })
  const join = async (): Promise<string[]> => {
    audit.written.length = 0
    await node.ask('/internal/cert-request', jsonBody(CERTIFICATE_REQUEST))
    return audit.written
  }
  const act = 'POST /internal/cert-request'
  assert.deepEqual(await join(), [`refused ${act} anonymous P2P_PKI_TOKEN_USED_UP`])
  assert.deepEqual([audit.acts[0]?.target, audit.acts[0]?.from], ['worker-7', '192.0.2.7'])
  answer = new PkiError('P2P_PKI_BUSY', 'Try again')
  assert.deepEqual(await join(), [])
  answer = { status: 'issued', cluster: 'blue', certificate_chain: 'LEAF', ca_certificate: 'ROOT' }
  assert.deepEqual(await join(), [`intent ${act} anonymous`, `succeeded ${act} approved`])
  node.transport.connection = { ...node.transport.connection, peerCertificateDer: new Uint8Array([48]) }
  assert.deepEqual(await join(), [])
})

test('forged tokens are recorded wherever they are shown, old ones are not', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit })
  const good = await node.tokenFor('viewer')
  const forged = `${good.slice(0, -4)}AAAA`
  await node.ask('/cluster/nodes', { token: forged })
  await node.ask('/rpc', { ...jsonBody({ jsonrpc: '2.0', method: 'a/b', id: 1 }), token: forged })
  await node.ask('/nowhere', { token: forged })
  assert.deepEqual(audit.written, [
    'refused GET /cluster/nodes anonymous P2P_AUTH_TOKEN_INVALID',
    'refused POST /rpc anonymous P2P_AUTH_TOKEN_INVALID',
    'refused unknown path anonymous P2P_AUTH_TOKEN_INVALID',
  ])
  node.clock.advance(13 * 3_600_000)
  assert.equal((await node.ask('/cluster/nodes', { token: good })).json().code, 'P2P_AUTH_TOKEN_EXPIRED')
  assert.equal((await node.ask('/cluster/nodes')).status, 401)
  assert.equal(audit.written.length, 3)
})

test('what ACME clients open, get and have revoked is recorded, and what they are refused', async () => {
  const audit = new StubAudit()
  const acme = new StubAcme()
  await using node = await startStubNode({ audit, acme, acmeAdmin: acme })
  const init = { method: 'POST', headers: { 'content-type': 'application/jose+json' }, body: '{}' }
  const post = async (path: string): Promise<string[]> => {
    audit.written.length = 0
    await node.ask(path, init)
    return audit.written
  }
  assert.deepEqual(await post('/acme/new-order'), [])
  const finalize = 'POST /acme/order/{id}/finalize'
  assert.deepEqual(await post('/acme/order/o1/finalize'), [`intent ${finalize} anonymous`, `succeeded ${finalize} 200`])
  assert.equal(audit.acts.at(-1)?.target, 'o1')
  const refuse = (status: number, kind: string) => async () => ({
    status,
    headers: { 'replay-nonce': 'n' },
    body: { type: `urn:ietf:params:acme:error:${kind}` },
  })
  acme.post = refuse(403, 'externalAccountRequired') as never
  assert.deepEqual(await post('/acme/new-account'), [
    'refused POST /acme/new-account anonymous 403 externalAccountRequired',
  ])
  // What the challenge shows is found out behind the answer; whoever asks for it again is told, and nothing is recorded anew.
  const failed = 'refused POST /acme/challenge/{id}/{index}/{type} anonymous rejectedIdentifier'
  let fail: AcmeRequest['onChallengeFailed'] | undefined
  acme.post = (async (request: AcmeRequest) => {
    fail = request.onChallengeFailed
    return { status: 200, headers: {}, body: { status: 'processing' } }
  }) as never
  assert.deepEqual(await post('/acme/challenge/o1/0/http-01'), [])
  fail?.('urn:ietf:params:acme:error:rejectedIdentifier')
  assert.deepEqual(audit.written, [failed])
  assert.equal(audit.acts.at(-1)?.target, 'o1 0 http-01')
  assert.ok(audit.acts.at(-1)?.from)
  const invalid = { status: 'invalid', error: { type: 'urn:ietf:params:acme:error:rejectedIdentifier' } }
  acme.post = (async () => ({ status: 200, headers: {}, body: invalid })) as never
  assert.deepEqual(await post('/acme/challenge/o1/0/http-01'), [])
  acme.post = refuse(400, 'badNonce') as never
  assert.deepEqual(await post('/acme/new-account'), [])
})
