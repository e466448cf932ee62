import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TrustAdmin } from '../../../../src/base/enrolment.ts'
import { StorageError } from '../../../../src/base/errors.ts'
import { ACCESS, type RouteKey } from '../../../../src/service/auth/access.ts'
import { isAudited } from '../../../../src/service/auth/audited.ts'
import { StubAudit } from './stub-audit.ts'
import { jsonBody, startStubNode } from './stub-node.ts'
import { stubTrustAdmin } from './stub-trust.ts'

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
