import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import { parse } from 'yaml'
import type { Finding } from '../../../src/cli/doctor/finding.ts'
import { checkEnvironment, checkNodeVersion } from '../../../src/cli/doctor/machine-checks.ts'
import { type FakeUser, fakeUser } from './fake-host.ts'
import { problem, stubNode, type StubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const isWindows = process.platform === 'win32'

function write(user: FakeUser, path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(join(user.folder, path)), { recursive: true })
  writeFileSync(join(user.folder, path), text)
  chmodSync(join(user.folder, path), mode)
}

/** What doctor says of a configuration, by check. */
async function findings(user: FakeUser, yaml?: string): Promise<{ code: number; of: (check: string) => Finding[] }> {
  if (yaml !== undefined) write(user, 'node.yaml', yaml)
  const { code, output } = await user.run(
    'doctor',
    '-o',
    'json',
    ...(yaml === undefined ? [] : ['--config', 'node.yaml']),
  )
  const all = JSON.parse(output) as Finding[]
  for (const finding of all) {
    assert.equal(finding.remedy === undefined, finding.result === 'ok' || finding.result === 'skipped', finding.detail)
  }
  return { code, of: (check) => all.filter((finding) => finding.check === check) }
}

const COORDINATOR = 'coordinator_mode: true\nbind_address: 127.0.0.1\nport: 0\n'

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A node whose clock is `skewMs` from the user's. */
async function node(t: TestContext, user: FakeUser, skewMs = 0): Promise<StubNode> {
  const stub = await stubNode(t, authority)
  const date = new Date(user.nowMs + skewMs).toUTCString()
  stub.answers['GET /health'] = { body: { status: 'healthy' }, headers: { date } }
  return stub
}

