import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import { parse } from 'yaml'
import { type FakeUser, fakeUser, NOW_MS } from './fake-host.ts'
import { problem, type StubAnswer, type StubNode, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const CREDENTIAL = `P2PO1-${'x'.repeat(43)}`
const iso = (ms: number): string => new Date(ms).toISOString()

function writeOperatorFile(user: FakeUser, folder: string, more: object): string {
  mkdirSync(join(user.folder, folder), { recursive: true })
  const path = join(user.folder, folder, 'operator.json')
  writeFileSync(path, JSON.stringify({ cluster: 'c1', credential: CREDENTIAL, ...more }))
  return path
}

/** A coordinator that gives tokens token-1, token-2 …, and a user in the folder it was started in. */
async function cluster(t: TestContext): Promise<{ user: FakeUser; node: StubNode; credentialFile: string }> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  let tokens = 0
  node.answers['POST /auth/token'] = ({ body }) =>
    (body as { credential: string }).credential === CREDENTIAL
      ? { body: { access_token: `token-${++tokens}`, token_type: 'bearer', expires_in: 43_200, role: 'admin' } }
      : problem('P2P_AUTH_CREDENTIAL_INVALID', 401)
  node.answers['GET /api/nodes/pending'] = { body: { pending: [] } }
  const credentialFile = writeOperatorFile(user, 'data/coordinator', { url: node.url, ca_certificate: authority.ca })
  return { user, node, credentialFile }
}

/** A command that asks for one thing, to see how it connects. */
const ASK = ['nodes', 'pending']

suite('p2p login', () => {
  test('finds the credential of the folder, remembers the login privately and shows the curl line', async (t) => {
    const { user, node } = await cluster(t)
    const { code, output, talk } = await user.run('login')
    assert.equal(code, 0)
    assert.equal(output, '')
    assert.deepEqual(node.requests[0]?.body, { credential: CREDENTIAL, ttl_s: 43_200 })
    const folder = join(user.home, '.config/p2p')
    assert.ok(talk.includes(`curl -K ${join(folder, 'curlrc')} ${node.url}/cluster/nodes`), talk)
    assert.match(talk, /as admin; the token ends in 12 h/)
    assert.equal(
      readFileSync(join(folder, 'curlrc'), 'utf8'),
      `cacert = "${join(folder, 'ca.pem')}"\nheader = "Authorization: Bearer token-1"\n`,
    )
    assert.equal(readFileSync(join(folder, 'ca.pem'), 'utf8'), authority.ca)
    for (const name of ['login.json', 'curlrc', 'ca.pem']) {
      assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
    }
    assert.doesNotMatch(talk + readFileSync(join(folder, 'login.json'), 'utf8'), new RegExp(CREDENTIAL))
  })

  test('--link prints a link into the dashboard and remembers nothing', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['POST /auth/link'] = { body: { secret: 'once-only', expires_in: 600 } }
    const { code, output } = await user.run('login', '--link')
    assert.equal(code, 0)
    assert.equal(output, `${node.url}/dashboard#login=once-only\n`)
    assert.deepEqual(node.requests.at(-1)?.body, { credential: CREDENTIAL })
    assert.throws(() => statSync(join(user.home, '.config/p2p/login.json')))
  })

  test('follows XDG_CONFIG_HOME, and keeps profiles apart', async (t) => {
    const { user, node } = await cluster(t)
    user.environment.XDG_CONFIG_HOME = join(user.folder, 'xdg')
    await user.run('login')
    await user.run('login', '--profile', 'two')
    assert.match(readFileSync(join(user.folder, 'xdg/p2p/curlrc'), 'utf8'), /token-1/)
    assert.match(readFileSync(join(user.folder, 'xdg/p2p/curlrc-two'), 'utf8'), /token-2/)
    await user.run(...ASK, '--profile', 'two')
    await user.run(...ASK)
    assert.deepEqual(
      node.requests.slice(-2).map((request) => request.authorization),
      ['Bearer token-2', 'Bearer token-1'],
    )
    assert.equal((await user.run(...ASK, '--profile', 'three')).code, 77)
    assert.equal((await user.run('login', '--profile', '../x')).code, 2)
  })

  test('says what is missing when there is no credential, or more than one', async (t) => {
    const { user, credentialFile } = await cluster(t)
    writeOperatorFile(user, 'data/local/coordinator-1', { url: 'https://127.0.0.1:1', ca_certificate: '' })
    const several = await user.run('login')
    assert.equal(several.code, 2)
    assert.match(several.talk, /Several coordinators.*coordinator\/operator\.json \| .*coordinator-1\/operator\.json/)
    assert.equal((await user.run('login', '--credential-file', credentialFile)).code, 0)

    rmSync(join(user.folder, 'data'), { recursive: true })
    const none = await user.run('login')
    assert.equal(none.code, 77)
    assert.match(none.talk, /--credential-file <state_directory>\/operator\.json/)
    assert.equal((await user.run('login', '--credential-file', 'none.json')).code, 77)
  })

  test('a damaged credential file is refused without quoting it', async (t) => {
    const { user, credentialFile } = await cluster(t)
    for (const text of [
      `{"credential": "${CREDENTIAL}`,
      '[]',
      'null',
      '{"url":"nonsense","cluster":"","ca_certificate":"","credential":""}',
    ]) {
      writeFileSync(credentialFile, text)
      const { code, talk } = await user.run('login')
      assert.equal(code, 77)
      assert.match(talk, /it is damaged; restart the coordinator/)
      assert.doesNotMatch(talk, /P2PO1/)
    }
  })

  test('a credential the coordinator does not know is a refusal, exit code 77, and nothing is remembered', async (t) => {
    const { user } = await cluster(t)
    writeOperatorFile(user, 'data/coordinator', {
      url: (await cluster(t)).node.url,
      ca_certificate: authority.ca,
      credential: 'wrong',
    })
    const { code, talk } = await user.run('login')
    assert.equal(code, 77)
    assert.match(talk, /refused with P2P_AUTH_CREDENTIAL_INVALID\n\(P2P_AUTH_CREDENTIAL_INVALID\)/)
    assert.throws(() => statSync(join(user.home, '.config/p2p/login.json')))
  })

  test('takes a URL other than the file names', async (t) => {
    const { user, node } = await cluster(t)
    writeOperatorFile(user, 'data/coordinator', { url: 'https://127.0.0.1:1', ca_certificate: authority.ca })
    assert.equal((await user.run('login', `127.0.0.1:${node.port}`)).code, 0)
    assert.equal((await user.run('login', 'http://127.0.0.1:1')).code, 2)
    assert.equal((await user.run('login', 'nonsense with spaces')).code, 2)
    user.nowMs += 24 * 3_600_000
    assert.equal((await user.run(...ASK)).code, 0, 'renewed at the URL that was logged in to')
  })
})

