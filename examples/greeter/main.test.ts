// node --import p2p-core/decorators --test main.test.ts
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestService } from 'p2p-core/testing'
import { Run } from './main.ts'

/** The rest of the cluster, as far as the service needs it. */
const services = { system: { get_system_info: () => ({ hostname: 'rack-7' }) } }

test('greets in the language asked for, from the coordinator', async (t) => {
  const greeter = await startTestService(t, Run, { services })
  assert.deepEqual(await greeter.client.greet({ name: 'Ada', language: 'de' }), {
    greeting: 'Hallo Ada',
    from: 'rack-7',
  })
  assert.equal(greeter.calls[0]?.target, 'coordinator')
  assert.equal(greeter.metrics().counters['greetings'], 1)
})

test('counts how often, and knows whom it has not greeted', async (t) => {
  const { client } = await startTestService(t, Run, { services })
  await client.greet({ name: 'Ada', language: 'en' })
  await client.greet({ name: 'Ada', language: 'en' })
  assert.deepEqual(await client.greeted({ name: 'Ada' }), { name: 'Ada', times: 2 })
  await assert.rejects(client.greeted({ name: 'Bob' }), {
    code: 'P2P_RPC_SERVICE_FAILED',
    message: 'Bob has not been greeted here',
  })
})

test('refuses what its schema does not know', async (t) => {
  const { client } = await startTestService(t, Run, { services })
  await assert.rejects(client.greet({ name: 'Ada', language: 'xx' as 'en' }), { code: 'P2P_RPC_INVALID_PARAMS' })
})
