import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { systemRandom } from '../../../../src/platform/index.ts'
import { createStartingAnswer } from '../../../../src/service/index.ts'

test('a node that is starting says so, and when to ask again', async (t) => {
  const server = createServer(createStartingAnswer(systemRandom)).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/api/deployments/web?x=1`)
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'])
  const { code, retryable, instance } = (await answer.json()) as Record<string, unknown>
  assert.deepEqual([code, retryable, instance], ['P2P_HTTP_STARTING', true, '/api/deployments/web'])
})