suite('a connection', () => {
  test('without a login uses the credential found here, and remembers nothing', async (t) => {
    const { user, node } = await cluster(t)
    assert.equal((await user.run(...ASK)).code, 0)
    assert.equal(node.requests.at(-1)?.authorization, 'Bearer token-1')
    assert.throws(() => statSync(join(user.home, '.config/p2p')))
  })

  test('goes where --url, else P2P_URL, else the login says', async (t) => {
    const { user, node } = await cluster(t)
    const [second, third] = [await stubNode(t, authority), await stubNode(t, authority)]
    second.answers = node.answers
    third.answers = node.answers
    await user.run('login')
    user.environment.P2P_URL = second.url
    await user.run(...ASK)
    await user.run(...ASK, '--url', third.url)
    assert.deepEqual(
      [node, second, third].map(({ requests }) => requests.map(({ path }) => path)),
      [['/auth/token'], ['/api/nodes/pending'], ['/api/nodes/pending']],
    )
    assert.equal((await user.run(...ASK, '--url', 'ftp://x')).code, 2)
  })

  test('an expired login is renewed by itself, and the files with it', async (t) => {
    const { user, node } = await cluster(t)
    await user.run('login')
    user.nowMs += 12 * 3_600_000
    assert.equal((await user.run(...ASK)).code, 0)
    assert.equal(node.requests.at(-1)?.authorization, 'Bearer token-2')
    assert.match(readFileSync(join(user.home, '.config/p2p/curlrc'), 'utf8'), /token-2/)
  })

  test('a token the node refuses is renewed once, not for ever', async (t) => {
    const { user, node } = await cluster(t)
    await user.run('login')
    node.answers['GET /api/nodes/pending'] = ({ authorization }) =>
      authorization === 'Bearer token-1' ? problem('P2P_AUTH_TOKEN_REVOKED', 401) : { body: { pending: [] } }
    assert.equal((await user.run(...ASK)).code, 0)
    node.answers['GET /api/nodes/pending'] = problem('P2P_AUTH_TOKEN_REVOKED', 401)
    const { code } = await user.run(...ASK)
    assert.equal(code, 77)
    assert.equal(node.requests.filter(({ path }) => path === '/auth/token').length, 3)
  })

  test('an expired login that cannot be renewed says how to log in', async (t) => {
    const { user } = await cluster(t)
    await user.run('login')
    rmSync(join(user.folder, 'data'), { recursive: true })
    user.nowMs += 24 * 3_600_000
    const { code, talk } = await user.run(...ASK)
    assert.equal(code, 77)
    assert.match(talk, /has expired, and .*operator\.json cannot be read.*p2p login --credential-file/)
  })

  test('a cluster that was made anew at the same place is logged in to anew', async (t) => {
    const { user, node } = await cluster(t)
    await user.run('login')
    const fresh = await testAuthority()
    const other = await stubNode(t, fresh)
    other.answers = node.answers
    writeOperatorFile(user, 'data/coordinator', { url: other.url, ca_certificate: fresh.ca })
    assert.equal((await user.run(...ASK)).code, 0)
    assert.equal(other.requests.length, 2)
  })

  test('a damaged login file is named', async (t) => {
    const { user } = await cluster(t)
    await user.run('login')
    writeFileSync(join(user.home, '.config/p2p/login.json'), '{')
    const { code, talk } = await user.run(...ASK)
    assert.equal(code, 77)
    assert.match(talk, /login\.json is damaged; remove it and run "p2p login"/)
  })
})

