import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import { fakeUser, NOW_MS } from './fake-host.ts'
import { problem, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const CREDENTIAL = `P2PO1-${'x'.repeat(43)}`
const PASSWORD = 'correct horse battery staple'
const DAY_MS = 86_400_000

const ADA = {
  name: 'ada',
  role: 'admin',
  created_at_ms: NOW_MS - DAY_MS,
  created_by: 'person:operator',
  has_password: true,
  has_code: true,
  passkeys: 1,
  sessions: 2,
}
const BOB = {
  ...ADA,
  name: 'bob',
  has_password: false,
  has_code: false,
  passkeys: 0,
  sessions: 0,
  invitation_ends_ms: NOW_MS + DAY_MS,
}

/** Somebody at the machine of a coordinator; `ada` signs in by password and, where asked for, by code. */
async function cluster(
  t: TestContext,
  options: { hasOperatorFile?: boolean; asksForCode?: boolean; refreshes?: boolean } = {},
) {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  const token = { access_token: 'token-1', token_type: 'bearer', expires_in: 43_200, role: 'operator' }
  node.answers['POST /auth/token'] = ({ body }) => {
    const { credential, name, password, code } = body as Record<string, string>
    if (credential === CREDENTIAL) return { body: { ...token, role: 'admin' } }
    if (name !== 'ada' || password !== PASSWORD) return problem('P2P_AUTH_CREDENTIAL_INVALID', 401)
    if (options.asksForCode && code !== '123456') return problem('P2P_AUTH_CODE_REQUIRED', 401)
    return { body: options.refreshes ? withRefresh(1) : token }
  }
  let traded = 1
  node.answers['POST /auth/refresh'] = () => ({ body: withRefresh(++traded) })
  node.answers['GET /api/status'] = { body: { cluster: 'c1' } }
  node.answers['GET /internal/ca-cert'] = { body: { ca_certificate: authority.ca } }
  node.answers['GET /api/users'] = { body: { users: [ADA, BOB] } }
  if (options.hasOperatorFile ?? true) {
    mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
    const file = { cluster: 'c1', credential: CREDENTIAL, url: node.url, ca_certificate: authority.ca }
    writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(file))
  }
  return { user, node }
}

/** What is answered to the sign-in and to each trade after it. */
function withRefresh(count: number) {
  const refresh = { refresh_token: `refresh-${count}`, refresh_expires_in: 43_200 }
  return { access_token: `token-${count}`, token_type: 'bearer', expires_in: 3_600, role: 'operator', ...refresh }
}

const fingerprintOf = (pem: string): string =>
  createHash('sha256')
    .update(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')

suite('p2p users', () => {
  test('lists who there is and how they sign in', async (t) => {
    const { user } = await cluster(t)
    const { code, output } = await user.run('users', 'list')
    assert.equal(code, 0)
    assert.match(output, /ada +admin +password and code, passkey +2 +1 d ago +person:operator/)
    assert.match(output, /bob +admin +invitation, ends in 1 d +0/)
  })

  test('prints the invitation link alone, so that it can be handed on', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['POST /api/users'] = {
      status: 201,
      body: { user: BOB, invitation: { secret: 's3cret', ends_at_ms: NOW_MS + 3 * DAY_MS } },
    }
    const { code, output, talk } = await user.run('users', 'add', 'bob', '--role', 'admin')
    assert.deepEqual([code, output], [0, `${node.url}/dashboard#invitation=s3cret\n`])
    assert.match(talk, /Added: bob, admin/)
    assert.match(talk, /works once, and ends in 3 d/)
    assert.deepEqual(node.requests.at(-1)?.body, { name: 'bob', role: 'admin' })
  })

  test('takes a password typed twice, or from the environment, and shows it nowhere', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['POST /api/users'] = { status: 201, body: { user: ADA } }
    user.typed = [`${PASSWORD}\r`, `${PASSWORD}\r`]
    const typed = await user.run('users', 'add', 'ada', '--password')
    assert.deepEqual([typed.code, typed.output], [0, ''])
    assert.deepEqual(node.requests.at(-1)?.body, { name: 'ada', role: 'viewer', password: PASSWORD })
    user.typed = [`${PASSWORD}\r`, 'another\r']
    assert.equal((await user.run('users', 'add', 'ada', '--password')).code, 2)
    user.typed = []
    assert.equal((await user.run('users', 'add', 'ada', '--password')).code, 2)
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    const given = await user.run('users', 'add', 'ada', '--password')
    assert.equal(given.code, 0)
    assert.doesNotMatch(typed.talk + given.talk, /correct horse/)
    assert.equal((await user.run('users', 'add', 'ada', '--password', PASSWORD)).code, 2, 'never as an argument')
  })

  test('asks before it takes something away', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['DELETE /api/users/ada'] = { status: 204 }
    node.answers['POST /api/users/ada/reset'] = { body: { user: ADA, invitation: { secret: 's', ends_at_ms: NOW_MS } } }
    assert.equal((await user.run('users', 'remove', 'ada')).code, 2)
    assert.equal((await user.run('users', 'reset', 'ada')).code, 2)
    assert.ok(!node.requests.some(({ path }) => path.startsWith('/api/users/')))
    assert.equal((await user.run('users', 'remove', 'ada', '--yes')).code, 0)
    assert.equal((await user.run('users', 'reset', 'ada', '--yes')).code, 0)
  })

  test('gives a role, and no other word for one', async (t) => {
    const { user, node } = await cluster(t)
    node.answers['PUT /api/users/ada/role'] = { body: { ...ADA, role: 'viewer' } }
    assert.match((await user.run('users', 'set-role', 'ada', 'viewer')).talk, /ada is viewer from now on/)
    assert.equal((await user.run('users', 'add', 'x', '--role', 'root')).code, 2)
    node.answers['PUT /api/users/ada/role'] = problem('P2P_AUTH_LAST_ADMIN', 409)
    assert.equal((await user.run('users', 'set-role', 'ada', 'viewer')).code, 1)
  })
})

