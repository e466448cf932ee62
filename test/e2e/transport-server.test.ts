import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { constants } from 'node:http2'
import { Agent } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemClock } from '../../src/platform/index.ts'
import type { RouteRequest } from '../../src/transport/index.ts'
import { createTransport } from '../../src/transport/index.ts'
import { createTestAuthority, TestCredentials, TestRevocations } from '../unit/transport/certificates.ts'
import { ManualClock } from '../unit/transport/manual-clock.ts'
import {
  askHttp1,
  askHttp2,
  HOST,
  HTTP2_PREFACE,
  NEVER,
  openHttp2,
  openTls,
  readToEnd,
  startTestNode,
  type TestNodeOptions,
} from '../unit/transport/nodes.ts'

const authority = await createTestAuthority('test')
const foreign = await createTestAuthority('test')
const clientLeaf = await authority.issue({ nodeId: 'client', role: 'coordinator' })
const stops: (() => Promise<void>)[] = []
after(() => Promise.all(stops.map((stop) => stop())))

async function startServer(options: TestNodeOptions = {}) {
  const node = await startTestNode(authority, 'server', { ...options, limits: { stopGraceMs: 50, ...options.limits } })
  stops.push(node.stop)
  node.transport.route('POST', '/echo', async (request) => ({ status: 200, body: await request.body() }))
  node.transport.route('GET', '/who', async ({ connection }) => ({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...connection.identity, serial: connection.serial, address: connection.remoteAddress }),
  }))
  return node
}

const seesClient = { cluster: 'test', role: 'coordinator', nodeId: 'client', serial: clientLeaf.serial, address: HOST }
const seesStranger = { address: HOST }

test('a route answers over HTTP/2 and HTTP/1.1, and knows who has shown a certificate', async () => {
  const { port } = await startServer()
  const [named, unnamed] = await Promise.all([openHttp2(port, { material: clientLeaf }), openHttp2(port)])
  assert.deepEqual(JSON.parse((await askHttp2(named, '/who?x=1')).text), seesClient)
  assert.deepEqual(JSON.parse((await askHttp2(unnamed, '/who')).text), seesStranger)
  assert.deepEqual(JSON.parse((await askHttp1(port, '/who?x=1', undefined, { material: clientLeaf })).text), seesClient)
  assert.deepEqual(JSON.parse((await askHttp1(port, '/who')).text), seesStranger)
  named.destroy()
  unnamed.destroy()
})

test('a route gets path, query, headers and the whole body alike on both protocols', async () => {
  const { port, transport } = await startServer()
  const seen: Pick<RouteRequest, 'method' | 'path'>[] = []
  transport.route('POST', '/look', async (request) => {
    const { method, path, query, headers } = request
    const body = await request.body()
    seen.push({ method, path })
    return { status: 201, headers: { 'x-note': headers['x-note'] as string }, body: `${query.get('a')}:${body.length}` }
  })
  const session = await openHttp2(port)
  const body = Buffer.alloc(300_000, 1)
  const headers = { 'x-note': 'kept' }
  const answers = [
    await askHttp2(session, '/look?a=b%20c', body, headers),
    await askHttp1(port, '/look?a=b%20c', body, { headers }),
  ]
  session.destroy()
  for (const answer of answers) {
    assert.equal(answer.status, 201)
    assert.equal(answer.headers['x-note'], 'kept')
    assert.equal(answer.text, 'b c:300000')
    assert.equal(answer.headers['content-length'], '10')
  }
  const look = { method: 'POST', path: '/look' }
  assert.deepEqual(seen, [look, look])
})

test('everything else goes to the fallback, which can ask for the facts of its connection; without one it is 404', async () => {
  const { port, transport } = await startServer()
  const session = await openHttp2(port, { material: clientLeaf })
  for (const answer of [
    await askHttp2(session, '/page'),
    await askHttp1(port, '/page'),
    await askHttp1(port, '/echo'),
  ]) {
    assert.equal(answer.status, 404)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
  }
  transport.fallback((request, response) => {
    const { identity } = transport.facts(request)
    ;(response as ServerResponse).end(`${request.httpVersion} ${request.url} ${identity?.nodeId}`)
  })
  assert.equal((await askHttp2(session, '/page?q')).text, '2.0 /page?q client')
  assert.equal((await askHttp1(port, '/page?q')).text, '1.1 /page?q undefined')
  session.destroy()
})

