import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { runTransportBench } from '../../bench/transport.ts'
import { codeOf, type ErrorCode } from '../../src/base/errors.ts'
import type { PeerChannel } from '../../src/base/peer.ts'
import type { PeersLimits, PeersNeeds, StreamRequest } from '../../src/transport/index.ts'
import { TURN_BYTES } from '../../src/transport/turn-share.ts'
import { createTestAuthority, type IssuedLeaf } from '../unit/transport/certificates.ts'
import { ManualClock } from '../unit/transport/manual-clock.ts'
import {
  askHttp1,
  HOST,
  openHttp2,
  startTestNode,
  type TestNode,
  type TestNodeOptions,
} from '../unit/transport/nodes.ts'

const authority = await createTestAuthority('test')
const foreign = await createTestAuthority('test')
const stops: (() => Promise<void>)[] = []
after(() => Promise.all(stops.map((stop) => stop())))

const PATH = '/p2p/v1/channel'
const RUN = '0123456789abcdef'
const dialHeaders = (count = 1, instance = RUN) => ({ 'p2p-protocol': '1', 'p2p-dial': `${instance}.${count}` })

async function startNode(nodeId: string, options: TestNodeOptions = {}): Promise<TestNode> {
  const node = await startTestNode(authority, nodeId, { ...options, limits: { stopGraceMs: 50, ...options.limits } })
  stops.push(node.stop)
  return node
}

async function startPair(options: TestNodeOptions = {}): Promise<[TestNode, TestNode]> {
  return Promise.all([startNode('a', options), startNode('b', options)])
}

const targetOf = (node: TestNode) => ({ nodeId: node.nodeId, addresses: [node.address] })

/** The other node's end of a channel, as soon as it is there. */
async function otherEnd(node: TestNode, peerId: string): Promise<PeerChannel> {
  const open = node.peers.get(peerId)
  if (open) return open
  return new Promise((resolve) => {
    const unsubscribe = node.peers.onOpen((channel) => {
      if (channel.peer.nodeId !== peerId) return
      unsubscribe()
      resolve(channel)
    })
  })
}

function closing(channel: PeerChannel): Promise<unknown> {
  return channel.closed.aborted ? Promise.resolve() : once(channel.closed, 'abort')
}

/** Collects the rpc frames a node gets. */
function inbox(node: TestNode): { frames: string[]; until: (count: number) => Promise<string[]> } {
  const frames: string[] = []
  const waiting: { count: number; resolve: (frames: string[]) => void }[] = []
  node.peers.handle('rpc', (_channel, payload) => {
    frames.push(Buffer.from(payload).toString())
    for (const { count, resolve } of waiting) if (frames.length >= count) resolve(frames)
  })
  const until = (count: number): Promise<string[]> =>
    new Promise((resolve) => (frames.length >= count ? resolve(frames) : waiting.push({ count, resolve })))
  return { frames, until }
}

/** A peer played by hand: its certificate and the plain HTTP/2 request for a channel. */
async function requestChannel(
  node: TestNode,
  material: IssuedLeaf | undefined,
  headers: Record<string, string> = dialHeaders(),
  maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<{ status: number; stream: ClientHttp2Stream }> {
  const session = await openHttp2(node.port, { maxVersion, ...(material && { material }) })
  const stream = session.request({ ':method': 'POST', ':path': PATH, ...headers }, { endStream: false })
  stream.on('error', () => {})
  const [answer] = (await once(stream, 'response')) as [{ ':status': number }]
  return { status: answer[':status'], stream }
}

async function failure(promise: Promise<unknown>): Promise<{ code: ErrorCode | undefined; message: string }> {
  try {
    await promise
  } catch (error) {
    return { code: codeOf(error), message: (error as Error).message }
  }
  throw new assert.AssertionError({ message: 'it was expected to fail' })
}

/** A port where connections are taken and nothing is ever said. */
async function startBlackHole(): Promise<{ address: string; sockets: Socket[]; next: () => Promise<Socket> }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume()
    sockets.push(socket)
  })
  server.listen(0, HOST)
  await once(server, 'listening')
  stops.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const next = async (): Promise<Socket> => sockets[0] ?? ((await once(server, 'connection')) as [Socket])[0]
  return { address: `${HOST}:${(server.address() as { port: number }).port}`, sockets, next }
}

