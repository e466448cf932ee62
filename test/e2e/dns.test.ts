import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { silentLogger } from '../../src/base/log.ts'
import type { Member } from '../../src/base/member.ts'
import type { Clock } from '../../src/base/time.ts'
import { framed } from '../../src/network/dns/message-splitter.ts'
import { createDnsServer, type DnsServerOptions } from '../../src/network/dns/index.ts'
import { systemClock, systemRandom } from '../../src/platform/index.ts'
import { CLUSTER, decodeReply, member, membershipOf, queryBytes, type Reply } from '../unit/network/dns/fixture.ts'
import { ManualClock } from '../unit/service/support/manual-clock.ts'
import { isLeftOut } from './support/left-out.ts'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)
const NEVER = new AbortController().signal
const HOST = '127.0.0.1'

function workers(count: number): Member[] {
  return Array.from({ length: count }, (_, i) =>
    member(`worker-${i + 1}`, { addresses: [`10.0.0.${i + 1}:8002`], services: { inventory: 'healthy' } }),
  )
}

const MEMBERS = [
  member('coordinator-1', { addresses: ['10.0.0.100:8001', '[fd00::100]:8001'], services: { system: 'healthy' } }),
  ...workers(3),
  member('failing', { services: { inventory: 'failing' } }),
  member('dead', { status: 'dead', services: { inventory: 'healthy' } }),
]

interface Started {
  port: number
  server: ReturnType<typeof createDnsServer>
  clock: Clock
}

async function start(
  t: TestContext,
  {
    members = MEMBERS,
    clock = systemClock,
    ...options
  }: { members?: Member[]; clock?: Clock } & Partial<DnsServerOptions> = {},
): Promise<Started> {
  const server = createDnsServer(
    { membership: membershipOf(members), clock, random: systemRandom, log: silentLogger },
    { address: HOST, port: 0, cluster: CLUSTER, ...options },
  )
  await server.start(NEVER)
  t.after(() => server.stop())
  return { port: server.address().port, server, clock }
}

/** What `dig` shows of an answer: status, flags and the records of each section, without their TTL. */
async function dig(port: number, ...args: string[]) {
  const { stdout } = await run('dig', [`@${HOST}`, '-p', String(port), '+tries=1', '+time=5', ...args])
  const sectionOf = (name: string): string[] => {
    const [, lines = ''] = new RegExp(`;; ${name} SECTION:\\n((?:.+\\n)*)`).exec(stdout) ?? []
    return lines
      .split('\n')
      .filter(Boolean)
      .map((line) => line.replace(/\s+\d*\s+IN\s+/, ' ').replace(/\s+/g, ' '))
  }
  return {
    status: /status: (\w+)/.exec(stdout)?.[1],
    flags: /flags: ([\w ]*);/.exec(stdout)?.[1],
    answer: sectionOf('ANSWER'),
    authority: sectionOf('AUTHORITY'),
    additional: sectionOf('ADDITIONAL'),
    stdout,
  }
}

const SOA = `${CLUSTER}. SOA coordinator-1.node.${CLUSTER}. hostmaster.${CLUSTER}. 1 3600 600 86400 2`