test('an upgrade reaches its handler with the facts of its connection', async () => {
  const { port, transport } = await startServer()
  transport.onUpgrade((request, socket) => {
    socket.end(`HTTP/1.1 101 Switching Protocols\r\nx-node: ${transport.facts(request).identity?.nodeId}\r\n\r\nhello`)
  })
  const socket = await openTls(port, { ALPNProtocols: ['http/1.1'], material: clientLeaf })
  socket.write('GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
  const text = await readToEnd(socket)
  assert.match(text, /^HTTP\/1\.1 101 [^]*x-node: client\r\n\r\nhello$/)
})

test('an expired, foreign or wrong-cluster certificate makes nobody a node, but is handed on as shown', async () => {
  const { port, transport } = await startServer()
  transport.route('GET', '/shown', async ({ connection }) => ({
    status: 200,
    body: JSON.stringify({
      nodeId: connection.identity?.nodeId,
      serial: connection.peerCertificateDer && new X509Certificate(connection.peerCertificateDer).serialNumber,
    }),
  }))
  const leaves = await Promise.all([
    authority.issue({ nodeId: 'client', notAfter: new Date(Date.now() - 60_000) }),
    authority.issue({ nodeId: 'client', notBefore: new Date(Date.now() + 600_000) }),
    authority.issue({ nodeId: 'client', cluster: 'other' }),
    authority.issue({ nodeId: 'client', names: [{ type: 'dns', value: 'client.lan' }] }),
    foreign.issue({ nodeId: 'client' }),
  ])
  for (const material of leaves) {
    const session = await openHttp2(port, { material })
    const expected = { serial: material.serial.toUpperCase() }
    assert.deepEqual(JSON.parse((await askHttp2(session, '/shown')).text), expected)
    assert.deepEqual(JSON.parse((await askHttp1(port, '/shown', undefined, { material })).text), expected)
    session.destroy()
  }
})

test('TLS 1.2 is served with AEAD suites only, older versions not at all', async () => {
  const { port } = await startServer()
  const socket = await openTls(port, { maxVersion: 'TLSv1.2' })
  assert.match(socket.getCipher().name, /GCM|CHACHA20/)
  socket.destroy()
  await assert.rejects(
    openTls(port, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }),
    /handshake failure/,
  )
  await assert.rejects(
    openTls(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    /protocol version|unsupported protocol/,
  )
})

test('a TLS session is never resumed, so that no old verification comes back', async () => {
  const { port } = await startServer()
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { ALPNProtocols: ['http/1.1'], material: clientLeaf, maxVersion }
    const first = await openTls(port, options)
    let session = first.getSession()
    first.on('session', (ticket) => {
      session = ticket
    })
    first.write('GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    await readToEnd(first)
    assert.ok(session)
    const second = await openTls(port, { ...options, session })
    assert.equal(second.isSessionReused(), false, maxVersion)
    second.destroy()
  }
})

test('a body beyond the limit gets 413, declared or not, and the node serves on', async () => {
  const { port } = await startServer({ limits: { bodyBytesMax: 1000 } })
  const session = await openHttp2(port)
  assert.equal((await askHttp2(session, '/echo', Buffer.alloc(1000))).status, 200)
  assert.equal((await askHttp2(session, '/echo', Buffer.alloc(1001))).status, 413)
  assert.equal((await askHttp2(session, '/echo', Buffer.alloc(1001), { 'content-length': 1001 })).status, 413)
  assert.equal((await askHttp2(session, '/echo', 'still here')).text, 'still here')
  session.destroy()
  for (const rest of [
    'content-length: 1001\r\n\r\n',
    `transfer-encoding: chunked\r\n\r\n3e9\r\n${'x'.repeat(1001)}\r\n`,
  ]) {
    const socket = await openTls(port, { ALPNProtocols: ['http/1.1'] })
    socket.write(`POST /echo HTTP/1.1\r\nhost: x\r\n${rest}`)
    assert.match(await readToEnd(socket), /^HTTP\/1\.1 413 [^]*larger than 1000 B/)
  }
})

test('who is refused is refused before the body: nothing of it is waited for or kept', {
  timeout: 20_000,
}, async () => {
  const node = await startServer()
  node.transport.route('POST', '/closed', async () => ({ status: 401, body: 'who are you?' }))
  const session = await openHttp2(node.port)
  const stream = session.request({ ':method': 'POST', ':path': '/closed' })
  stream.on('error', () => {}).resume()
  stream.write(Buffer.alloc(100_000))
  const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
  assert.equal(headers[':status'], 401)
  if (!stream.closed) await once(stream, 'close')
  // A small one has been read, so that the connection can be used again.
  assert.equal((await askHttp2(session, '/echo', 'still here')).text, 'still here')
  session.destroy()
  const socket = await openTls(node.port, { ALPNProtocols: ['http/1.1'] })
  socket.write('POST /closed HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\nonly this')
  assert.match(await readToEnd(socket), /^HTTP\/1\.1 401 [^]*connection: close/i)
  const again = await openTls(node.port, { ALPNProtocols: ['http/1.1'] })
  again.write('POST /closed HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody')
  again.write('POST /closed HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody')
  assert.equal((await readToEnd(again)).match(/HTTP\/1\.1 401 /g)?.length, 2)
})

test('headers beyond the limit are refused on both protocols', async () => {
  const { port } = await startServer({ limits: { headerBytesMax: 4096 } })
  const session = await openHttp2(port)
  const headers = { 'x-large': 'x'.repeat(5000) }
  // The client has accepted the server's SETTINGS with its first answer; until then HTTP/2's own limit of 64 KiB holds.
  await askHttp2(session, '/who')
  await assert.rejects(askHttp2(session, '/who', undefined, headers), /ENHANCE_YOUR_CALM/)
  assert.equal((await askHttp2(session, '/who')).status, 200)
  session.destroy()
  assert.equal((await askHttp1(port, '/who', undefined, { headers })).status, 431)
})

test('a connection may have 100 streams open, and is ended when it resets streams in a flood', async () => {
  const { port, transport } = await startServer()
  transport.route('POST', '/wait', ({ signal }) => once(signal, 'abort').then(() => ({ status: 200 })))
  const session = await openHttp2(port)
  await askHttp2(session, '/who')
  assert.equal(session.remoteSettings.maxConcurrentStreams, 100)
  const bystander = await openHttp2(port)
  const goaway = once(session, 'goaway')
  for (let i = 0; i < 700 && !session.closed; i++) {
    const stream = session.request({ ':method': 'POST', ':path': '/wait' })
    stream.on('error', () => {})
    stream.close(constants.NGHTTP2_CANCEL)
    if (i % 50 === 49) await new Promise(setImmediate)
  }
  const [code] = await goaway
  assert.notEqual(code, constants.NGHTTP2_NO_ERROR)
  assert.equal((await askHttp2(bystander, '/who')).status, 200)
  bystander.destroy()
  session.destroy()
})

test('bytes that are not HTTP/2 end their connection and no other', async () => {
  const { port } = await startServer()
  const bystander = await openHttp2(port)
  const oversizedFrame = Buffer.concat([HTTP2_PREFACE, Buffer.from([255, 255, 255, 0, 0, 0, 0, 0, 1])])
  const dataOnIdleStream = Buffer.concat([HTTP2_PREFACE, Buffer.from([0, 0, 1, 0, 0, 0, 0, 0, 7, 65])])
  for (const bytes of [Buffer.alloc(64, 0xff), oversizedFrame, dataOnIdleStream]) {
    const socket = await openTls(port, { ALPNProtocols: ['h2'] })
    socket.write(bytes)
    await readToEnd(socket)
  }
  assert.equal((await askHttp2(bystander, '/who')).status, 200)
  bystander.destroy()
})

test('a client that does not finish its handshake, its headers or its body in time is cut', async () => {
  const clock = new ManualClock()
  const { port } = await startServer({
    clock,
    limits: { handshakeTimeoutMs: 500, headersTimeoutMs: 300, requestTimeoutMs: 400 },
  })
  const mute = connectTcp(port, HOST)
  mute.on('error', () => {})
  await once(mute.resume(), 'close')

  const slow = await openTls(port, { ALPNProtocols: ['http/1.1'] })
  slow.write('GET /who HTTP/1.1\r\nhost: x\r\nx-slow: ')
  assert.match(await readToEnd(slow), /^HTTP\/1\.1 408 /)

  const noBody = await openTls(port, { ALPNProtocols: ['http/1.1'] })
  noBody.write('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345')
  assert.match(await readToEnd(noBody), /^HTTP\/1\.1 408 /)

  const session = await openHttp2(port)
  const stream = session.request({ ':method': 'POST', ':path': '/echo' })
  stream.on('error', () => {})
  stream.write('12345')
  // An answered request behind it shows that the server has the first one.
  await askHttp2(session, '/who')
  clock.advance(600)
  if (!stream.closed) await once(stream, 'close')
  assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL)
  session.destroy()
})

