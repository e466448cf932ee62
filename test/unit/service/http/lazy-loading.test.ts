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

test('a framework that cannot be loaded is told as something that passes, and loaded at the next request', async () => {
  const first = Promise.withResolvers<never>()
  let loads = 0
  await using node = await startStubNode(
    {},
    {
      loadApp: async (needs) => {
        loads++
        if (loads === 1) return first.promise
        return (await import('../../../../src/service/http/http-app.ts')).createHttpApp(needs)
      },
    },
  )
  node.transport.connection = nodeConnection('worker')
  const waiting = [node.ask('/services'), node.ask('/services')]
  await node.ask('/health')
  first.reject(new Error('ENOENT: /opt/p2p/dist/chunks/http-app.js'))
  for (const answer of await Promise.all(waiting)) {
    assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'])
    assert.equal((answer.json() as { code: string }).code, 'P2P_HTTP_STARTING')
    assert.doesNotMatch(answer.text, /chunks/)
  }
  assert.deepEqual(node.logged, ['The HTTP application could not be loaded; the next request tries again'])
  assert.equal((await node.ask('/services')).status, 200)
  assert.equal(loads, 2)
})