suite('as dig sees it', { skip: isLeftOut('dig') && 'dig is not available' }, () => {
  test('a service: A, and SRV with the addresses of its hosts; healthy and alive only', async (t) => {
    const { port } = await start(t)
    const name = `inventory.service.${CLUSTER}`
    const a = await dig(port, name, 'A')
    assert.deepEqual([a.status, a.flags], ['NOERROR', 'qr aa rd'])
    assert.deepEqual(
      a.answer.sort(),
      [1, 2, 3].map((i) => `${name}. A 10.0.0.${i}`),
    )
    assert.match(a.stdout, new RegExp(`${name}\\.\\s+2\\s+IN`), 'TTL 2 s')
    const srv = await dig(port, name, 'SRV')
    assert.deepEqual(
      srv.answer.sort(),
      [1, 2, 3].map((i) => `${name}. SRV 0 1 8002 worker-${i}.node.${CLUSTER}.`),
    )
    assert.deepEqual(
      srv.additional.sort(),
      [1, 2, 3].map((i) => `worker-${i}.node.${CLUSTER}. A 10.0.0.${i}`),
    )
  })

  test('a node: A, AAAA and SRV', async (t) => {
    const { port } = await start(t)
    const name = `coordinator-1.node.${CLUSTER}`
    assert.deepEqual((await dig(port, name, 'A')).answer, [`${name}. A 10.0.0.100`])
    assert.deepEqual((await dig(port, name, 'AAAA')).answer, [`${name}. AAAA fd00::100`])
    assert.deepEqual((await dig(port, name, 'SRV')).answer, [`${name}. SRV 0 1 8001 ${name}.`])
  })

  test('unknown names, names without the type, other zones, transfers, ANY', async (t) => {
    const { port } = await start(t)
    const outcomes: [args: string[], status: string, answer: string[], authority: string[]][] = [
      [[`nope.node.${CLUSTER}`], 'NXDOMAIN', [], [SOA]],
      [[`nope.${CLUSTER}`, 'SRV'], 'NXDOMAIN', [], [SOA]],
      [[`worker-1.node.${CLUSTER}`, 'AAAA'], 'NOERROR', [], [SOA]],
      [[`worker-1.node.${CLUSTER}`, 'HTTPS'], 'NOERROR', [], [SOA]],
      [[`dead.node.${CLUSTER}`], 'NOERROR', [], [SOA]],
      [[`service.${CLUSTER}`], 'NOERROR', [], [SOA]],
      [[CLUSTER, 'SOA'], 'NOERROR', [SOA], []],
      [[CLUSTER, 'NS'], 'NOERROR', [`${CLUSTER}. NS coordinator-1.node.${CLUSTER}.`], []],
      [['example.org'], 'REFUSED', [], []],
      [['.', 'NS'], 'REFUSED', [], []],
      [['version.bind', 'CH', 'TXT'], 'REFUSED', [], []],
      [['+notcp', `worker-1.node.${CLUSTER}`, 'ANY'], 'NOERROR', [`worker-1.node.${CLUSTER}. HINFO "RFC8482" ""`], []],
      [['+opcode=status', CLUSTER], 'NOTIMP', [], []],
    ]
    for (const [args, status, answer, authority] of outcomes) {
      const told = await dig(port, ...args)
      assert.deepEqual([told.status, told.answer, told.authority], [status, answer, authority], args.join(' '))
    }
    assert.match((await dig(port, CLUSTER, 'AXFR')).stdout, /Transfer failed/)
  })

  test('capitals come back as they were sent', async (t) => {
    const { port } = await start(t)
    const name = `InVenTory.SERvice.${CLUSTER.toUpperCase()}`
    const { stdout, answer } = await dig(port, name)
    assert.ok(stdout.includes(`;${name}.\t`), stdout)
    assert.match(answer[0] ?? '', new RegExp(`^${name}\\. A 10\\.0\\.0\\.`))
  })

  test('EDNS: the size asked for counts up to ours, other versions and no EDNS are answered as they should be', async (t) => {
    const { port } = await start(t)
    assert.match((await dig(port, CLUSTER, 'SOA')).stdout, /EDNS: version: 0, flags:; udp: 1232/)
    assert.match((await dig(port, '+dnssec', CLUSTER, 'SOA')).stdout, /EDNS: version: 0, flags: do; udp: 1232/)
    assert.doesNotMatch((await dig(port, '+noedns', CLUSTER, 'SOA')).stdout, /EDNS/)
    assert.equal((await dig(port, '+edns=7', '+noednsneg', CLUSTER, 'SOA')).status, 'BADVERS')
  })

  test('an answer too long for UDP comes whole by TCP', async (t) => {
    const { port, server } = await start(t, { members: workers(60) })
    const name = `inventory.service.${CLUSTER}`
    const cut = await dig(port, '+ignore', name, 'SRV')
    assert.equal(cut.flags, 'qr aa tc rd')
    assert.ok(cut.answer.length > 5 && cut.answer.length < 20, `${cut.answer.length} answers`)
    const small = await dig(port, '+ignore', '+noedns', name)
    assert.ok(Number(/MSG SIZE {2}rcvd: (\d+)/.exec(small.stdout)?.[1]) <= 512, small.stdout)
    const whole = await dig(port, name, 'SRV')
    assert.deepEqual([whole.answer.length, whole.additional.length, whole.flags], [60, 60, 'qr aa rd'])
    assert.match(whole.stdout, /\(TCP\)/)
    assert.equal(server.stats().truncated, 3)
  })
})