suite('p2p login --name', () => {
  test('knows the coordinator by its fingerprint, and sends nothing to another', async (t) => {
    const { user, node } = await cluster(t, { hasOperatorFile: false })
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    const login = (fingerprint: string) => user.run('login', node.url, '--name', 'ada', '--fingerprint', fingerprint)
    assert.equal((await login('0'.repeat(64))).code, 77)
    assert.equal((await login('short')).code, 2)
    assert.ok(!node.requests.some(({ path }) => path === '/auth/token'))
    const { code, talk } = await login(fingerprintOf(authority.ca).toUpperCase())
    assert.equal(code, 0, talk)
    assert.match(talk, /cluster c1 .* as ada, operator/)
    const stored = readFileSync(join(user.home, '.config/p2p/login.json'), 'utf8')
    assert.doesNotMatch(stored + talk, /correct horse/)
    assert.equal((await user.run('login', '--name', 'ada')).code, 0, 'known from then on')
  })

  test('knows it by a file, and says what is missing without either', async (t) => {
    const { user, node } = await cluster(t, { hasOperatorFile: false })
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    const without = await user.run('login', node.url, '--name', 'ada')
    assert.deepEqual([without.code, /--fingerprint HEX/.test(without.talk)], [2, true], without.talk)
    writeFileSync(join(user.folder, 'ca.pem'), authority.ca)
    assert.equal((await user.run('login', node.url, '--name', 'ada', '--ca-file', 'ca.pem')).code, 0)
    writeFileSync(join(user.folder, 'bad.pem'), 'x')
    assert.equal((await user.run('login', node.url, '--name', 'ada', '--ca-file', 'bad.pem')).code, 2)
    assert.equal((await user.run('login', node.url, '--name', 'ada', '--ca-file', 'none.pem')).code, 2)
  })

  test('asks for the code where there is a second step', async (t) => {
    const { user } = await cluster(t, { asksForCode: true })
    user.typed = [`${PASSWORD}\r`, '123456\r']
    const { code, talk } = await user.run('login', '--name', 'ada')
    assert.equal(code, 0, talk)
    assert.match(talk, /Code of the authenticator/)
    user.typed = []
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    assert.equal((await user.run('login', '--name', 'ada')).code, 77)
    user.environment['P2P_USER_PASSWORD'] = 'wrong'
    assert.equal((await user.run('login', '--name', 'ada')).code, 77)
  })

  test('refreshes its access token by itself, once for all programs that run side by side', async (t) => {
    const { user, node } = await cluster(t, { refreshes: true })
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    const login = await user.run('login', '--name', 'ada')
    assert.match(login.talk, /the session ends in 12 h, the token for curl in 1 h/)
    user.nowMs += 2 * 3_600_000
    const asked = () => node.requests.filter(({ path }) => path === '/auth/refresh')
    assert.deepEqual(
      (await Promise.all([1, 2, 3].map(() => user.run('users', 'list')))).map(({ code }) => code),
      [0, 0, 0],
    )
    assert.deepEqual(
      asked().map(({ body }) => body),
      [{ refresh_token: 'refresh-1', ttl_s: 3_600 }],
    )
    const curl = readFileSync(join(user.home, '.config/p2p/curlrc'), 'utf8')
    assert.match(curl, /Bearer token-2/)
    // Withdrawn before its end: the token is refused, and the next one is asked for.
    node.answers['GET /api/users'] = ({ authorization }) =>
      authorization === 'Bearer token-3' ? { body: { users: [] } } : problem('P2P_AUTH_TOKEN_EXPIRED', 401)
    assert.equal((await user.run('users', 'list')).code, 0)
    assert.equal(asked().at(-1)?.authorization, undefined)
    assert.deepEqual(asked().at(-1)?.body, { refresh_token: 'refresh-2', ttl_s: 3_600 })
    node.answers['POST /auth/refresh'] = problem('P2P_AUTH_TOKEN_REVOKED', 401)
    user.nowMs += 2 * 3_600_000
    const ended = await user.run('users', 'list')
    assert.deepEqual([ended.code, /run "p2p login --name ada"/.test(ended.talk)], [77, true], ended.talk)
    node.answers['POST /auth/revoke'] = { body: { message: 'Session ended' } }
    await user.run('logout')
    assert.deepEqual(node.requests.at(-1)?.body, { refresh_token: 'refresh-3' })
  })

  test('a session that has ended names the way back in', async (t) => {
    const { user, node } = await cluster(t)
    user.environment['P2P_USER_PASSWORD'] = PASSWORD
    assert.equal((await user.run('login', '--name', 'ada')).code, 0)
    user.nowMs += DAY_MS
    const { code, talk } = await user.run('users', 'list')
    assert.deepEqual([code, /run "p2p login --name ada"/.test(talk)], [77, true], talk)
    assert.ok(!node.requests.some(({ path }) => path === '/api/users'))
  })
})
