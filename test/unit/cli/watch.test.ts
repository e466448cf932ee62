import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import { createLiveText } from '../../../src/cli/output/live-text.ts'
import { type FakeUser, fakeUser, NOW_MS } from './fake-host.ts'
import { type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const started = new Date(NOW_MS - 60_000).toISOString()

function clusterNode(nodeId: string, status: string) {
  return {
    node_id: nodeId,
    role: 'worker',
    status,
    address: '10.0.0.8',
    port: 8002,
    addresses: ['10.0.0.8'],
    services: { system: { version: '3.0.0', status: 'healthy', description: '', methods: [] } },
    last_seen: started,
    metadata: { started_at: started, version: '3.0.0' },
  }
}

function eventText(event: string, id: number, data: object): string {
  return `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`
}

const snapshot = (id: number, ...nodes: object[]): string => eventText('snapshot', id, { nodes })
const member = (id: number, node: object, previous: string | null): string =>
  eventText('member', id, { node, previous_status: previous })

type Connection = (answer: ServerResponse, asked: IncomingMessage) => void

/** A node whose event stream does, one connection after the other, what the test says; and a user who is signed in. */
async function watched(
  t: TestContext,
  connections: Connection[],
): Promise<{ user: FakeUser; asked: IncomingMessage[] }> {
  const user = fakeUser(t)
  const asked: IncomingMessage[] = []
  let tokens = 0
  const server: Server = createServer({ cert: authority.cert, key: authority.key }, (request, answer) => {
    if (request.url === '/auth/token') {
      answer.setHeader('content-type', 'application/json')
      answer.end(JSON.stringify({ access_token: `t${++tokens}`, expires_in: 43_200, role: 'admin' }))
      return
    }
    asked.push(request)
    const next = connections.shift()
    if (next) next(answer, request)
    else user.stop.abort()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const operator = { url, cluster: 'c1', ca_certificate: authority.ca, credential: 'x' }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(operator))
  return { user, asked }
}

/** Sends the texts, each in a write of its own, and ends. */
function sending(...texts: string[]): Connection {
  return (answer) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    for (const text of texts) answer.write(text)
    answer.end()
  }
}

/** Sends the texts and breaks the connection. */
function breaking(...texts: string[]): Connection {
  return (answer) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const text of texts) answer.write(text)
    answer.write('event: member\nid: 99\ndata: {"half', () => answer.destroy())
  }
}

function refusing(status: number, code: string): Connection {
  return (answer) => {
    answer.writeHead(status, { 'content-type': 'application/problem+json' })
    answer.end(JSON.stringify({ status, code, detail: `refused with ${code}` }))
  }
}