test('a channel joins two verified nodes, and both ends know each other', async () => {
  const [a, b] = await startPair()
  const opened: string[] = []
  a.peers.onOpen((channel) => opened.push(`a→${channel.peer.nodeId}`))
  b.peers.onOpen((channel) => opened.push(`b→${channel.peer.nodeId}`))
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  assert.deepEqual(atA.peer, { cluster: 'test', role: 'worker', nodeId: 'b' })
  assert.deepEqual(atB.peer, { cluster: 'test', role: 'worker', nodeId: 'a' })
  assert.deepEqual([atA.peerSerial, atB.peerSerial], [b.leaf.serial, a.leaf.serial])
  assert.deepEqual([atA.dialled, atB.dialled], [true, false])
  assert.equal(atA.remoteAddress, b.address)
  assert.deepEqual(opened.sort(), ['a→b', 'b→a'])
  assert.equal(await a.peers.open(targetOf(b)), atA)
  assert.equal(await b.peers.open(targetOf(a)), atB)
  assert.deepEqual([a.peers.list(), b.peers.list()], [[atA], [atB]])
})

test('frames of all sizes arrive whole and in order in both directions at once', async () => {
  const [a, b] = await startPair()
  const received = { a: inbox(a), b: inbox(b) }
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  const frames = Array.from({ length: 3_000 }, (_, i) => `${i}:${'x'.repeat((i * 7919) % 3_000)}`)
  for (const frame of frames) {
    atA.send('rpc', Buffer.from(frame))
    atB.send('rpc', Buffer.from(frame))
  }
  assert.deepEqual(await received.b.until(frames.length), frames)
  assert.deepEqual(await received.a.until(frames.length), frames)
})

test('a frame of 8 MiB passes both ways; a larger one is refused where it is sent', async () => {
  const [a, b] = await startPair()
  const large = Buffer.alloc(8 * 1024 * 1024)
  for (let i = 0; i < large.length; i += 4096) large.writeUInt32BE(i, i)
  const intact: Promise<boolean>[] = [a, b].map(
    (node) => new Promise((resolve) => node.peers.handle('rpc', (_channel, payload) => resolve(large.equals(payload)))),
  )
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  assert.throws(() => atA.send('rpc', Buffer.alloc(large.length + 1)), { code: 'P2P_TRANSPORT_TOO_LARGE' })
  atA.send('rpc', large)
  atB.send('rpc', large)
  assert.deepEqual(await Promise.all(intact), [true, true])
})

test('each kind goes to its handler; a kind nobody handles and a handler that throws harm nothing', async () => {
  const [a, b] = await startPair()
  const { until } = inbox(b)
  const gossip = new Promise<string>((resolve) => {
    b.peers.handle('gossip', (_channel, payload) => {
      resolve(Buffer.from(payload).toString())
      throw new Error('handler bug')
    })
  })
  const atA = await a.peers.open(targetOf(b))
  atA.send('gossip', Buffer.from('rumour'))
  atA.send('rpc', Buffer.from('call'))
  assert.equal(await gossip, 'rumour')
  assert.deepEqual(await until(1), ['call'])
  const atB = await otherEnd(b, 'a')
  atB.send('gossip', Buffer.from('unheard'))
  assert.equal(b.log.lines.filter(({ level }) => level === 'error').length, 1)
})

test('frames that came before their handler wait for it, in their order', async () => {
  const [a, b] = await Promise.all([startNode('a'), startNode('b')])
  const gossip = new Promise((resolve) => b.peers.handle('gossip', resolve))
  const atA = await a.peers.open(targetOf(b))
  for (const call of ['first', 'second']) atA.send('rpc', Buffer.from(call))
  atA.send('gossip', Buffer.from('behind them'))
  await gossip
  const calls: string[] = []
  b.peers.handle('rpc', (_channel, payload) => calls.push(Buffer.from(payload).toString()))
  assert.deepEqual(calls, ['first', 'second'])
})

