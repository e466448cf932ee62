import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { createTestAuthority } from '../unit/transport/certificates.ts'
import { askHttp1, askHttp2, openHttp2, startTestNode } from '../unit/transport/nodes.ts'

const authority = await createTestAuthority('test')
const stops: (() => Promise<void>)[] = []
after(() => Promise.all(stops.map((stop) => stop())))

/** A node whose routes answer with streams; `ended` resolves when an endless one was ended. */
async function startServer() {
  const node = await startTestNode(authority, 'server', { limits: { stopGraceMs: 50 } })
  stops.push(node.stop)
  const ended = Promise.withResolvers<void>()
  async function* lines(count: number): AsyncGenerator<string> {
    try {
      for (let n = 0; n < count; n++) yield `${n}\n`
    } finally {
      ended.resolve()
    }
  }
  const headers = { 'content-type': 'application/x-ndjson' }
  const route = (path: string, count: number): void =>
    node.transport.route('GET', path, async () => ({ status: 200, headers, body: Readable.from(lines(count)) }))
  route('/three', 3)
  route('/endless', Infinity)
  return { port: node.transport.address().port, ended: ended.promise }
}

test('a route may answer with a stream, over HTTP/2 and HTTP/1.1, without saying its length', async () => {
  const { port } = await startServer()
  const session = await openHttp2(port)
  const answer = await askHttp2(session, '/three')
  assert.equal(answer.text, '0\n1\n2\n')
  assert.equal(answer.headers['content-length'], undefined)
  assert.equal((await askHttp1(port, '/three')).text, '0\n1\n2\n')
  session.destroy()
})

test('a stream whose client goes is ended at its source', async () => {
  const { port, ended } = await startServer()
  const session = await openHttp2(port)
  const stream = session.request({ ':path': '/endless' })
  stream.on('error', () => {})
  await once(stream, 'data')
  stream.destroy()
  await ended
  session.destroy()
})
