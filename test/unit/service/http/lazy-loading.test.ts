import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { jsonBody, nodeConnection, startStubNode } from './stub-node.ts'

const { cache } = createRequire(import.meta.url)

function isLoaded(packageName: string): boolean {
  return Object.keys(cache).some((path) => path.replaceAll('\\', '/').includes(`/node_modules/${packageName}/`))
}

test('an idle node, asked for its health and called by peers, has not loaded the framework', async () => {
  await using node = await startStubNode()
  node.transport.connection = nodeConnection('worker')
  assert.equal((await node.ask('/health')).status, 200)
  assert.equal((await node.ask('/rpc', jsonBody({}))).status, 200)
  assert.deepEqual(['fastify', 'prom-client', '@fastify/swagger'].filter(isLoaded), [])
  assert.equal((await node.ask('/services')).status, 200)
  assert.deepEqual(['fastify', 'prom-client', '@fastify/swagger'].filter(isLoaded), ['fastify'])
  assert.equal((await node.ask('/metrics')).status, 200)
  assert.equal((await node.ask('/openapi.json')).status, 200)
  assert.ok(isLoaded('prom-client') && isLoaded('@fastify/swagger'))
})