test('a channel is refused to everyone but a verified node of the cluster, each with its reason', async () => {
  const node = await startNode('a')
  const [good, expired, other, stranger, same, revoked] = await Promise.all([
    authority.issue({ nodeId: 'b' }),
    authority.issue({ nodeId: 'b', notAfter: new Date(Date.now() - 60_000) }),
    authority.issue({ nodeId: 'b', cluster: 'other' }),
    foreign.issue({ nodeId: 'b' }),
    authority.issue({ nodeId: 'a' }),
    authority.issue({ nodeId: 'b' }),
  ])
  node.revocations.revoke(revoked.serial)
  const refusal = async (...request: Parameters<typeof requestChannel>): Promise<string> => {
    const { status, stream } = await requestChannel(...request)
    stream.setEncoding('utf8')
    let text = ''
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    await once(stream, 'close')
    return `${status} ${JSON.parse(text).detail}`
  }
  assert.match(await refusal(node, undefined), /^403 .*needs a node certificate/)
  for (const leaf of [expired, other, stranger]) assert.match(await refusal(node, leaf), /^403 .*has expired or is not/)
  assert.match(await refusal(node, revoked), /^403 .*revoked/)
  assert.match(await refusal(node, same), /^403 .*itself/)
  assert.match(await refusal(node, good, dialHeaders(), 'TLSv1.2'), /^403 .*TLS 1\.3/)
  assert.match(await refusal(node, good, { ...dialHeaders(), 'p2p-protocol': '2' }), /^400 .*version 1/)
  assert.match(await refusal(node, good, { 'p2p-protocol': '1' }), /^400 /)
  assert.equal((await askHttp1(node.port, PATH, '', { material: good })).status, 505)
  assert.deepEqual(node.peers.list(), [])
  assert.equal((await requestChannel(node, good)).status, 200)
})

test('a node opens no channel to the wrong node, cluster, authority or to itself', async () => {
  const a = await startNode('a')
  const b = await startNode('b')
  const impostors = await Promise.all([
    startNode('expired', {
      leaf: await authority.issue({ nodeId: 'expired', notAfter: new Date(Date.now() - 60_000) }),
    }),
    startNode('other', { leaf: await authority.issue({ nodeId: 'other', cluster: 'other' }) }),
    startNode('foreign', { leaf: await foreign.issue({ nodeId: 'foreign' }) }),
    startNode('unnamed', { leaf: await authority.issue({ nodeId: 'unnamed', names: [{ type: 'dns', value: 'x' }] }) }),
  ])
  const mismatch = 'P2P_TRANSPORT_IDENTITY_MISMATCH'
  for (const node of impostors) {
    assert.equal((await failure(a.peers.open({ addresses: [node.address] }))).code, mismatch, node.nodeId)
  }
  const wrong = await failure(a.peers.open({ nodeId: 'c', addresses: [b.address] }))
  assert.equal(wrong.code, mismatch)
  assert.match(wrong.message, new RegExp(`${b.address} .* it is b, not c`))
  assert.equal((await failure(a.peers.open({ addresses: [a.address] }))).code, mismatch)
  a.revocations.revoke(b.leaf.serial)
  assert.match((await failure(a.peers.open(targetOf(b)))).message, /revoked/)
  assert.deepEqual(a.peers.list(), [])
})

test('a node whose own certificate is not accepted is told why', async () => {
  const b = await startNode('b')
  const expired = await authority.issue({ nodeId: 'a', notAfter: new Date(Date.now() - 60_000) })
  const a = await startNode('a', { leaf: expired })
  const refused = await failure(a.peers.open(targetOf(b)))
  assert.equal(refused.code, 'P2P_TRANSPORT_REFUSED')
  assert.match(
    refused.message,
    new RegExp(`b at ${b.address} refused the channel: certificate ${expired.serial} has expired`),
  )
})