suite('p2p nodes --watch', () => {
  test('in a pipe: a line for every node, then for every change, until it is interrupted', async (t) => {
    const begin = snapshot(5, clusterNode('w1', 'alive'), clusterNode('w2', 'dead'))
    const [head, tail] = [begin.slice(0, 100), begin.slice(100)]
    const { user } = await watched(t, [
      sending(
        'retry: 2000\n\n',
        head,
        `${tail}:\n\n`,
        member(6, clusterNode('w1', 'suspected'), 'alive') + member(7, clusterNode('w1', 'suspected'), 'suspected'),
        member(8, clusterNode('w3', 'alive'), null),
        member(9, { ...clusterNode('w3', 'alive'), drain: 'draining' }, 'alive'),
        eventText('later', 10, {}),
      ),
    ])
    const { code, output, talk } = await user.run('nodes', '--watch')
    assert.equal(code, 0, talk)
    assert.deepEqual(
      output.split('\n').map((line) => line.replace(/^\S+Z {2}/, '')),
      [
        'w1  alive',
        'w2  dead',
        'w1  alive -> suspected',
        'w1  suspected, its record changed',
        'w3  alive',
        'w3  alive -> alive, draining',
        '',
      ],
    )
    assert.match(output, /^2026-01-02T03:04:05\.000Z {2}w1/)
    assert.equal(talk, '')
  })

  test('as JSON: one line an event, as the node said it', async (t) => {
    const { user } = await watched(t, [
      sending(snapshot(5, clusterNode('w1', 'alive')), member(6, clusterNode('w1', 'dead'), 'alive')),
    ])
    const { output } = await user.run('nodes', '--watch', '--output', 'json')
    assert.deepEqual(
      output
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as object),
      [
        { event: 'snapshot', index: 5, nodes: [clusterNode('w1', 'alive')] },
        { event: 'member', index: 6, node: clusterNode('w1', 'dead'), previous_status: 'alive' },
      ],
    )
  })

  test('a broken connection is opened again where it was, and only news is told', async (t) => {
    const { user, asked } = await watched(t, [
      breaking(
        snapshot(5, clusterNode('w1', 'alive'), clusterNode('w2', 'alive')),
        member(6, clusterNode('w2', 'dead'), 'alive'),
      ),
      refusing(503, 'P2P_HTTP_STOPPING'),
      sending(snapshot(20, clusterNode('w1', 'dead'), clusterNode('w2', 'dead'))),
    ])
    const { code, output, talk } = await user.run('nodes', '--watch')
    assert.equal(code, 0)
    assert.deepEqual(
      output.split('\n').map((line) => line.replace(/^\S+Z {2}/, '')),
      ['w1  alive', 'w2  alive', 'w2  alive -> dead', 'w1  alive -> dead', ''],
    )
    assert.deepEqual(
      asked.slice(0, 3).map(({ headers }) => headers['last-event-id']),
      [undefined, '6', '6'],
    )
    assert.match(talk, /closed the connection; trying again\n.*P2P_HTTP_STOPPING; trying again\n$/)
  })

  test('a refusal at first is an error; so is one later that trying again would not mend', async (t) => {
    const first = await watched(t, [refusing(429, 'P2P_HTTP_TOO_MANY_WATCHERS')])
    assert.equal((await first.user.run('nodes', '--watch')).code, 75)
    const later = await watched(t, [sending(snapshot(5)), refusing(403, 'P2P_RPC_ACCESS_DENIED')])
    const { code, talk } = await later.user.run('nodes', '--watch')
    assert.equal(code, 77)
    assert.match(talk, /P2P_RPC_ACCESS_DENIED/)
  })

  test('an expired token is renewed', async (t) => {
    const { user, asked } = await watched(t, [refusing(401, 'P2P_AUTH_TOKEN_EXPIRED'), sending(snapshot(5))])
    assert.equal((await user.run('nodes', '--watch')).code, 0)
    assert.deepEqual(
      asked.slice(0, 2).map(({ headers }) => headers.authorization),
      ['Bearer t1', 'Bearer t2'],
    )
  })

  test('what is no event stream is said to be none', async (t) => {
    const { user } = await watched(t, [(answer) => answer.end('hello')])
    const { code, talk } = await user.run('nodes', '--watch')
    assert.equal(code, 75)
    assert.match(talk, /does not answer like a node/)
  })

  test('YAML is refused before anything is asked', async (t) => {
    const { user, asked } = await watched(t, [])
    const { code, talk } = await user.run('nodes', '--watch', '--output', 'yaml')
    assert.equal(code, 2)
    assert.match(talk, /JSON lines/)
    assert.equal(asked.length, 0)
  })

  test('on a terminal: one table, always as it is now', async (t) => {
    const { user } = await watched(t, [
      breaking(
        'retry: 2000\n\n',
        snapshot(5, clusterNode('w2', 'alive'), clusterNode('w1', 'alive')),
        ':\n\n',
        member(6, clusterNode('w1', 'dead'), 'alive'),
      ),
      sending(snapshot(7, clusterNode('w1', 'alive'))),
    ])
    user.terminal = { columns: 120, rows: 40 }
    user.environment = { NO_COLOR: '1' }
    const { output, talk } = await user.run('nodes', '--watch')
    const screens = output.split('\u001B[J').slice(1)
    assert.equal(screens.length, 5, 'snapshot, heartbeat, change, lost, snapshot')
    assert.match(screens[0] as string, /NODE .*\nw1 .*alive.*\nw2 .*alive/)
    assert.match(screens[2] as string, /w1 .*dead/)
    assert.match(screens[3] as string, /trying again/)
    assert.match(screens[4] as string, /^\S*NODE .*\nw1 .*alive.*\n\S*$/)
    // Back over the lines of the screen before: header, two nodes, and the note.
    const back = output.split('\u001B').flatMap((part) => /^\[(\d+)A/.exec(part)?.[1] ?? [])
    assert.deepEqual(back, ['3', '3', '3', '4'])
    assert.equal(talk, '')
  })

  test('what does not fit on the screen is counted', () => {
    let output = ''
    const live = createLiveText({ write: (text) => (output += text), isTTY: true, columns: 80, rows: 5 })
    live.draw(Array.from({ length: 10 }, (_, i) => `line ${i}\n`).join(''))
    assert.match(output, /line 0\nline 1\nline 2\n… and 7 more\n/)
    assert.doesNotMatch(output, /line 3/)
    live.draw('short\n')
    assert.ok(output.includes('\u001B[4A\r\u001B[J\u001B[?7lshort\n'))
  })

  test('what is wider than the screen is cut, and colours end all the same', () => {
    let output = ''
    const live = createLiveText({ write: (text) => (output += text), isTTY: true, columns: 10, rows: 5 })
    live.draw('0123456789\n\u001B[32m01234\u001B[39m56789 and more\n\u001B[32m0123456789abc\u001B[39m\n')
    assert.ok(output.includes('0123456789\n\u001B[32m01234\u001B[39m5678…\n\u001B[32m012345678…\u001B[39m\n'), output)
  })
})