suite('a node that cannot be trusted or reached', () => {
  test('nothing listening is exit code 75, with the reason in words', async (t) => {
    const { user } = await cluster(t)
    await user.run('login')
    const { code, talk } = await user.run(...ASK, '--url', 'https://127.0.0.1:1')
    assert.equal(code, 75)
    assert.match(talk, /Cannot reach https:\/\/127\.0\.0\.1:1: nothing listens there\. Is the node running\?/)
  })

  test('a certificate of another cluster is refused before the token is sent', async (t) => {
    const { user } = await cluster(t)
    await user.run('login')
    const stranger = await stubNode(t, await testAuthority())
    const { code, talk } = await user.run(...ASK, '--url', stranger.url)
    assert.equal(code, 77)
    assert.match(talk, /shows a certificate of another cluster/)
    assert.deepEqual(stranger.requests, [])
  })

  test('a certificate without the host is refused, naming the hosts it has', async (t) => {
    const { user } = await cluster(t)
    const named = await testAuthority([{ type: 'dns', value: 'coordinator.example' }])
    const node = await stubNode(t, named)
    writeOperatorFile(user, 'data/coordinator', { url: node.url, ca_certificate: named.ca })
    const { code, talk } = await user.run('login')
    assert.equal(code, 77)
    assert.match(talk, /does not name that host; use an address it names: DNS:coordinator\.example/)
    assert.deepEqual(node.requests, [])
  })

  test('an expired certificate points at the clock', async (t) => {
    const { user } = await cluster(t)
    const expired = await testAuthority([{ type: 'ip', value: '127.0.0.1' }], new Date(Date.now() - 60_000))
    const node = await stubNode(t, expired)
    writeOperatorFile(user, 'data/coordinator', { url: node.url, ca_certificate: expired.ca })
    const { talk } = await user.run('login')
    assert.match(talk, /not valid now; compare this machine's clock[\s\S]*P2P_PKI_CLOCK_SKEW/)
  })

  test('an answer that is not JSON is not a node', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['GET /api/nodes/pending'] = { body: '<html>', headers: { 'content-type': 'text/html' } }
    const { code, talk } = await user.run(...ASK)
    assert.equal(code, 75)
    assert.match(talk, /does not answer like a node of P2P Core \(status 200, text\/html\)/)
  })

  test('problem details give words, issues and exit code; an unknown code falls back to the status', async (t) => {
    const { user, node } = await cluster(t)
    const answers: [answer: ReturnType<typeof problem>, code: number, said: RegExp][] = [
      [problem('P2P_RPC_ACCESS_DENIED', 403), 77, /refused with P2P_RPC_ACCESS_DENIED/],
      [problem('P2P_RPC_RATE_LIMITED', 429), 75, /P2P_RPC_RATE_LIMITED/],
      [problem('P2P_NEWER_THAN_US', 429), 75, /\(P2P_RPC_RATE_LIMITED\)/],
      [problem('P2P_NEWER_THAN_US', 500), 1, /\(P2P_RPC_INTERNAL\)/],
      [{ status: 400, body: {} }, 1, /GET \/api\/nodes\/pending was refused with status 400/],
      [
        problem('P2P_HTTP_BODY_INVALID', 400, { issues: [{ path: 'body/uses', message: 'too big' }] }),
        1,
        /\n {2}body\/uses: too big/,
      ],
    ]
    for (const [answer, expected, said] of answers) {
      node.answers['GET /api/nodes/pending'] = answer
      const { code, output, talk } = await user.run(...ASK)
      assert.equal(code, expected)
      assert.equal(output, '')
      assert.match(talk, said)
    }
  })
})

const NODES = {
  nodes: [
    {
      node_id: 'coordinator-1',
      role: 'coordinator',
      status: 'alive',
      address: '::1',
      port: 8001,
      addresses: ['::1'],
      services: { system: { version: '3.0.0', status: 'healthy', description: 'This machine', methods: ['ping'] } },
      last_seen: iso(NOW_MS),
      metadata: { started_at: iso(NOW_MS - 7_200_000), version: '3.0.0' },
    },
    {
      node_id: 'worker-1',
      role: 'worker',
      status: 'dead',
      drain: 'drained',
      address: '10.0.0.2',
      port: 8002,
      addresses: [],
      services: { system: { version: '3.0.0', status: 'failing', description: '', methods: [] } },
      last_seen: iso(NOW_MS - 180_000),
      metadata: { started_at: iso(NOW_MS - 90_000_000), version: '3.0.0' },
    },
  ],
}