test('a revocation closes the channel at once, on whichever side it is heard', async () => {
  for (const hears of ['dialler', 'acceptor'] as const) {
    const [a, b] = await startPair()
    const atA = await a.peers.open(targetOf(b))
    const atB = await otherEnd(b, 'a')
    const ends = [closing(atA), closing(atB)]
    if (hears === 'dialler') a.revocations.revoke(b.leaf.serial)
    else b.revocations.revoke(a.leaf.serial)
    await Promise.all(ends)
    assert.equal(a.peers.get('b') ?? b.peers.get('a'), undefined)
    assert.throws(() => atA.send('rpc', Buffer.alloc(1)), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
  }
})

test('a renewed certificate leaves channels alone and is shown by the next one', async () => {
  const [a, b] = await startPair()
  const c = await startNode('c')
  const atA = await a.peers.open(targetOf(b))
  const renewed = await authority.issue({ nodeId: 'a' })
  a.credentials.renew(renewed)
  await a.peers.open(targetOf(c))
  assert.equal((await otherEnd(c, 'a')).peerSerial, renewed.serial)
  assert.equal((await otherEnd(b, 'a')).peerSerial, a.leaf.serial)
  assert.equal(atA.closed.aborted, false)
})

test('callers that open the same peer at once share one dial, also under its address', async () => {
  let requests = 0
  const counting = (transport: PeersNeeds['transport']): PeersNeeds['transport'] => ({
    stream: (method, path, handler) =>
      transport.stream(method, path, (request) => {
        requests++
        handler(request)
      }),
  })
  const a = await startNode('a')
  const b = await startNode('b', { wrap: counting })
  const targets = [targetOf(b), { addresses: [b.address] }, targetOf(b), { addresses: [b.address] }]
  const channels = await Promise.all(targets.map((target) => a.peers.open(target)))
  assert.equal(new Set(channels).size, 1)
  assert.equal(requests, 1)
  assert.equal(await a.peers.open({ addresses: [b.address] }), channels[0])
  assert.equal(requests, 1)
})

/** Holds the requests for channels that reach a node until a test lets them on. */
function gate() {
  const held: { request: StreamRequest; pass: () => void }[] = []
  const waiting: (() => void)[] = []
  const wrap = (transport: PeersNeeds['transport']): PeersNeeds['transport'] => ({
    stream: (method, path, handler) =>
      transport.stream(method, path, (request) => {
        held.push({ request, pass: () => handler(request) })
        waiting.shift()?.()
      }),
  })
  const arrival = (): Promise<void> =>
    held.length > 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
  const pass = (): void => {
    for (const { pass } of held.splice(0)) pass()
  }
  return { wrap, arrival, pass }
}

test('two nodes that dial each other at once end with the one channel dialled by the smaller id, and lose no frame', async () => {
  for (const first of ['a', 'b']) {
    const gates = { a: gate(), b: gate() }
    const [a, b] = await Promise.all([startNode('a', { wrap: gates.a.wrap }), startNode('b', { wrap: gates.b.wrap })])
    const received = { a: inbox(a), b: inbox(b) }
    let opened = 0
    let closed = 0
    for (const { peers } of [a, b]) {
      peers.onOpen(() => opened++)
      peers.onClose(() => closed++)
    }
    const sending = [a.peers.open(targetOf(b)), b.peers.open(targetOf(a))].map(async (opening) => {
      const channel = await opening
      for (let i = 0; i < 100; i++) channel.send('rpc', Buffer.from(String(i)))
      return channel
    })
    await Promise.all([gates.a.arrival(), gates.b.arrival()])
    const order = first === 'a' ? [gates.a, gates.b] : [gates.b, gates.a]
    for (const { pass } of order) pass()
    const [atA, atB] = (await Promise.all(sending)) as [PeerChannel, PeerChannel]
    assert.deepEqual([atA.dialled, atB.dialled], [true, false])
    await Promise.all([received.a.until(100), received.b.until(100)])
    assert.deepEqual([received.a.frames.length, received.b.frames.length], [100, 100])
    assert.deepEqual([opened, closed], [2, 0])
    assert.deepEqual([a.peers.list(), b.peers.list()], [[atA], [atB]])
  }
})

test('a request that arrives after the channel its sender has accepted is refused, and the channel stays', async () => {
  const late = gate()
  const a = await startNode('a', { wrap: late.wrap })
  const b = await startNode('b')
  const fromB = b.peers.open({ addresses: [a.address] })
  await late.arrival()
  const atA = await a.peers.open(targetOf(b))
  const atB = await fromB
  assert.equal(atB.dialled, false)
  late.pass()
  const { until } = inbox(b)
  atA.send('rpc', Buffer.from('still open'))
  assert.deepEqual(await until(1), ['still open'])
  assert.deepEqual([a.peers.list(), b.peers.list()], [[atA], [atB]])
})

test('who waits for a peer that cannot be reached has its channel when the peer dials', async () => {
  const [a, b] = await startPair()
  const hole = await startBlackHole()
  const fromA = a.peers.open({ nodeId: 'b', addresses: [hole.address] })
  const socket = await hole.next()
  await b.peers.open(targetOf(a))
  assert.equal((await fromA).dialled, false)
  if (!socket.closed) await once(socket, 'close')
})

test('when the smaller id gives up its dial, the waiting request of the larger one is accepted', async () => {
  const gates = { a: gate(), b: gate() }
  const [a, b] = await Promise.all([startNode('a', { wrap: gates.a.wrap }), startNode('b', { wrap: gates.b.wrap })])
  const impatient = new AbortController()
  const fromA = failure(a.peers.open(targetOf(b), impatient.signal))
  const fromB = b.peers.open(targetOf(a))
  await Promise.all([gates.a.arrival(), gates.b.arrival()])
  gates.a.pass()
  impatient.abort(new Error('gave up'))
  assert.equal((await fromA).message, 'gave up')
  const atB = await fromB
  assert.equal(atB.dialled, true)
  assert.equal((await otherEnd(a, 'b')).dialled, false)
})

test('a peer that dials again has lost its channel: the newer one replaces the older, an older request does not', async () => {
  const a = await startNode('a')
  const leaf = await authority.issue({ nodeId: 'b' })
  await requestChannel(a, leaf, dialHeaders(5))
  const first = a.peers.get('b') as PeerChannel
  assert.equal((await requestChannel(a, leaf, dialHeaders(4))).status, 409)
  assert.equal((await requestChannel(a, leaf, dialHeaders(5))).status, 409)
  assert.equal(a.peers.get('b'), first)
  assert.equal((await requestChannel(a, leaf, dialHeaders(6))).status, 200)
  const second = a.peers.get('b')
  assert.notEqual(second, first)
  assert.equal(first.closed.aborted, true)
  assert.equal((await requestChannel(a, leaf, dialHeaders(1, 'fedcba9876543210'))).status, 200)
  assert.notEqual(a.peers.get('b'), second)
  assert.equal(a.peers.list().length, 1)
})

test('a peer that does not read makes send fail before memory fills, and the channel recovers when it reads on', async () => {
  const a = await startNode('a', { peerLimits: { sendQueueBytesMax: 1024 * 1024 } })
  const { stream } = await requestChannel(a, await authority.issue({ nodeId: 'b' }))
  const channel = a.peers.get('b') as PeerChannel
  const frame = Buffer.alloc(64 * 1024)
  let sent = 0
  await assert.rejects(
    async () => {
      for (; sent < 1_000; sent++) {
        channel.send('rpc', frame)
        await new Promise(setImmediate)
      }
    },
    { code: 'P2P_TRANSPORT_OVERLOADED' },
  )
  let received = 0
  const drained = new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received === sent * (frame.length + 5)) resolve()
    })
  })
  await drained
  channel.send('rpc', frame)
  assert.equal(channel.closed.aborted, false)
})