const STATS = {
  node_id: 'worker-1',
  uptime_seconds: 120,
  health_score: 2,
  rumours: { queued: 3, dropped: 1 },
  suspects: [{ node_id: 'w2', since: new Date(NOW_MS - 4_000).toISOString() }],
  probes_failed: 4,
  refutations: 5,
  interval_seconds: 7.5,
  interval_reason: 'growing: nothing changed for 1 exchange',
  state_exchanges: 6,
  sent: { frames: 10, bytes: 60_000, bytes_per_second: 500 },
  received: { frames: 8, bytes: 12_000, bytes_per_second: 100 },
  bytes_saved: 2_048,
  unsent: 2,
  dropped: { malformed: 1, record: 0 },
  sessions: [
    { node_id: 'w2', address: '10.0.0.8:8002', opened_here: true },
    { node_id: 'c1', address: '10.0.0.1:40000', opened_here: false },
  ],
}

function answering(member: object, bodies: string[]): Connection {
  return (answer, asked) => {
    asked.setEncoding('utf8')
    asked.on('data', (text: string) => bodies.push(text))
    asked.on('end', () => {
      answer.setHeader('content-type', 'application/json')
      answer.end(JSON.stringify({ jsonrpc: '2.0', id: 1, ...member }))
    })
  }
}

suite('p2p gossip', () => {
  test('shows the health, rumours, suspicions, traffic and sessions of the node asked, or another', async (t) => {
    const bodies: string[] = []
    const answer = answering({ result: STATS }, bodies)
    const { user, asked } = await watched(t, [answer, answer, answer])
    const { code, output, talk } = await user.run('gossip')
    assert.equal(code, 0, talk)
    for (const line of [
      /^Node +worker-1, for 2 min$/m,
      /^Health +2 of 7: /m,
      /^Rumours +3 to pass on, 1 dropped$/m,
      /^Suspects +w2 \(4 s ago\)$/m,
      /^Probes +4 failed; 5 claims about this node refuted$/m,
      /^Exchange +every 7\.5 s \(growing: nothing changed for 1 exchange\); 6 so far$/m,
      /^Sent +58\.6 KiB in 10 frames, 500 B\/s since the start$/m,
      /^Received +11\.7 KiB in 8 frames, 100 B\/s since the start$/m,
      /^Saved +2\.0 KiB by compression$/m,
      /^Not sent +2 frames/m,
      /^Not used +1 malformed$/m,
      /^w2 +10\.0\.0\.8:8002 +worker-1$/m,
      /^c1 +10\.0\.0\.1:40000 +c1$/m,
    ]) {
      assert.match(output, line)
    }
    assert.deepEqual(JSON.parse((await user.run('gossip', '--node', 'worker-1', '--output', 'json')).output), STATS)
    assert.deepEqual(
      asked.map(({ url }) => url),
      ['/rpc?node=local', '/rpc?node=worker-1'],
    )
    assert.equal((JSON.parse(bodies[0] as string) as { method: string }).method, 'system/get_gossip_stats')
  })

  test('a quiet node is told in few words', async (t) => {
    const quiet = { ...STATS, health_score: 0, suspects: [], unsent: 0, dropped: { malformed: 0 }, sessions: [] }
    const { user } = await watched(t, [answering({ result: quiet }, [])])
    const { output } = await user.run('gossip')
    assert.match(output, /^Health +0 \(healthy\)$/m)
    assert.match(output, /^Suspects +none$/m)
    assert.match(output, /^No session with another node is open$/m)
    assert.doesNotMatch(output, /Not sent|Not used/)
  })

  test('a node that cannot be reached is the error of the call', async (t) => {
    const error = { code: -32034, message: 'No node "w9"', data: { code: 'P2P_RPC_NO_INSTANCE' } }
    const { user } = await watched(t, [answering({ error }, [])])
    const { code, talk } = await user.run('gossip', '--node', 'w9')
    assert.equal(code, 75)
    assert.match(talk, /No node "w9"/)
  })
})