test('a node with dns_port answers for its cluster, and tells how often', {
  skip: isLeftOut('dig') && 'dig is not available',
}, async (t) => {
  const home = makeHome(t)
  const [port, dnsPort] = [await freePort(), await freePort()]
  const config = { port, bind_address: HOST, coordinator_mode: true, dns_port: dnsPort }
  const { cluster } = await startNode(t, home.config('coordinator-1', config)).ready()
  const { answer, additional } = await dig(dnsPort, `system.service.${cluster}`, 'SRV')
  assert.deepEqual(answer, [`system.service.${cluster}. SRV 0 1 ${port} coordinator-1.node.${cluster}.`])
  assert.deepEqual(additional, [`coordinator-1.node.${cluster}. A ${HOST}`])
  assert.equal((await p2p(['login'], { cwd: home.directory })).code, 0)
  const curlrc = join(home.directory, 'xdg/p2p/curlrc')
  const { stdout } = await run('curl', ['-sS', '-K', curlrc, `https://${HOST}:${port}/metrics`])
  assert.match(stdout, /^p2p_dns_queries_total\{transport="udp"\} 1$/m)
  assert.match(stdout, /^p2p_gossip_bytes_total\{direction="sent"\} \d+$/m)
})

/** Sends datagrams from one socket and gives each answer as it comes. */
async function udpClient(t: TestContext, port: number) {
  const socket = createSocket('udp4')
  socket.bind(0, HOST)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return {
    send: (bytes: Buffer) => socket.send(bytes, port, HOST),
    async answer(): Promise<Reply> {
      const [bytes] = (await once(socket, 'message')) as [Buffer]
      return decodeReply(bytes)
    },
  }
}

async function tcpClient(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: HOST, port })
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** The messages of a TCP stream, as many as wanted. */
async function messagesOf(socket: Socket, count: number): Promise<Reply[]> {
  const replies: Reply[] = []
  let held = Buffer.alloc(0)
  for await (const chunk of socket) {
    held = Buffer.concat([held, chunk as Buffer])
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0)
      replies.push(decodeReply(held.subarray(2, end)))
      held = held.subarray(end)
      if (replies.length === count) return replies
    }
  }
  return replies
}

test('damaged datagrams are counted and get no answer; the next query does', async (t) => {
  const { port, server } = await start(t)
  const client = await udpClient(t, port)
  const good = queryBytes(`worker-1.node.${CLUSTER}`)
  const answer = queryBytes(CLUSTER)
  answer.writeUInt16BE(0x8000, 2)
  for (const bad of [Buffer.from('nonsense'), good.subarray(0, 20), Buffer.alloc(1_233), answer]) client.send(bad)
  client.send(good)
  // An earlier one, had it been answered, would have come first.
  const reply = await client.answer()
  assert.deepEqual([reply.rcode, reply.answers?.length], ['NOERROR', 1])
  const { udpQueries, dropped, answers } = server.stats()
  assert.deepEqual([udpQueries, dropped, answers.NOERROR], [5, 4, 1])
})

test('beyond what one network may ask by UDP, answers only send to TCP, until time has passed', async (t) => {
  const clock = new ManualClock()
  const { port, server } = await start(t, { clock })
  const client = await udpClient(t, port)
  const ask = async (): Promise<Reply> => {
    const answered = client.answer()
    client.send(queryBytes(`worker-1.node.${CLUSTER}`))
    return answered
  }
  for (let i = 0; i < 1_000; i++) assert.equal((await ask()).flag_tc, false, `query ${i}`)
  const limited = await ask()
  assert.deepEqual([limited.flag_tc, limited.answers?.length, server.stats().limited], [true, 0, 1])
  const tcp = await tcpClient(t, port)
  tcp.write(framed(queryBytes(`worker-1.node.${CLUSTER}`)))
  assert.equal((await messagesOf(tcp, 1))[0]?.answers?.length, 1)
  clock.advance(1_000)
  assert.equal((await ask()).flag_tc, false)
})