test('a frame announced too large closes the channel before it has come', async () => {
  const a = await startNode('a')
  const { stream } = await requestChannel(a, await authority.issue({ nodeId: 'b' }))
  const channel = a.peers.get('b') as PeerChannel
  stream.resume().write(Buffer.from([0x00, 0x80, 0x00, 0x01, 1]))
  await closing(channel)
  assert.match(channel.closed.reason.message, /at most 8\.0 MiB/)
})

test('an address that refuses or stays silent does not keep the next one from winning', async () => {
  const a = await startNode('a', { peerLimits: { dialHeadStartMs: 1 } })
  const b = await startNode('b')
  const hole = await startBlackHole()
  const closedPort = createServer().listen(0, HOST)
  await once(closedPort, 'listening')
  const refusing = `${HOST}:${(closedPort.address() as { port: number }).port}`
  closedPort.close()
  await once(closedPort, 'close')
  const channel = await a.peers.open({ nodeId: 'b', addresses: [refusing, 'not an address', hole.address, b.address] })
  assert.equal(channel.remoteAddress, b.address)
  const socket = await hole.next()
  if (!socket.closed) await once(socket, 'close')
})

test('when no address works the error names each with its reason', async () => {
  const a = await startNode('a', { peerLimits: { dialTimeoutMs: 50 } })
  const hole = await startBlackHole()
  const none = await failure(a.peers.open({ nodeId: 'b', addresses: [] }))
  assert.equal(none.code, 'P2P_TRANSPORT_UNREACHABLE')
  const both = await failure(a.peers.open({ nodeId: 'b', addresses: [hole.address, 'b:0'] }))
  assert.equal(both.code, 'P2P_TRANSPORT_UNREACHABLE')
  assert.match(both.message, new RegExp(`No address of b works: ${hole.address} .* in time; b:0 .* host:port`))
})