test('an HTTP/2 connection is closed when it is silent, or never asks, or has nothing open for long', async () => {
  const clock = new ManualClock()
  const limits = { keepAliveMs: 1_000, headersTimeoutMs: 5_000, idleTimeoutMs: 20_000 }
  const { port } = await startServer({ clock, limits })
  const silent = await openTls(port, { ALPNProtocols: ['h2'] })
  silent.write(HTTP2_PREFACE)
  // Its first bytes from the server show that its session is there.
  await once(silent, 'data')
  const silentEnd = once(silent, 'close')
  clock.advance(3_000)
  await silentEnd

  const idle = await openHttp2(port)
  await askHttp2(idle, '/who')
  const unused = await openHttp2(port)
  await once(unused, 'remoteSettings')
  const unusedEnd = once(unused, 'close')
  for (let second = 0; second < 5; second++) {
    clock.advance(1_000)
    await new Promise<void>((resolve) => (unused.destroyed ? resolve() : unused.ping(() => resolve())))
    await new Promise<void>((resolve) => idle.ping(() => resolve()))
  }
  await unusedEnd
  assert.equal(idle.closed, false)
  const idleEnd = once(idle, 'close')
  for (let second = 0; second < 16 && !idle.closed; second++) {
    clock.advance(1_000)
    await new Promise<void>((resolve) => idle.ping(() => resolve()))
  }
  await idleEnd
})