suite('p2p doctor', () => {
  test('a healthy machine is exit code 0, with a report for people', async (t) => {
    const user = fakeUser(t)
    const { code, output, talk } = await user.run('doctor')
    assert.equal(code, 0)
    assert.match(output, /^ok +Node\.js +\d+/m)
    assert.match(talk, /p2p doctor --config FILE/)
    assert.ok(Array.isArray(parse((await user.run('doctor', '-o', 'yaml')).output)))
  })

  test('a fresh coordinator has nothing wrong', async (t) => {
    const { code, of } = await findings(fakeUser(t), COORDINATOR)
    assert.equal(code, 0)
    for (const check of ['Configuration', 'State directory', 'Disk space', 'Plot', 'Vault', 'Port']) {
      assert.deepEqual(
        of(check).map((finding) => finding.result),
        ['ok'],
        check,
      )
    }
    assert.equal(of('Challenge port').length, 0, 'only workers answer challenges')
  })

  test('a wrong configuration is a problem with every mistake, and the rest is still looked at', async (t) => {
    const { code, of } = await findings(fakeUser(t), 'prot: 1\n')
    assert.equal(code, 1)
    assert.match(
      of('Configuration')[0]?.detail as string,
      /node\.yaml:1:1: unknown key "prot"[\s\S]*coordinator_addresses is missing/,
    )
    assert.equal(of('Node.js').length, 1)
  })

  test('an old Node.js and a misspelt variable are named', () => {
    assert.equal(checkNodeVersion('24.0.0').result, 'ok')
    assert.equal(checkNodeVersion('22.9.1').result, 'problem')
    assert.equal(checkEnvironment({ P2P_PASWORD: 'x', PATH: '' }, ['P2P_PASSWORD']).result, 'warning')
    assert.doesNotMatch(JSON.stringify(checkEnvironment({ P2P_PASWORD: 'secret' }, [])), /secret/)
  })

  test('plot and vault open to others, or empty, are problems', { skip: isWindows }, async (t) => {
    const user = fakeUser(t)
    write(user, 'dist/services/plot', 'plot', 0o644)
    write(user, 'data/coordinator/vault', 'vault', 0o660)
    const open = await findings(user, COORDINATOR)
    assert.equal(open.code, 1)
    assert.match(open.of('Plot')[0]?.detail as string, /plot is open to others \(mode 0644\)/)
    assert.match(open.of('Vault')[0]?.remedy as string, /^chmod 600 .*vault$/)
    write(user, 'dist/services/plot', '', 0o600)
    write(user, 'data/coordinator/vault', 'vault', 0o600)
    const empty = await findings(user, COORDINATOR)
    assert.equal(empty.of('Plot')[0]?.result, 'problem')
    assert.equal(empty.of('Vault')[0]?.result, 'ok')
  })

  test('a vault without its plot is a warning that names the ways back', async (t) => {
    const user = fakeUser(t)
    write(user, 'data/coordinator/vault', 'vault')
    const [plot] = (await findings(user, COORDINATOR)).of('Plot')
    assert.equal(plot?.result, 'warning')
    assert.match(plot?.remedy as string, /backup.*--manual-password.*P2P_RECOVERY_KEY/)
  })

  test('a state directory that cannot be made is a problem', async (t) => {
    const user = fakeUser(t)
    write(user, 'data', 'a file where the folder should be')
    const [finding] = (await findings(user, COORDINATOR)).of('State directory')
    assert.equal(finding?.result, 'problem')
    assert.match(finding?.detail as string, /data is not a folder$/)
  })

  test('a port in use is a problem, unless a node has it', async (t) => {
    const user = fakeUser(t)
    const stranger = await listen(
      t,
      createServer((socket) => socket.destroy()),
    )
    const taken = await findings(user, COORDINATOR.replace('port: 0', `port: ${stranger}`))
    assert.equal(taken.code, 1)
    assert.match(taken.of('Port')[0]?.detail as string, /another program listens/)
    const { port } = await node(t, user)
    const running = await findings(user, COORDINATOR.replace('port: 0', `port: ${port}`))
    assert.match(running.of('Port')[0]?.detail as string, /a node answers on 127\.0\.0\.1:\d+ already/)
    assert.equal(running.code, 0)
  })

  test('an address of another machine cannot be bound', async (t) => {
    const { of } = await findings(
      fakeUser(t),
      COORDINATOR.replace('127.0.0.1', '192.0.2.1').replace('port: 0', 'port: 8001'),
    )
    assert.match(of('Port')[0]?.detail as string, /192\.0\.2\.1 is not an address of this machine/)
  })

  test('a worker asks its coordinator who it is and what time it is', async (t) => {
    const user = fakeUser(t)
    const worker = (port: number): string =>
      `bind_address: 127.0.0.1\nport: 0\nchallenge_port: 0\ncoordinator_addresses: ["127.0.0.1:${port}"]\n`
    const cases: [port: number, check: string, result: string, said: RegExp][] = [
      [(await node(t, user)).port, 'Clock', 'ok', /agrees/],
      [(await node(t, user, -30_000)).port, 'Clock', 'warning', /^30 s ahead of/],
      [(await node(t, user, 3_600_000)).port, 'Clock', 'problem', /^3600 s behind/],
      [(await stubNode(t, authority)).port, 'Coordinator', 'problem', /not as a node of P2P Core/],
      [
        await listen(
          t,
          createServer((socket) => socket.destroy()),
        ),
        'Coordinator',
        'problem',
        /does not answer/,
      ],
      [1, 'Coordinator', 'problem', /does not answer \(ECONNREFUSED\)/],
    ]
    for (const [port, check, result, said] of cases) {
      const { code, of } = await findings(user, worker(port))
      assert.equal(of(check)[0]?.result, result, String(said))
      assert.match(of(check)[0]?.detail as string, said)
      assert.equal(code, result === 'problem' ? 1 : 0)
    }
  })

  test('Redis is asked whether it is there, and its password never shown', async (t) => {
    const user = fakeUser(t)
    const speaker = (text: string): Promise<number> =>
      listen(
        t,
        createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(text))),
      )
    const cases: [port: number, result: string][] = [
      [await speaker('+PONG\r\n'), 'ok'],
      [await speaker('-NOAUTH Authentication required.\r\n'), 'ok'],
      [await speaker('HTTP/1.1 400 Bad Request\r\n'), 'problem'],
      [await speaker(''), 'problem'],
      [1, 'problem'],
    ]
    for (const [port, result] of cases) {
      const { of } = await findings(user, `${COORDINATOR}redis_url: redis://u:hunter2@127.0.0.1:${port}\n`)
      assert.equal(of('Redis')[0]?.result, result)
      assert.doesNotMatch(JSON.stringify(of('Redis')), /hunter2/)
    }
    assert.equal((await findings(user, COORDINATOR)).of('Redis')[0]?.result, 'skipped')
  })

  test('the login is tried: trust, token and reachability', async (t) => {
    const user = fakeUser(t)
    const stub = await node(t, user)
    stub.answers['POST /auth/token'] = { body: { access_token: 'a', expires_in: 600, role: 'admin' } }
    stub.answers['GET /api/status'] = { body: {} }
    const credential = { url: stub.url, cluster: 'c1', ca_certificate: authority.ca, credential: 'x' }
    write(user, 'operator.json', JSON.stringify(credential))
    await user.run('login')
    const good = await findings(user)
    assert.match(good.of('TLS trust')[0]?.detail as string, /certificate of cluster c1/)
    assert.match(good.of('Login')[0]?.detail as string, /as admin; ends in 10 min/)

    stub.answers['GET /api/status'] = problem('P2P_AUTH_TOKEN_REVOKED', 401)
    assert.equal((await findings(user)).of('Login')[0]?.result, 'warning')

    const loginFile = join(user.home, '.config/p2p/login.json')
    const stranger = await stubNode(t, await testAuthority())
    writeFileSync(
      loginFile,
      readFileSync(loginFile, 'utf8').replace(`"url": "${stub.url}"`, `"url": "${stranger.url}"`),
    )
    const distrusted = await findings(user)
    assert.equal(distrusted.of('TLS trust')[0]?.result, 'problem')
    assert.equal(distrusted.code, 1)

    writeFileSync(loginFile, 'damaged')
    assert.equal((await findings(user)).of('Login')[0]?.result, 'problem')
  })

  test('services are counted by their folders', async (t) => {
    const user = fakeUser(t)
    write(user, 'dist/services/inventory/main.ts', '')
    assert.match((await findings(user, COORDINATOR)).of('Services')[0]?.detail as string, /: inventory$/)
  })
})