test('a peer that takes the connection but never answers the request is given up', async () => {
  const silent = gate()
  const a = await startNode('a', { peerLimits: { dialTimeoutMs: 300 } })
  const b = await startNode('b', { wrap: silent.wrap })
  const { code, message } = await failure(a.peers.open(targetOf(b)))
  assert.equal(code, 'P2P_TRANSPORT_UNREACHABLE')
  assert.match(message, /did not answer in time/)
})

test('an aborted open ends its dial, unless another caller still waits for it', async () => {
  const a = await startNode('a')
  const hole = await startBlackHole()
  const target = { nodeId: 'b', addresses: [hole.address] }
  const first = new AbortController()
  const second = new AbortController()
  const opening = [a.peers.open(target, first.signal), a.peers.open(target, second.signal)].map(failure)
  const socket = await hole.next()
  first.abort(new Error('first gave up'))
  assert.equal((await opening[0])?.message, 'first gave up')
  assert.equal(socket.closed, false)
  second.abort(new Error('second gave up'))
  assert.equal((await opening[1])?.message, 'second gave up')
  if (!socket.closed) await once(socket, 'close')
  assert.equal((await failure(a.peers.open(target, AbortSignal.abort(new Error('too late'))))).message, 'too late')
})

test('what was sent before close still arrives, and both ends are told', async () => {
  const [a, b] = await startPair()
  const { until } = inbox(b)
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  const end = closing(atB)
  for (let i = 0; i < 500; i++) atA.send('rpc', Buffer.from(`${i}`.padEnd(1_000)))
  atA.close('the test is over')
  assert.equal(atA.closed.aborted, true)
  assert.equal(codeOf(atA.closed.reason), 'P2P_TRANSPORT_CHANNEL_CLOSED')
  assert.match(atA.closed.reason.message, /b at .* the test is over/)
  assert.equal(a.peers.get('b'), undefined)
  assert.equal((await until(500)).length, 500)
  await end
  assert.match(atB.closed.reason.message, /the peer closed it/)
  const again = await a.peers.open(targetOf(b))
  assert.notEqual(again, atA)
})

test('a released channel is out of use at both ends at once, and is closed when nothing can be under way any more', async () => {
  const clocks = [new ManualClock(), new ManualClock()] as const
  // The minute passes at once: no time for an answer to a PING.
  const peerLimits = { checkMs: 3_600_000 }
  const [a, b] = await Promise.all([
    startNode('a', { clock: clocks[0], peerLimits }),
    startNode('b', { clock: clocks[1], peerLimits }),
  ])
  const ended: string[] = []
  const released = new Promise<void>((resolve) => {
    a.peers.onClose(({ peer, closed }) => ended.push(`a→${peer.nodeId} ${closed.aborted}`))
    b.peers.onClose(({ peer, closed }) => {
      ended.push(`b→${peer.nodeId} ${closed.aborted}`)
      resolve()
    })
  })
  const heard: string[] = []
  const isHeard = new Promise<void>((resolve) => {
    a.peers.handle('gossip', (_channel, payload) => {
      heard.push(Buffer.from(payload).toString())
      resolve()
    })
  })
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  assert.equal(a.peers.release(atA), true)
  assert.equal(a.peers.release(atA), false, 'once')
  await released
  assert.deepEqual([a.peers.get('b'), b.peers.get('a')], [undefined, undefined])
  assert.deepEqual(ended, ['a→b false', 'b→a false'])
  atB.send('gossip', Buffer.from('sent before it knew'))
  await isHeard
  const again = await a.peers.open(targetOf(b))
  assert.notEqual(again, atA)
  assert.equal(atA.closed.aborted, false, 'the new channel does not cut the one that was released')
  const ends = [closing(atA), closing(atB)]
  for (const clock of clocks) clock.advance(60_000)
  await Promise.all(ends)
  assert.equal(a.peers.get('b'), again)
  assert.equal(ended.length, 2, 'its end is told once')
})

test('a channel that calls have gone over is not released, at either end', async () => {
  const [a, b] = await startPair()
  const { until } = inbox(b)
  const atA = await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  atA.send('gossip', Buffer.from('not a call'))
  atA.send('rpc', Buffer.from('a call'))
  await until(1)
  assert.deepEqual([a.peers.release(atA), b.peers.release(atB)], [false, false])
  assert.deepEqual([a.peers.get('b'), b.peers.get('a')], [atA, atB])
})

