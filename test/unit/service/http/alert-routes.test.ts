import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StubAlerts } from './stub-alerts.ts'
import { jsonBody, startStubNode } from './stub-node.ts'

test('alerts are listed, acknowledged by name, silenced and tested', async () => {
  const alerts = new StubAlerts()
  await using node = await startStubNode({ alerts })
  const token = await node.tokenFor('operator')
  assert.deepEqual((await node.ask('/api/alerts', { token })).json(), alerts.list())
  const ack = jsonBody({ id: 'node/worker-1', note: 'on my way' })
  assert.deepEqual((await node.ask('/api/alerts/acknowledge', { token, ...ack })).json(), { success: true })
  const silence = jsonBody({ service: 'hello', until: '2026-01-02T04:00:00+01:00', reason: 'new disk' })
  const answer = await node.ask('/api/alerts/silences', { token, ...silence })
  assert.equal(answer.status, 201)
  assert.equal(answer.json().until, '2026-01-02T03:00:00.000Z')
  assert.equal((await node.ask('/api/alerts/silences/s1', { token, method: 'DELETE' })).status, 200)
  assert.equal((await node.ask('/api/alerts/test', { token, ...jsonBody({}) })).json().results[0].sent, true)
  assert.deepEqual(alerts.asked, [
    { id: 'node/worker-1', by: 'person:operator', note: 'on my way' },
    { service: 'hello', reason: 'new disk', by: 'person:operator' },
    { target: undefined },
  ])
})

test('what is not there, makes no sense, or is for others is refused', async () => {
  await using node = await startStubNode({ alerts: new StubAlerts() })
  const token = await node.tokenFor('operator')
  const post = async (path: string, body: object) => (await node.ask(path, { token, ...jsonBody(body) })).status
  assert.equal(await post('/api/alerts/acknowledge', { id: 'node/other' }), 404)
  assert.equal(await post('/api/alerts/acknowledge', {}), 400)
  assert.equal(await post('/api/alerts/acknowledge', { id: 'a', by: 'somebody else' }), 400)
  assert.equal(await post('/api/alerts/silences', { node_id: 'w1' }), 400)
  assert.equal(await post('/api/alerts/silences', { node_id: 'w1', until: 'later' }), 400)
  assert.equal(await post('/api/alerts/test', { target: 'webhook b.example' }), 404)
  assert.equal((await node.ask('/api/alerts/silences/s2', { token, method: 'DELETE' })).status, 404)
})

test('a worker names the coordinator', async () => {
  await using node = await startStubNode({})
  const answer = await node.ask('/api/alerts', { token: await node.tokenFor('viewer') })
  assert.equal(answer.json().code, 'P2P_HTTP_COORDINATOR_ONLY')
})
