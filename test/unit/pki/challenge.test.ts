import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { fetchChallenge, listenChallenge } from '../../../src/pki/index.ts'
import { keyAuthorization } from '../../../src/pki/challenge.ts'

const challenge = 'c'.repeat(43)
const { signal } = new AbortController()

test('the server answers its challenge with the key authorization, and nothing else', async (t) => {
  const server = await listenChallenge({ port: 0, address: '127.0.0.1' })
  t.after(() => server.close())
  const url = `http://127.0.0.1:${server.port}`
  assert.equal((await fetch(`${url}/internal/cert-challenge/${challenge}`)).status, 404, 'before it has one')
  server.answer(challenge, 'answer')
  assert.equal(await fetchChallenge({ address: '127.0.0.1', port: server.port, challenge }, signal), 'answer')
  for (const path of ['/', '/health', '/rpc', `/internal/cert-challenge/${challenge}x`, '/internal/cert-challenge/']) {
    assert.equal((await fetch(url + path)).status, 404, path)
  }
  assert.equal((await fetch(`${url}/internal/cert-challenge/${challenge}`, { method: 'POST' })).status, 404)
})

test('a taken port is replaced by a free one', async (t) => {
  const first = await listenChallenge({ port: 0, address: '127.0.0.1' })
  t.after(() => first.close())
  const second = await listenChallenge({ port: first.port, address: '127.0.0.1' })
  t.after(() => second.close())
  assert.notEqual(second.port, first.port)
})

test('an address that is not of this host is a clear error', async () => {
  await assert.rejects(listenChallenge({ port: 0, address: '192.0.2.1' }), {
    code: 'P2P_PKI_CHALLENGE_FAILED',
    message: /192\.0\.2\.1/,
  })
})

test('closing does not wait for an open connection', async () => {
  const server = await listenChallenge({ port: 0, address: '127.0.0.1' })
  const socket = connect(server.port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  await Promise.all([server.close(), new Promise((resolve) => socket.once('close', resolve))])
})

test('the longest key authorization fits into the answer', () => {
  const authorization = keyAuthorization('c'.repeat(84), new Uint8Array(91))
  assert.equal(authorization.length, 128)
  assert.match(authorization, /^c{84}\.[A-Za-z0-9_-]{43}$/)
})

async function serve(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

test('a redirect is not followed', async (t) => {
  const visited: string[] = []
  const port = await serve(t, (request, response) => {
    visited.push(request.url ?? '')
    response.writeHead(302, { location: '/elsewhere' }).end()
  })
  await assert.rejects(fetchChallenge({ address: '127.0.0.1', port, challenge }, signal), /status 302/)
  assert.deepEqual(visited, [`/internal/cert-challenge/${challenge}`])
})

test('an endless answer is cut off', async (t) => {
  const port = await serve(t, (_request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(1_024)));
    }
    response.on('drain', more)
    more()
  })
  await assert.rejects(fetchChallenge({ address: '127.0.0.1', port, challenge }, signal), /longer than 128 bytes/)
})

test('headers without end are cut off', async (t) => {
  const port = await serve(t, (_request, response) => {
    response.socket?.write(`HTTP/1.1 200 OK\r\n${'x-more: absurd\r\n'.repeat(20_000)}`)
  })
  await assert.rejects(fetchChallenge({ address: '127.0.0.1', port, challenge }, signal))
})

test('an answer in drips is left when the signal says so', async (t) => {
  const dripping = Promise.withResolvers<void>()
  const port = await serve(t, (_request, response) => {
    response.write('x', () => dripping.resolve())
  })
  const late = new AbortController()
  const answer = fetchChallenge({ address: '127.0.0.1', port, challenge }, late.signal)
  await dripping.promise
  late.abort()
  await assert.rejects(answer, { name: 'AbortError' })
})

test('a server that does not answer is left when the signal says so', async (t) => {
  const arrived = Promise.withResolvers<void>()
  const port = await serve(t, () => arrived.resolve())
  const late = new AbortController()
  const answer = fetchChallenge({ address: '127.0.0.1', port, challenge }, late.signal)
  await arrived.promise
  late.abort()
  await assert.rejects(answer, { name: 'AbortError' })
})