suite('p2p nodes', () => {
  test('shows a table to people and the data to programs', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['GET /cluster/nodes'] = { body: NODES }
    const { output, talk } = await user.run('nodes')
    const lines = output.split('\n')
    assert.match(lines[0] as string, /^NODE +ROLE +STATUS +LAST SEEN +ADDRESS +STARTED +VERSION +SERVICES$/)
    assert.match(lines[1] as string, /^coordinator-1 +coordinator +alive +now +\[::1\]:8001 +2 h ago +3\.0\.0 +system$/)
    assert.match(lines[2] as string, /^worker-1 +worker +dead, drained +3 min ago +10\.0\.0\.2:8002 +1 d ago/)
    assert.equal(talk, '')
    assert.deepEqual(JSON.parse((await user.run('nodes', '-o', 'json')).output), NODES.nodes)
    assert.deepEqual(parse((await user.run('nodes', '-o', 'yaml')).output), NODES.nodes)
  })

  test('an empty list is a sentence for people and an empty list for programs', async (t) => {
    const { user } = await cluster(t)
    assert.deepEqual(await user.run('nodes', 'pending'), { code: 0, output: '', talk: 'No node waits for approval\n' })
    assert.equal((await user.run('nodes', 'pending', '-o', 'json')).output, '[]\n')
  })

  const FINGERPRINT = '5f3a0c91d2e4b768'.repeat(4)
  const WAITING = {
    request_id: 'r1',
    node_id: 'worker-3',
    role: 'worker',
    fingerprint: FINGERPRINT,
    remote_address: '10.0.0.3',
    ip_addresses: [],
    dns_names: [],
    requested_at_ms: NOW_MS - 5_000,
  }

  async function approver(
    t: TestContext,
    pending: object[] = [WAITING],
  ): Promise<{ user: FakeUser; node: StubNode; approvals: () => unknown[] }> {
    const { user, node } = await cluster(t)
    node.answers['GET /api/nodes/pending'] = { body: { pending } }
    node.answers['POST /api/nodes/r1/approve'] = { body: WAITING }
    const approvals = (): unknown[] =>
      node.requests.filter(({ path }) => path.endsWith('/approve')).map(({ body }) => body)
    return { user, node, approvals }
  }

  test('pending shows the whole fingerprint', async (t) => {
    const { user } = await approver(t)
    assert.match(
      (await user.run('nodes', 'pending')).output,
      new RegExp(`^worker-3 +worker +10\\.0\\.0\\.3 +5 s ago +${FINGERPRINT}$`, 'm'),
    )
  })

  test('approve sends the fingerprint that was given, in any spelling, or seen', async (t) => {
    const { user, approvals } = await approver(t)
    for (const given of [FINGERPRINT, FINGERPRINT.slice(0, 16), '5F:3A:0C:91:D2:E4:B7:68', '5f3a 0c91 d2e4 b768']) {
      assert.equal((await user.run('nodes', 'approve', 'worker-3', '--fingerprint', given)).code, 0, given)
    }
    user.typed = ['y\n']
    const seen = await user.run('nodes', 'approve', 'worker-3')
    assert.match(
      seen.talk,
      new RegExp(`worker-3 \\(worker\\) asks from 10\\.0\\.0\\.3[\\s\\S]*${FINGERPRINT}[\\s\\S]*Approved`),
    )
    assert.deepEqual(
      approvals(),
      Array.from({ length: 5 }, () => ({ fingerprint: FINGERPRINT })),
    )
  })

  test('approve refuses another key, too few digits, an unknown name, a "no" and a missing person', async (t) => {
    const { user, approvals } = await approver(t)
    const cases: [argv: string[], typed: string[], said: RegExp][] = [
      [['worker-3', '--fingerprint', 'a'.repeat(16)], [], /waits with another key, 5f3a.*nothing was approved/],
      [['worker-3', '--fingerprint', '5f3a'], [], /takes 16 to 64 hexadecimal digits/],
      [['worker-3', '--fingerprint', 'not hex at all!!'], [], /takes 16 to 64/],
      [['worker-9'], [], /No node waits under worker-9/],
      [['worker-3'], ['n\n'], /Not done/],
      [['worker-3'], ['\n'], /Not done/],
      [['worker-3'], [], /no terminal to ask on: give --fingerprint HEX/],
    ]
    for (const [argv, typed, said] of cases) {
      user.typed = typed
      const { code, talk } = await user.run('nodes', 'approve', ...argv)
      assert.equal(code, 2)
      assert.match(talk, said)
    }
    assert.deepEqual(approvals(), [])
  })

  test('two requests under one name need the fingerprint to choose', async (t) => {
    const other = { ...WAITING, request_id: 'r2', fingerprint: 'b'.repeat(64) }
    const { user, approvals } = await approver(t, [WAITING, other])
    assert.match(
      (await user.run('nodes', 'approve', 'worker-3')).talk,
      /Several requests wait under worker-3; choose one by --fingerprint/,
    )
    assert.equal((await user.run('nodes', 'approve', 'worker-3', '--fingerprint', FINGERPRINT)).code, 0)
    assert.equal(approvals().length, 1)
  })

  test('reject and revoke name what they did; revoke asks first', async (t) => {
    const { user, node } = await approver(t)
    node.answers['POST /api/nodes/worker%203/reject'] = { body: WAITING }
    node.answers['DELETE /api/nodes/worker-1/certificates'] = { body: { revoked: [{}, {}] } }
    assert.match((await user.run('nodes', 'reject', 'worker 3')).talk, /Rejected: worker-3, key 5f3a/)
    assert.equal((await user.run('nodes', 'revoke', 'worker-1')).code, 2)
    assert.equal((await user.run('nodes', 'revoke', 'worker-1', '--yes')).talk, 'Revoked 2 certificates of worker-1\n')
  })

  test('ban asks first, takes a whole fingerprint, and is listed and lifted', async (t) => {
    const { user, node } = await approver(t)
    const ban = { node_id: 'worker-1', key_fingerprints: [FINGERPRINT], reason: 'sold', banned_at_ms: NOW_MS - 60_000 }
    node.answers['POST /api/nodes/worker-1/ban'] = { body: ban }
    node.answers['DELETE /api/nodes/worker-1/ban'] = { body: ban }
    node.answers['GET /api/nodes/banned'] = { body: { banned: [ban] } }
    assert.equal((await user.run('nodes', 'ban', 'worker-1')).code, 2)
    const part = await user.run('nodes', 'ban', 'worker-1', '--yes', '--fingerprint', FINGERPRINT.slice(0, 16))
    assert.match(part.talk, /the whole fingerprint/)
    const done = await user.run('nodes', 'ban', 'worker-1', '--yes', '--reason', 'sold', '--fingerprint', FINGERPRINT)
    assert.equal(done.talk, 'Banned: worker-1, with 1 key\n')
    assert.match((await user.run('nodes', 'banned')).output, /^worker-1 +1 min ago +1 +sold$/m)
    assert.match((await user.run('nodes', 'unban', 'worker-1')).talk, /No longer banned: worker-1/)
  })
})