test('stop closes every channel, ends every dial and opens no more', async () => {
  const [a, b] = await startPair()
  const hole = await startBlackHole()
  await a.peers.open(targetOf(b))
  const atB = await otherEnd(b, 'a')
  const waiting = failure(a.peers.open({ addresses: [hole.address] }))
  await hole.next()
  const end = closing(atB)
  await a.peers.stop()
  await end
  assert.match((await waiting).message, /is stopping/)
  assert.match((await failure(a.peers.open(targetOf(b)))).message, /is stopping/)
  const refused = await failure(b.peers.open(targetOf(a)))
  assert.equal(refused.code, 'P2P_TRANSPORT_UNREACHABLE')
  await a.peers.stop()
})

test('a peer that never finishes closing does not hold stop open', async () => {
  const clock = new ManualClock()
  const a = await startNode('a', { clock })
  const { stream } = await requestChannel(a, await authority.issue({ nodeId: 'b' }))
  // It reads nothing and never ends its side.
  const channel = a.peers.get('b') as PeerChannel
  for (let i = 0; i < 100; i++) channel.send('rpc', Buffer.alloc(64 * 1024))
  const stopped = a.peers.stop()
  clock.advance(1_000)
  await stopped
  assert.equal(channel.closed.aborted, true)
  if (!stream.closed) await once(stream, 'close')
})

/** Another process that answers on channels, and this node's channel to it. */
async function openToProcess(peerLimits: Partial<PeersLimits>) {
  const child = fork(new URL('../../bench/transport.ts', import.meta.url), ['--serve'], {
    execArgv: ['--conditions=source'],
  })
  stops.push(async () => void child.kill('SIGKILL'))
  child.send(await authority.issue({ nodeId: 'server', cluster: 'bench' }))
  const [ports] = (await once(child, 'message')) as [{ transport: number }]
  const leaf = await authority.issue({ nodeId: 'a', cluster: 'bench' })
  const node = await startNode('a', { leaf, cluster: 'bench', peerLimits })
  const channel = await node.peers.open({ nodeId: 'server', addresses: [`${HOST}:${ports.transport}`] })
  return { child, channel }
}

test('the channel closes when the peer is killed, without waiting for a PING', async () => {
  const { child, channel } = await openToProcess({ checkMs: 3_600_000 })
  child.kill('SIGKILL')
  await closing(channel)
  assert.equal(codeOf(channel.closed.reason), 'P2P_TRANSPORT_CHANNEL_CLOSED')
})

test('the channel closes when the peer has frozen', async () => {
  const { child, channel } = await openToProcess({ checkMs: 20 })
  child.kill('SIGSTOP')
  await closing(channel)
  assert.match(channel.closed.reason.message, /does not answer/)
})

test('a frozen peer is noticed by what is sent to it, however patient the channel is when idle', async () => {
  const patience = { idleChecks: 1_000_000, answerChecks: 2 }
  const { child, channel } = await openToProcess({ checkMs: 20, patience })
  child.kill('SIGSTOP')
  channel.send('rpc', Buffer.from('anybody there?'))
  await closing(channel)
  assert.match(channel.closed.reason.message, /does not answer/)
})

test('an idle channel whose peer answers PING stays open', async () => {
  const clock = new ManualClock()
  const a = await startNode('a', { clock, peerLimits: { patience: { idleChecks: 2, answerChecks: 2 } } })
  const { stream } = await requestChannel(a, await authority.issue({ nodeId: 'b' }))
  const session = stream.session as ClientHttp2Session
  for (let i = 0; i < 3; i++) {
    // Its answer shows that the node has received all that was sent before.
    await new Promise<void>((resolve) => session.ping(() => resolve()))
    const pinged = once(session, 'ping')
    clock.advance(3_000)
    await pinged
  }
  assert.equal(a.peers.get('b')?.closed.aborted, false)
  session.destroy()
})

