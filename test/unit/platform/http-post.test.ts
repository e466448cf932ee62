import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { createHttpPost } from '../../../src/platform/index.ts'

/** Answers gzip with `toGzip` and all else with 200. */
async function startServer(t: TestContext, toGzip: number) {
  const asked: { headers: IncomingHttpHeaders; body: string }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const isGzip = request.headers['content-encoding'] === 'gzip'
      asked.push({ headers: request.headers, body: (isGzip ? gunzipSync(bytes) : bytes).toString() })
      response.writeHead(isGzip ? toGzip : 200).end('answer')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const LONG = JSON.stringify({ text: 'Grüße '.repeat(1_000) })

test('what is long is compressed, what is short is not', async (t) => {
  const { asked, url } = await startServer(t, 200)
  const post = createHttpPost(url, { 'x-key': 'k' })
  const { signal } = new AbortController()
  assert.deepEqual(await post('/a', LONG, signal), { status: 200, retryAfterMs: undefined, body: 'answer' })
  await post('/b', '{}', signal)
  assert.deepEqual(
    asked.map(({ headers, body }) => [headers['content-encoding'], headers['x-key'], body]),
    [
      ['gzip', 'k', LONG],
      [undefined, 'k', '{}'],
    ],
  )
  assert.ok(Number(asked[0]?.headers['content-length']) < LONG.length / 10)
})

test('a server that reads no gzip gets the same once more as it is, and from then on all', async (t) => {
  const { asked, url } = await startServer(t, 415)
  const post = createHttpPost(url, {})
  const { signal } = new AbortController()
  assert.equal((await post('/a', LONG, signal)).status, 200)
  assert.equal((await post('/a', LONG, signal)).status, 200)
  assert.deepEqual(
    asked.map(({ headers, body }) => [headers['content-encoding'], body === LONG]),
    [
      ['gzip', true],
      [undefined, true],
      [undefined, true],
    ],
  )
})