test('an idle client that answers PING is kept', async () => {
  const clock = new ManualClock()
  const { port } = await startServer({ clock, limits: { keepAliveMs: 1_000 } })
  const session = await openHttp2(port)
  for (let i = 0; i < 3; i++) {
    // Its answer shows that the server has received all that was sent before.
    await new Promise<void>((resolve) => session.ping(() => resolve()))
    const pinged = once(session, 'ping')
    clock.advance(2_000)
    await pinged
  }
  assert.equal((await askHttp2(session, '/who')).status, 200)
  session.destroy()
})

test('connections beyond the limit of one address are told so, over both protocols, and count no more once closed', async () => {
  const { port, transport } = await startServer({ limits: { connectionsPerAddressMax: 2 } })
  transport.route('GET', '/well', async () => ({ status: 200 }))
  transport.onUpgrade((_request, socket) => socket.end('upgraded'))
  const open = [await openTls(port), await openTls(port)]
  const http1 = await askHttp1(port, '/well')
  assert.equal(http1.status, 503)
  assert.match(http1.text, /as many connections open here as it may/)
  const session = await openHttp2(port)
  const closed = once(session, 'close')
  assert.equal((await askHttp2(session, '/well')).status, 503)
  await closed
  const upgrading = await openTls(port)
  upgrading.write('GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
  assert.match(await text(upgrading), /^HTTP\/1\.1 503 Too many connections\r\nretry-after: 1\r\n/)
  for (const socket of open) socket.destroy()
  for (;;) if ((await askHttp1(port, '/well')).status === 200) break
})

test('of connections beyond the limit no more than 64 are told so', async () => {
  const { port } = await startServer({ limits: { connectionsPerAddressMax: 1 } })
  const open = [await openTls(port)]
  for (let i = 0; i < 64; i++) open.push(await openTls(port))
  await assert.rejects(openTls(port))
  for (const socket of open) socket.destroy()
})

test('a handler that fails answers 500 without telling why, and the log tells', async () => {
  const { port, transport, log } = await startServer()
  transport.route('GET', '/fail', async () => {
    throw new Error('inner detail')
  })
  const session = await openHttp2(port)
  for (const answer of [await askHttp2(session, '/fail'), await askHttp1(port, '/fail')]) {
    assert.equal(answer.status, 500)
    assert.doesNotMatch(answer.text, /inner detail/)
  }
  session.destroy()
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 2)
})

