import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { dialUnverified } from '../../src/transport/index.ts'
import { createTestAuthority } from '../unit/transport/certificates.ts'
import { askHttp1, HOST, startTestNode } from '../unit/transport/nodes.ts'

const authority = await createTestAuthority('test')
const node = await startTestNode(authority, 'coordinator', { role: 'coordinator', limits: { stopGraceMs: 50 } })
after(node.stop)
node.transport.route('POST', '/facts', async (request) => {
  const { connection } = request
  const body = await request.body()
  return {
    status: 201,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({
      exporter: Buffer.from(connection.exporter()).toString('hex'),
      port: connection.remotePort,
      shown: connection.peerCertificateDer && new X509Certificate(connection.peerCertificateDer).subject,
      nodeId: connection.identity?.nodeId,
      body: JSON.parse(body.toString()),
    }),
  }
})

interface Facts {
  exporter: string
  port: number
  shown?: string
  nodeId?: string
  body: unknown
}

test('all requests travel on one connection, whose exporter both ends share and no other connection has', async () => {
  const [first, second] = await Promise.all([dialUnverified(node.address), dialUnverified(node.address)])
  const ask = async (connection: typeof first): Promise<Facts> =>
    (await connection.request('POST', '/facts', { n: 1 })).body as Facts
  const answers = [await ask(first), await ask(first)]
  assert.equal(answers[0]?.exporter, Buffer.from(first.exporter()).toString('hex'))
  assert.equal(answers[0]?.exporter.length, 64)
  assert.deepEqual(answers[1], answers[0])
  assert.deepEqual(answers[0]?.body, { n: 1 })
  assert.notEqual((await ask(second)).exporter, answers[0]?.exporter)
  assert.equal(first.remoteAddress, HOST)
  await Promise.all([first.close(), second.close()])
  assert.throws(() => first.exporter(), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
})

test('the exporter of an HTTP/1.1 connection is there too', async () => {
  const answer = await askHttp1(node.port, '/facts', '{}')
  assert.match((JSON.parse(answer.text) as Facts).exporter, /^[0-9a-f]{64}$/)
})

test('the chain the server showed is given leaf first, without the root, and verifies against the root', async () => {
  const connection = await dialUnverified(node.address)
  const chain = connection.peerChainPem.map((pem) => new X509Certificate(pem))
  await connection.close()
  const root = new X509Certificate(authority.trustPem)
  const [leaf, issuing] = chain as [X509Certificate, X509Certificate]
  assert.equal(chain.length, 2)
  assert.equal(leaf.serialNumber.toLowerCase(), node.leaf.serial)
  assert.ok(leaf.verify(issuing.publicKey))
  assert.ok(issuing.verify(root.publicKey))
})

test('a client certificate is shown even when it has expired, and then names nobody', async () => {
  for (const isExpired of [false, true]) {
    const notAfter = new Date(Date.now() + (isExpired ? -60_000 : 60_000))
    const leaf = await authority.issue({ nodeId: 'w1', notAfter })
    const connection = await dialUnverified(node.address, { clientCertificate: leaf })
    const facts = (await connection.request('POST', '/facts', null)).body as Facts
    assert.equal(facts.shown, 'CN=w1')
    assert.equal(facts.nodeId, isExpired ? undefined : 'w1')
    await connection.close()
  }
})

test('any status resolves; JSON is parsed, problem details too, other text is given as it is', async () => {
  node.transport.route('GET', '/text', async () => ({
    status: 200,
    headers: { 'content-type': 'text/plain' },
    body: '{}',
  }))
  node.transport.route('GET', '/broken', async () => ({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: '{"a":',
  }))
  node.transport.route('GET', '/empty', async () => ({ status: 204 }))
  const connection = await dialUnverified(node.address)
  const missing = await connection.request('GET', '/nothing')
  assert.equal(missing.status, 404)
  assert.equal((missing.body as { title: string }).title, 'Not found')
  assert.deepEqual(await connection.request('GET', '/text'), { status: 200, body: '{}' })
  assert.deepEqual(await connection.request('GET', '/broken'), { status: 200, body: '{"a":' })
  assert.deepEqual(await connection.request('GET', '/empty'), { status: 204, body: '' })
  await connection.close()
})

test('an answer beyond 256 KiB is refused, and the connection serves on', async () => {
  let size = 256 * 1024 + 1
  node.transport.route('GET', '/large', async () => ({ status: 200, body: Buffer.alloc(size, 'x') }))
  const connection = await dialUnverified(node.address)
  await assert.rejects(connection.request('GET', '/large'), { code: 'P2P_TRANSPORT_TOO_LARGE' })
  size--
  assert.equal(((await connection.request('GET', '/large')).body as string).length, size)
  await connection.close()
})

test('a request that waits can be aborted, and fails when the connection ends', async () => {
  const seen: AbortSignal[] = []
  const arrivals: (() => void)[] = []
  node.transport.route('GET', '/wait', ({ signal }) => {
    seen.push(signal)
    arrivals.shift()?.()
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  })
  const arrival = (): Promise<void> => new Promise((resolve) => arrivals.push(resolve))
  const connection = await dialUnverified(node.address)

  const controller = new AbortController()
  let arrived = arrival()
  const aborted = assert.rejects(connection.request('GET', '/wait', undefined, controller.signal), /gave up/)
  await arrived
  const heard = once(seen[0] as AbortSignal, 'abort')
  controller.abort(new Error('gave up'))
  await Promise.all([aborted, heard])

  arrived = arrival()
  const lost = assert.rejects(connection.request('GET', '/wait'), { code: 'P2P_TRANSPORT_UNREACHABLE' })
  await arrived
  await connection.close()
  await lost
  await assert.rejects(connection.request('GET', '/wait'), { code: 'P2P_TRANSPORT_UNREACHABLE' })
  await connection.close()
})

test('a server that refuses, stays silent or is no node is unreachable, with the reason', async () => {
  const sockets: Socket[] = []
  const hole = createServer((socket) => sockets.push(socket.on('error', () => {}))).listen(0, HOST)
  await once(hole, 'listening')
  const { port } = hole.address() as { port: number }
  const unreachable = (reason: RegExp) => (error: Error) => {
    assert.equal(codeOf(error), 'P2P_TRANSPORT_UNREACHABLE')
    assert.match(error.message, reason)
    return true
  }
  await assert.rejects(dialUnverified(`${HOST}:${port}`, { timeoutMs: 20 }), unreachable(/did not answer in time/))
  const signal = AbortSignal.abort(new Error('gave up'))
  await assert.rejects(dialUnverified(`${HOST}:${port}`, { signal }), /gave up/)
  for (const socket of sockets) socket.destroy()
  hole.close()
  await once(hole, 'close')
  await assert.rejects(dialUnverified(`${HOST}:${port}`), unreachable(/ECONNREFUSED/))
  await assert.rejects(dialUnverified('127.0.0.1'), unreachable(/host:port/))
})