test('beyond it by TCP too, the connection is cut', async (t) => {
  const { port, server } = await start(t, { clock: new ManualClock() })
  const socket = await tcpClient(t, port)
  const query = framed(queryBytes(`worker-1.node.${CLUSTER}`))
  socket.write(Buffer.concat(Array.from({ length: 1_200 }, () => query)))
  const replies = await messagesOf(socket, 1_200)
  assert.ok(replies.length <= 1_000, `${replies.length} answers`)
  assert.equal(server.stats().limited, 1)
})

test('a connection carries many queries, in pieces and in one piece', async (t) => {
  const { port } = await start(t)
  const socket = await tcpClient(t, port)
  const names = ['worker-1.node', 'worker-2.node', 'nope.node'].map((name) => `${name}.${CLUSTER}`)
  const stream = Buffer.concat(names.map((name) => framed(queryBytes(name))))
  socket.write(stream.subarray(0, 31))
  socket.write(stream.subarray(31))
  const replies = await messagesOf(socket, 3)
  assert.deepEqual(
    replies.map(({ rcode, questions }) => [questions?.[0]?.name, rcode]),
    names.map((name, i) => [name, i === 2 ? 'NXDOMAIN' : 'NOERROR']),
  )
})

test('a connection with bytes that are no query is cut and counted', async (t) => {
  const { port, server } = await start(t)
  const bads = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0, 0]), framed(Buffer.from('too short'))]
  for (const bad of bads) {
    const socket = await tcpClient(t, port)
    socket.write(bad)
    assert.deepEqual(await messagesOf(socket, 1), [])
  }
  assert.equal(server.stats().dropped, bads.length)
})

test('a silent connection is closed, and the one silent for longest makes room for a new one', async (t) => {
  const clock = new ManualClock()
  const { port } = await start(t, { clock })
  const first = await tcpClient(t, port)
  const firstClosed = once(first.resume(), 'close')
  const others: Socket[] = []
  for (let i = 0; i < 64; i++) others.push(await tcpClient(t, port))
  await firstClosed
  const last = others.at(-1) as Socket
  last.write(framed(queryBytes(`worker-1.node.${CLUSTER}`)))
  assert.equal((await messagesOf(last, 1)).length, 1)
  const closed = others.slice(0, -1).map((socket) => once(socket.resume(), 'close'))
  clock.advance(10_000)
  await Promise.all(closed)
})

test('stop closes both ports and every connection, at once and twice', async (t) => {
  const { port, server } = await start(t)
  const socket = await tcpClient(t, port)
  const closed = once(socket.resume(), 'close')
  await Promise.all([server.stop(), server.stop()])
  await closed
  const again = await start(t, { port })
  assert.equal(again.port, port)
})

test('a port that is taken, for TCP or for UDP only, and an address that is not here are named with the remedy', async (t) => {
  const tcp = createServer()
  tcp.listen(0, HOST)
  await once(tcp, 'listening')
  t.after(() => tcp.close())
  const udp = createSocket('udp4')
  udp.bind(0, HOST)
  await once(udp, 'listening')
  t.after(() => udp.close())
  const { port } = tcp.address() as { port: number }
  for (const taken of [port, udp.address().port]) {
    await assert.rejects(start(t, { port: taken }), {
      code: 'P2P_NETWORK_DNS_UNAVAILABLE',
      message: `Cannot answer DNS queries at ${HOST}:${taken}: another program has the port. Choose another one with dns_port.`,
    })
  }
  await assert.rejects(start(t, { address: '192.0.2.1' }), {
    code: 'P2P_NETWORK_DNS_UNAVAILABLE',
    message: /dns_address/,
  })
})

const hasIpv6 = Object.values(networkInterfaces()).some((facts) => facts?.some(({ address }) => address === '::1'))

test('IPv6 is served as well', { skip: !hasIpv6 && 'this machine has no IPv6' }, async (t) => {
  const { port } = await start(t, { address: '::1' })
  const socket = createSocket('udp6')
  t.after(() => socket.close())
  socket.send(queryBytes(`worker-1.node.${CLUSTER}`), port, '::1')
  const [bytes] = (await once(socket, 'message')) as [Buffer]
  assert.equal(decodeReply(bytes).answers?.length, 1)
})