test('a handler hears of a client that gives up', async () => {
  const { port, transport, log } = await startServer()
  const started: ((request: RouteRequest) => void)[] = []
  transport.route('GET', '/slow', (request) => {
    started.shift()?.(request)
    return new Promise((_resolve, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason))
    })
  })
  const nextRequest = (): Promise<RouteRequest> => new Promise((resolve) => started.push(resolve))

  const session = await openHttp2(port)
  let received = nextRequest()
  const stream = session.request({ ':path': '/slow' })
  stream.on('error', () => {})
  let { signal } = await received
  const overHttp2 = once(signal, 'abort')
  stream.close(constants.NGHTTP2_CANCEL)
  await overHttp2
  session.destroy()

  received = nextRequest()
  const socket = await openTls(port, { ALPNProtocols: ['http/1.1'] })
  socket.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n')
  signal = (await received).signal
  const overHttp1 = once(signal, 'abort')
  socket.destroy()
  await overHttp1
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})

test('certificates are swapped under load without a failed request', async () => {
  const { port, credentials } = await startServer()
  const renewed = await authority.issue({ nodeId: 'server' })
  const session = await openHttp2(port, { material: clientLeaf })
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  const loading = { isOn: true }
  const load = async (ask: () => Promise<{ text: string }>): Promise<number> => {
    let count = 0
    for (; loading.isOn || count < 20; count++) assert.equal((await ask()).text, 'load')
    return count
  }
  const loads = [
    ...Array.from({ length: 16 }, () => load(() => askHttp2(session, '/echo', 'load'))),
    ...Array.from({ length: 4 }, () => load(() => askHttp1(port, '/echo', 'load', { agent }))),
    // New connections all the while.
    load(() => askHttp1(port, '/echo', 'load')),
  ]
  await askHttp2(session, '/who')
  credentials.renew(renewed)
  const socket = await openTls(port)
  assert.equal(socket.getPeerX509Certificate()?.serialNumber.toLowerCase(), renewed.serial)
  socket.destroy()
  loading.isOn = false
  for (const count of await Promise.all(loads)) assert.ok(count >= 20)
  assert.equal(session.closed, false)
  session.destroy()
  agent.destroy()
})

test('unusable new certificates are refused and the old ones stay in service', async () => {
  const { port, credentials, leaf, log } = await startServer()
  credentials.renew({ ...leaf, keyPem: clientLeaf.keyPem })
  const socket = await openTls(port)
  assert.equal(socket.getPeerX509Certificate()?.serialNumber.toLowerCase(), leaf.serial)
  socket.destroy()
  assert.ok(log.lines.some(({ level }) => level === 'error'))
})