test('a channel moves to another address: both ends use the new one, the old one stays for what is under way', async () => {
  const clock = new ManualClock()
  // Nothing is read while the test moves the clock: checks would find every channel silent.
  const [a, b] = await startPair({ clock, peerLimits: { checkMs: 3_600_000 } })
  const received = inbox(b)
  const old = await a.peers.open(targetOf(b))
  const oldAtB = await otherEnd(b, 'a')
  const moved = await a.peers.move(old, [`localhost:${b.port}`])
  assert.notEqual(moved, old)
  assert.equal(a.peers.get('b'), moved)
  assert.deepEqual(a.peers.list(), [moved])
  assert.notEqual(b.peers.get('a'), oldAtB)
  old.send('rpc', Buffer.from('under way'))
  moved.send('rpc', Buffer.from('new'))
  assert.deepEqual((await received.until(2)).toSorted(), ['new', 'under way'])
  assert.equal(old.closed.aborted || oldAtB.closed.aborted, false)
  clock.advance(60_000)
  await Promise.all([closing(old), closing(oldAtB)])
  assert.equal(a.peers.get('b'), moved)
  assert.equal(moved.closed.aborted, false)
})

test('a channel whose other addresses do not work stays as it is', async () => {
  const [a, b] = await startPair()
  const channel = await a.peers.open(targetOf(b))
  const other = await startNode('other')
  const failsWith = (address: string, code: ErrorCode): Promise<void> =>
    assert.rejects(a.peers.move(channel, [address]), (error) => codeOf(error) === code)
  await failsWith('127.0.0.1:1', 'P2P_TRANSPORT_UNREACHABLE')
  await failsWith(other.address, 'P2P_TRANSPORT_IDENTITY_MISMATCH')
  assert.equal(a.peers.get('b'), channel)
  assert.equal(channel.closed.aborted, false)
})

test('a channel that was lost while it was to be moved is simply opened', async () => {
  const [a, b] = await startPair()
  const lost = await a.peers.open(targetOf(b))
  lost.close()
  const opened = await a.peers.move(lost, [b.address])
  assert.equal(a.peers.get('b'), opened)
  assert.equal(opened.closed.aborted, false)
})

test('the bench runs', async () => {
  const rows = await runTransportBench({ rounds: 1, secondsPerRound: 0.05 })
  assert.ok(rows.every(({ rates }) => rates.length === 1 && (rates[0] as number) > 0))
})

test('what one peer sends at once is taken in shares: every turn of the event loop has room for the others', async () => {
  const [node, flooding, honest] = await Promise.all(['a', 'b', 'c'].map((nodeId) => startNode(nodeId)))
  assert.ok(node && flooding && honest)
  const FRAME_BYTES = 1_024
  const FRAMES = 8 * 1_024
  const taken = { b: 0, c: 0 }
  let inTurn = 0
  let most = 0
  const all = Promise.withResolvers<void>()
  node.peers.handle('rpc', ({ peer }, payload) => {
    taken[peer.nodeId as 'b' | 'c']++
    if (peer.nodeId === 'b') inTurn += payload.length
    if (taken.b === FRAMES && taken.c === 1) all.resolve()
  })
  const [flood, quiet] = await Promise.all([flooding.peers.open(targetOf(node)), honest.peers.open(targetOf(node))])
  let isOver = false
  const countTurn = (): void => {
    most = Math.max(most, inTurn)
    inTurn = 0
    if (!isOver) setImmediate(countTurn)
  }
  setImmediate(countTurn)
  for (let n = 0; n < FRAMES; n++) flood.send('rpc', Buffer.alloc(FRAME_BYTES))
  quiet.send('rpc', Buffer.alloc(1))
  await all.promise
  isOver = true
  // A share, what of it was in the chunk that used it up, and as much again where a turn begins in the midst of one.
  assert.ok(most <= 3 * TURN_BYTES, `${most} bytes of one peer in one turn`)
  assert.ok(most >= TURN_BYTES / 2, 'it was a flood')
})

test('a peer that moves its channel again and again has only so many of them', async () => {
  const [node, mover] = await startPair({ peerLimits: { channelsPerPeerMax: 3 } })
  const heard = inbox(node)
  let channel = await mover.peers.open(targetOf(node))
  const all = [channel]
  for (let n = 0; n < 5; n++) all.push((channel = await mover.peers.move(channel, [node.address])))
  channel.send('rpc', Buffer.from('still here'))
  assert.deepEqual(await heard.until(1), ['still here'])
  await Promise.all(all.slice(0, 3).map(closing))
  assert.deepEqual(
    all.slice(3).map(({ closed }) => closed.aborted),
    [false, false, false],
  )
})
