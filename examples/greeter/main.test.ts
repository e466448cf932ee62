// node --import p2p-core/decorators --test main.test.ts
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServiceError } from 'p2p-core/service'
import { Run } from './main.ts'

/** The cluster as the service sees it: a proxy that answers what the test says. */
const proxy = { system: { coordinator: { get_system_info: async () => ({ hostname: 'rack-7' }) } } }

test('greets in the language asked for, from the coordinator', async () => {
  const service = new Run('greeter', proxy)
  assert.deepEqual(await service.greet({ name: 'Ada', language: 'de' }), { greeting: 'Hallo Ada', from: 'rack-7' })
})

test('counts how often, and knows whom it has not greeted', async () => {
  const service = new Run('greeter', proxy)
  await service.greet({ name: 'Ada', language: 'en' })
  await service.greet({ name: 'Ada', language: 'en' })
  assert.deepEqual(service.greeted({ name: 'Ada' }), { name: 'Ada', times: 2 })
  assert.throws(
    () => service.greeted({ name: 'Bob' }),
    (error) => error instanceof ServiceError && error.reason === 'NAME_UNKNOWN',
  )
})

test('without a cluster, what it calls is missing and named', async () => {
  await assert.rejects(new Run('greeter').greet({ name: 'Ada', language: 'en' }), /system/)
})