test('a revocation cuts the connections of that certificate at once, and no others', async () => {
  const { port, revocations } = await startServer()
  const leaf = await authority.issue({ nodeId: 'lost' })
  const revoked = await openHttp2(port, { material: leaf })
  const other = await openHttp2(port, { material: clientLeaf })
  const http1 = await openTls(port, { ALPNProtocols: ['http/1.1'], material: leaf })
  assert.equal(JSON.parse((await askHttp2(revoked, '/who')).text).nodeId, 'lost')
  await askHttp2(other, '/who')
  http1.write('GET /who HTTP/1.1\r\nhost: x\r\n\r\n')
  await once(http1, 'data')
  const ends = [once(revoked, 'close'), once(http1, 'close')]
  revocations.revoke(leaf.serial)
  await Promise.all(ends)
  assert.deepEqual(JSON.parse((await askHttp2(other, '/who')).text), seesClient)
  const again = await askHttp1(port, '/who', undefined, { material: leaf })
  assert.deepEqual(JSON.parse(again.text), { serial: leaf.serial, address: HOST })
  other.destroy()
})

test('a taken port and an address of another machine are named with their remedy', async () => {
  const { port } = await startServer()
  const needs = {
    clock: systemClock,
    log: silentLogger,
    credentials: new TestCredentials(clientLeaf),
    revocations: new TestRevocations(),
  }
  const second = createTransport(needs, { bindAddress: HOST, port, cluster: 'test' })
  await assert.rejects(second.start(NEVER), (error: Error) => {
    assert.equal(codeOf(error), 'P2P_TRANSPORT_PORT_TAKEN')
    assert.match(error.message, new RegExp(`Port ${port} .*choose another port`))
    return true
  })
  await second.stop()
  const elsewhere = createTransport(needs, { bindAddress: '192.0.2.1', port: 0, cluster: 'test' })
  await assert.rejects(elsewhere.start(NEVER), (error: Error) => {
    assert.equal(codeOf(error), 'P2P_TRANSPORT_LISTEN_FAILED')
    assert.match(error.message, /192\.0\.2\.1 is not an address of this machine/)
    return true
  })
})

test('stop lets a request finish, refuses new ones, and frees the port and every listener', async () => {
  const node = await startServer({ limits: { stopGraceMs: 60_000 } })
  const { port, transport, credentials } = node
  const gate = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  transport.route('GET', '/work', async () => {
    begun.resolve()
    await gate.promise
    return { status: 200, body: 'finished' }
  })
  const idle = await openHttp2(port)
  const session = await openHttp2(port)
  const answer = askHttp2(session, '/work')
  await begun.promise
  const idleEnd = once(idle, 'close')
  const goaway = once(session, 'goaway')
  const stopped = node.stop()
  await Promise.all([idleEnd, goaway])
  await assert.rejects(openTls(port), /ECONNREFUSED/)
  gate.resolve()
  assert.equal((await answer).text, 'finished')
  await stopped
  await transport.stop()
  assert.equal(credentials.listenerCount, 0)
})

test('stop is not held open by clients that read nothing, say nothing or speak slowly', async () => {
  const clock = new ManualClock()
  const node = await startServer({ clock, limits: { stopGraceMs: 3_000 } })
  const { port, transport } = node
  const served = Promise.withResolvers<void>()
  transport.route('GET', '/large', async () => {
    served.resolve()
    return { status: 200, body: Buffer.alloc(8 * 1024 * 1024) }
  })
  const unread = await openHttp2(port)
  const stream = unread.request({ ':path': '/large' })
  stream.on('error', () => {})
  stream.pause()
  await served.promise

  const halfOpen = connectTcp(port, HOST)
  halfOpen.on('error', () => {})
  await once(halfOpen, 'connect')

  const loris = await openTls(port, { ALPNProtocols: ['http/1.1'] })
  loris.write('GET /who HTTP/1.1\r\nhost: x\r\nx-slow: ')

  const working = await openTls(port, { ALPNProtocols: ['http/1.1'] })
  working.write('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n1')
  // A whole exchange on the same port after them: the server has seen all of the above.
  await askHttp1(port, '/who')

  const stopped = transport.stop()
  const ends = [once(unread, 'close'), once(halfOpen.resume(), 'close'), once(loris.resume(), 'close')]
  ends.push(once(working.resume(), 'close'))
  clock.advance(3_000)
  await Promise.all([stopped, ...ends])
})