suite('p2p services and p2p call', () => {
  const SYSTEM = {
    status: 'running',
    health: 'healthy',
    info: {
      name: 'system',
      version: '3.0.0',
      description: 'This machine',
      metadata: { builtin: true, started_at: iso(NOW_MS - 60_000), failure: null },
    },
    methods: ['system/kill'],
    method_details: [
      {
        name: 'kill',
        description: 'Ends a process',
        params: {
          type: 'object',
          properties: { pid: { type: 'integer' }, force: { type: 'boolean' } },
          required: ['pid'],
          additionalProperties: false,
        },
        result: null,
        required_role: 'admin',
        timeout_ms: 30_000,
        cache_ttl_ms: 0,
      },
    ],
  }

  async function caller(t: TestContext): Promise<{ user: FakeUser; node: StubNode; calls: () => unknown[] }> {
    const { user, node } = await cluster(t)
    node.answers['GET /services/system'] = { body: SYSTEM }
    node.answers['GET /cluster/nodes'] = { body: NODES }
    node.answers['POST /rpc'] = { body: { jsonrpc: '2.0', id: 1, result: { done: true } } }
    const calls = (): unknown[] => node.requests.filter(({ path }) => path.startsWith('/rpc')).map(({ body }) => body)
    return { user, node, calls }
  }

  test('services lists those of every node that is there; NAME shows the methods', async (t) => {
    const { user } = await caller(t)
    const { output } = await user.run('services')
    assert.match(output, /^system +healthy +1\/1 +3\.0\.0 +- +coordinator-1 +This machine$/m)
    assert.doesNotMatch(output, /worker-1/, 'a dead node runs nothing')
    const one = await user.run('services', 'system')
    assert.match(one.output, /^Status +running, healthy$/m)
    assert.match(one.output, /^system\/kill +admin +- +Ends a process$/m)
  })

  test('a service of another node is looked up there', async (t) => {
    const { user, node } = await caller(t)
    const worker = await stubNode(t, authority)
    worker.answers['GET /services/inventory'] = { body: { ...SYSTEM, info: { ...SYSTEM.info, name: 'inventory' } } }
    node.answers['GET /services/inventory'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    const inventory = { version: '1', status: 'healthy', description: '', methods: [] }
    const owner = {
      ...NODES.nodes[0],
      node_id: 'worker-2',
      address: '127.0.0.1',
      port: worker.port,
      services: { inventory },
    }
    node.answers['GET /cluster/nodes'] = { body: { nodes: [...NODES.nodes, owner] } }
    assert.equal((await user.run('services', 'inventory')).code, 0)
    assert.equal((await user.run('call', 'inventory/kill', '--help', '--node', 'worker-2')).code, 0)
    assert.equal(worker.requests.length, 2)
    assert.equal(worker.requests[0]?.authorization, 'Bearer token-1')
    node.answers['GET /services/inventroy'] = problem('P2P_SERVICE_NOT_FOUND', 404)
    const wrong = await user.run('services', 'inventroy')
    assert.equal(wrong.code, 2)
    assert.match(wrong.talk, /No node has a service "inventroy"; did you mean inventory\?/)
  })

  test('call sends JSON-RPC with typed parameters to the target, and prints the result', async (t) => {
    const { user, node, calls } = await caller(t)
    const { code, output } = await user.run(
      'call',
      'system/kill',
      '--param',
      'pid=5',
      '--param',
      'force=true',
      '--node',
      'worker-1',
      '--timeout',
      '10s',
    )
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(output), { done: true })
    assert.deepEqual(calls(), [{ jsonrpc: '2.0', id: 1, method: 'system/kill', params: { pid: 5, force: true } }])
    const request = node.requests.at(-1)
    assert.equal(request?.path, '/rpc?node=worker-1')
    assert.equal(request?.headers['x-p2p-timeout-ms'], '10000')
  })

  test('without --param nothing is looked up, and --params goes as it is', async (t) => {
    const { user, node, calls } = await caller(t)
    await user.run('call', 'system/kill')
    assert.equal((await user.run('call', 'system/kill', '--params', '[1, "2"]', '-o', 'yaml')).output, 'done: true\n')
    assert.deepEqual(calls(), [
      { jsonrpc: '2.0', id: 1, method: 'system/kill' },
      { jsonrpc: '2.0', id: 1, method: 'system/kill', params: [1, '2'] },
    ])
    assert.ok(!node.requests.some(({ path }) => path.startsWith('/services')))
  })

  test('call SERVICE/METHOD --help shows its parameters', async (t) => {
    const { user, calls } = await caller(t)
    const { code, output } = await user.run('call', 'system/kill', '--help')
    assert.equal(code, 0)
    assert.match(output, /^p2p call system\/kill --param pid=… \[--param force=…\]$/m)
    assert.match(output, /^pid +integer +required/m)
    assert.deepEqual(calls(), [])
  })

  test('mistakes are found before anything is called', async (t) => {
    const { user, calls } = await caller(t)
    const cases: [argv: string[], said: RegExp][] = [
      [['system'], /"system" is not a method; write SERVICE\/METHOD/],
      [['system/kill/now'], /is not a method/],
      [['system/kil', '--param', 'pid=1'], /has no method "kil"; did you mean kill\?/],
      [['system/kill', '--param', 'pdi=1'], /no parameter "pdi"; did you mean pid\?/],
      [['system/kill', '--param', 'pid=one'], /expected integer, not "one"/],
      [['system/kill', '--param', 'force=true'], /needs pid/],
      [['system/kill', '--params', '{'], /--params is not JSON/],
      [['system/kill', '--params', '5'], /must be a JSON object or array/],
      [['system/kill', '--params', '{}', '--param', 'pid=1'], /exclude each other/],
      [['system/kill', '--timeout', 'soon'], /--timeout "soon" is not a duration/],
      [['system/kill', '--timeout', '11m'], /from 1s to 10m/],
    ]
    for (const [argv, said] of cases) {
      const { code, output, talk } = await user.run('call', ...argv)
      assert.equal(code, 2, argv.join(' '))
      assert.equal(output, '')
      assert.match(talk, said)
    }
    assert.deepEqual(calls(), [])
  })

  const stream = (...lines: object[]): StubAnswer => ({
    body: lines.map((line) => `${JSON.stringify({ jsonrpc: '2.0', ...line, id: 1 })}\n`).join(''),
    headers: { 'content-type': 'application/x-ndjson' },
  })

  test('a method that streams is printed item by item, a line of JSON or a document of YAML each', async (t) => {
    const { user, node } = await caller(t)
    node.answers['POST /rpc'] = stream({ item: { n: 1 } }, { item: 'zwei\nLinien' }, { item: null }, { result: null })
    const { code, output } = await user.run('call', 'system/kill')
    assert.deepEqual([code, output], [0, '{"n":1}\n"zwei\\nLinien"\nnull\n'])
    assert.match(String(node.requests.at(-1)?.headers.accept), /^application\/x-ndjson, application\/json/)
    node.answers['POST /rpc'] = stream({ item: { n: 1 } }, { item: { n: 2 } }, { result: null })
    assert.equal((await user.run('call', 'system/kill', '-o', 'yaml')).output, '---\nn: 1\n---\nn: 2\n')
    node.answers['POST /rpc'] = stream({ result: null })
    assert.deepEqual(await user.run('call', 'system/kill'), { code: 0, output: '', talk: '' })
  })

  test('a stream that fails or breaks off keeps what came, says so, and is not begun again', async (t) => {
    const { user, node, calls } = await caller(t)
    const error = { code: -32031, message: 'the disk is gone', data: { code: 'P2P_RPC_AUTHENTICATION_REQUIRED' } }
    node.answers['POST /rpc'] = stream({ item: 1 }, { error })
    const failed = await user.run('call', 'system/kill')
    assert.deepEqual([failed.code, failed.output], [77, '1\n'])
    assert.match(failed.talk, /the disk is gone/)
    assert.equal(calls().length, 1)
    for (const body of ['{"item":1}\n', '{"item":1}\n{"ite']) {
      node.answers['POST /rpc'] = { body, headers: { 'content-type': 'application/x-ndjson' } }
      const broken = await user.run('call', 'system/kill')
      assert.deepEqual([broken.code, broken.output], [75, '1\n'])
      assert.match(broken.talk, /broke off/)
    }
  })

  test('an error of the call ends with its exit code', async (t) => {
    const { user, node } = await caller(t)
    const cases: [error: unknown, code: number, said: RegExp][] = [
      [
        { code: -32602, message: 'Invalid params: pid', data: { code: 'P2P_RPC_INVALID_PARAMS' } },
        2,
        /Invalid params: pid/,
      ],
      [{ code: -32033, message: 'too late', data: { code: 'P2P_RPC_DEADLINE_EXCEEDED' } }, 75, /too late/],
      [{ code: -32030, message: 'no', data: { code: 'P2P_RPC_ACCESS_DENIED' } }, 77, /P2P_RPC_ACCESS_DENIED/],
      [{ code: -1, message: 'own', data: { code: 'NOT_OURS' } }, 1, /own/],
      ['text', 1, /does not say why/],
    ]
    for (const [error, expected, said] of cases) {
      node.answers['POST /rpc'] = { body: { jsonrpc: '2.0', id: 1, error } }
      const { code, output, talk } = await user.run('call', 'system/kill')
      assert.equal(code, expected)
      assert.equal(output, '')
      assert.match(talk, said)
    }
  })

  test('a result of null is printed', async (t) => {
    const { user, node } = await caller(t)
    node.answers['POST /rpc'] = { body: { jsonrpc: '2.0', id: 1, result: null } }
    assert.deepEqual(await user.run('call', 'system/kill'), { code: 0, output: 'null\n', talk: '' })
  })
})

suite('p2p token, ca, status and logout', () => {
  const FACTS = {
    token_id: 'k1',
    role: 'worker',
    uses_left: 50,
    expires_at_ms: NOW_MS + 86_400_000,
    created_at_ms: NOW_MS,
  }

  test('token create puts the token alone on the output, and says the line for the new machine', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['POST /api/tokens'] = { status: 201, body: { token: 'P2P1-f-s', facts: FACTS } }
    const { output, talk } = await user.run('token', 'create', '--uses', '50', '--ttl', '24h')
    assert.equal(output, 'P2P1-f-s\n')
    assert.match(
      talk,
      new RegExp(`Good for 50 nodes; ends in 1 d[\\s\\S]*--coord 127\\.0\\.0\\.1:${node.port} --join P2P1-f-s`),
    )
    await user.run('token', 'create')
    assert.deepEqual(
      node.requests.filter(({ path }) => path === '/api/tokens').map(({ body }) => body),
      [
        { role: 'worker', uses: 50, ttl_s: 86_400 },
        { role: 'worker', uses: 1, ttl_s: 600 },
      ],
    )
    assert.match((await user.run('token', 'create', '--ttl', 'long')).talk, /--ttl "long" is not a duration/)
  })

  test('token list and revoke', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['GET /api/tokens'] = { body: { tokens: [FACTS] } }
    node.answers['DELETE /api/tokens/k1'] = { status: 204 }
    assert.match((await user.run('token', 'list')).output, /^k1 +worker +50 +now +in 1 d$/m)
    assert.deepEqual(await user.run('token', 'revoke', 'k1'), { code: 0, output: '', talk: 'Withdrawn: k1\n' })
    assert.equal((await user.run('token', 'revoke', 'k2')).code, 1)
  })

  test('ca show tells the fingerprint and the state of every certificate', async (t) => {
    const { user, node } = await cluster(t)
    const leaf = {
      serial: 'ab',
      node_id: 'w1',
      role: 'worker',
      not_before_ms: NOW_MS - 86_400_000,
      not_after_ms: NOW_MS + 86_400_000,
    }
    node.answers['GET /api/ca'] = {
      body: {
        cluster: 'c1',
        ca_fingerprint: 'f0'.repeat(32),
        not_after_ms: NOW_MS + 3_650 * 86_400_000,
        leaf_lifetime_ms: 365 * 86_400_000,
        issued: [
          leaf,
          { ...leaf, node_id: 'w2', revoked_at_ms: NOW_MS - 60_000 },
          { ...leaf, node_id: 'w3', not_after_ms: NOW_MS - 1_000 },
        ],
      },
    }
    const { output } = await user.run('ca', 'show')
    assert.match(output, /^Fingerprint +(f0){32}$/m)
    assert.match(output, /^w1 +worker +ends in 1 d +1 d ago +ab$/m)
    assert.match(output, /^w2 +worker +revoked 1 min ago/m)
    assert.match(output, /^w3 +worker +ended 1 s ago/m)
  })

  test('ca rotate says what it exchanges, how far it is and who has not followed', async (t) => {
    const { user, node } = await cluster(t)
    const rotation = {
      kind: 'root',
      phase: 'renewing',
      started_at_ms: NOW_MS - 60_000,
      phase_since_ms: NOW_MS,
      old_fingerprint: 'a0'.repeat(32),
      new_fingerprint: 'b0'.repeat(32),
      nodes_total: 3,
      nodes_followed: 2,
      waiting_for: [{ node_id: 'worker-2', status: 'dead', missing: 'certificate' }],
      left_behind: [],
    }
    node.answers['POST /api/ca/rotation'] = { status: 202, body: rotation }
    node.answers['GET /api/ca/rotation'] = { body: { rotation } }
    node.answers['POST /api/ca/rotation/finish'] = {
      status: 202,
      body: { ...rotation, waiting_for: [], left_behind: ['worker-2'] },
    }
    assert.match((await user.run('ca', 'rotate', '--yes')).talk, /--root .* or --issuing/)
    assert.equal((await user.run('ca', 'rotate', '--root')).code, 2)
    assert.equal((await user.run('ca', 'rotate', '--root', '--yes')).code, 0)
    const { output } = await user.run('ca', 'rotate', 'status')
    assert.match(output, /^Phase +2 of 3: every node gets a certificate under the new CA$/m)
    assert.match(output, /^Followed +2 of 3 nodes$/m)
    assert.match(output, /^worker-2 +dead +has no certificate under the new CA yet$/m)
    const left = await user.run('ca', 'rotate', 'finish', '--force', '--yes')
    assert.match(left.output, /^Left behind +worker-2$/m)
    node.answers['GET /api/ca/rotation'] = { body: { rotation: null } }
    assert.equal((await user.run('ca', 'rotate', 'status')).output, 'No CA was rotated\n')
  })

  test('status tells how the node is', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['GET /api/status'] = {
      body: {
        node_id: 'coordinator-1',
        role: 'coordinator',
        cluster: 'c1',
        version: '3.0.0',
        status: 'degraded',
        started_at: iso(NOW_MS - 120_000),
        addresses: ['10.0.0.1:8001'],
        services: { total: 3, healthy: 2, degraded: 1 },
        members: { alive: 2, suspected: 0, dead: 1, left: 0 },
        certificate: { serial: 'ab', not_after: iso(NOW_MS + 86_400_000 * 364) },
        memory_rss_bytes: 80 * 1024 * 1024,
      },
    }
    const { output } = await user.run('status')
    assert.match(output, /^Members +2 alive, 1 dead$/m)
    assert.match(output, /^Services +2 healthy of 3, 1 degraded$/m)
    assert.match(output, /^Certificate +ends in 364 d$/m)
    assert.match(output, /^Memory +80\.0 MiB$/m)
    assert.doesNotMatch(output, /Storage/)
  })

  test('logout withdraws the token and removes the files; an absent node is said', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['POST /auth/revoke'] = { body: { message: 'Token revoked' } }
    await user.run('login')
    assert.deepEqual(await user.run('logout'), { code: 0, output: '', talk: 'Logged out\n' })
    assert.equal(node.requests.at(-1)?.authorization, 'Bearer token-1')
    for (const name of ['curlrc', 'ca.pem']) assert.throws(() => statSync(join(user.home, '.config/p2p', name)), name)
    assert.equal((await user.run('logout')).talk, 'There was no login to forget\n')

    await user.run('login')
    node.answers['POST /auth/revoke'] = { status: 502, body: 'gateway' }
    assert.match((await user.run('logout')).talk, /could not be withdrawn .* ends in 12 h\nLogged out/)
  })
})
