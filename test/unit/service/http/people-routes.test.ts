import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { SignJWT } from 'jose'
import { StorageError } from '../../../../src/base/errors.ts'
import { totpCode } from '../../../../src/service/auth/totp.ts'
import { fromBase32 } from '../auth/from-base32.ts'
import { StubAudit } from './stub-audit.ts'
import { type Answer, jsonBody, type StubNode, startStubNode, strangerConnection } from './stub-node.ts'

const PASSWORD = 'correct horse battery staple'
const CREDENTIAL = { name: 'ada', password: PASSWORD }

function cookieOf(answer: Answer): string {
  return (answer.headers.get('set-cookie') ?? '').split(';')[0] as string
}

async function startWithAda(): Promise<StubNode> {
  const node = await startStubNode()
  const token = await node.tokenFor('admin')
  const made = await node.ask('/api/users', { ...jsonBody({ name: 'ada', role: 'admin', password: PASSWORD }), token })
  assert.deepEqual([made.status, made.json().invitation], [201, undefined], made.text)
  return node
}

async function signedIn(node: StubNode, credential: object = CREDENTIAL) {
  const answer = await node.ask('/auth/token', jsonBody(credential))
  assert.equal(answer.status, 200, answer.text)
  return answer.json() as { access_token: string; refresh_token: string; refresh_expires_in: number; role: string }
}

const codeOf = (answer: Answer): [number, string] => [answer.status, answer.json().code]

test('a person is invited, sets a password, signs in and is known by name', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('admin')
  const made = await node.ask('/api/users', { ...jsonBody({ name: 'ada', role: 'operator' }), token })
  const { user, invitation } = made.json()
  assert.deepEqual([made.status, user.has_password, user.created_by], [201, false, 'person:operator'])
  const take = (body: object) => node.ask('/auth/invitation', jsonBody({ secret: invitation.secret, ...body }))
  assert.deepEqual((await take({})).json(), { name: 'ada', role: 'operator' })
  assert.deepEqual(codeOf(await take({ password: 'short' })), [400, 'P2P_AUTH_PASSWORD_WEAK'])
  assert.equal((await take({ password: PASSWORD })).status, 200)
  assert.deepEqual(codeOf(await take({ password: PASSWORD })), [401, 'P2P_AUTH_CREDENTIAL_INVALID'])
  const { access_token, refresh_expires_in, role } = await signedIn(node)
  assert.deepEqual([refresh_expires_in, role], [43_200, 'operator'])
  const { name, is_user, sessions } = (await node.ask('/auth/account', { token: access_token })).json()
  assert.deepEqual([name, is_user, sessions.length, sessions[0].is_current], ['ada', true, 1, true])
  assert.equal((await node.ask('/api/users', { token: access_token })).status, 403)
})

test('a browser signs in by name and password; its session is known by name and ends with its user', async () => {
  await using node = await startWithAda()
  const answer = await node.ask('/auth/session', jsonBody(CREDENTIAL))
  assert.deepEqual(answer.json(), { name: 'ada', role: 'admin', expires_at: '2026-01-01T01:00:00.000Z' })
  const cookie = cookieOf(answer)
  const ask = () => node.ask('/auth/session', { headers: { cookie } })
  node.clock.advance(40 * 60_000)
  const renewed = await ask()
  assert.equal(renewed.json().name, 'ada')
  const token = await node.tokenFor('admin')
  await node.ask('/api/users', { ...jsonBody({ name: 'bob', role: 'admin', password: PASSWORD }), token })
  assert.equal((await node.ask('/api/users/ada', { method: 'DELETE', token })).status, 204)
  assert.equal((await ask()).json().code, 'P2P_AUTH_TOKEN_REVOKED')
  const after = await node.ask('/auth/session', { headers: { cookie: cookieOf(renewed) } })
  assert.equal(after.json().code, 'P2P_AUTH_TOKEN_REVOKED', 'what was renewed is of the same session')
})

test('wrong password, unknown name and foreign pages get no session', async () => {
  await using node = await startWithAda()
  const wrong = await node.ask('/auth/session', jsonBody({ ...CREDENTIAL, password: 'wrong' }))
  const unknown = await node.ask('/auth/session', jsonBody({ ...CREDENTIAL, name: 'nobody' }))
  const told = ({ status, headers, json }: Answer) => {
    const { trace_id: _differs, ...problem } = json()
    return [status, headers.get('set-cookie'), problem]
  }
  assert.deepEqual(told(wrong), told(unknown))
  assert.deepEqual(told(wrong).slice(0, 2), [401, null])
  for (const headers of [
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    const init = jsonBody(CREDENTIAL)
    const answer = await node.ask('/auth/session', { ...init, headers: { ...(init.headers as object), ...headers } })
    assert.deepEqual([...codeOf(answer), answer.headers.get('set-cookie')], [403, 'P2P_RPC_ACCESS_DENIED', null])
  }
  const form = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify(CREDENTIAL) }
  assert.equal((await node.ask('/auth/session', form)).status, 415)
})

test('a token is asked for by a credential or by name and password, never by both or half of it', async () => {
  await using node = await startWithAda()
  const { credential } = node
  for (const body of [
    {},
    { name: 'ada' },
    { password: PASSWORD },
    { ...CREDENTIAL, credential },
    { credential, name: 'ada' },
  ]) {
    const answer = await node.ask('/auth/token', jsonBody(body))
    assert.deepEqual(codeOf(answer), [400, 'P2P_HTTP_BODY_INVALID'], JSON.stringify(body))
  }
})

test('guessing is delayed with Retry-After, for that address only', async () => {
  await using node = await startWithAda()
  const guess = () => node.ask('/auth/token', jsonBody({ ...CREDENTIAL, password: 'wrong' }))
  for (let i = 0; i < 5; i++) assert.equal((await guess()).status, 401)
  const limited = await guess()
  assert.deepEqual([limited.status, limited.headers.get('retry-after')], [429, '1'])
  node.transport.connection = strangerConnection('198.51.100.9')
  await signedIn(node)
})

test('tokens of no algorithm, of another, or of another key are refused', async () => {
  await using node = await startWithAda()
  const { access_token: good } = await signedIn(node)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const decoded = (part: string): Record<string, string> => JSON.parse(Buffer.from(part, 'base64url').toString())
  const { kid } = decoded(header) as { kid: string }
  // Key confusion: the public key, which everybody has, as the secret of an HMAC.
  const confused = `${encoded({ ...decoded(header), alg: 'HS256' })}.${payload}`
  const mac = createHmac('sha256', kid).update(confused).digest('base64url')
  const { publicKey, privateKey } = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as {
    publicKey: CryptoKey
    privateKey: CryptoKey
  }
  const foreign = await new SignJWT(decoded(payload))
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
    .sign(privateKey)
  const jwk = await crypto.subtle.exportKey('jwk', publicKey)
  const own = await new SignJWT(decoded(payload))
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', jwk: jwk as never })
    .sign(privateKey)
  const forged = [
    `${encoded({ ...decoded(header), alg: 'none' })}.${payload}.`,
    `${encoded({ ...decoded(header), alg: 'none' })}.${payload}.${signature}`,
    `${confused}.${mac}`,
    `${header}.${encoded({ ...decoded(payload), role: 'admin', sub: 'root' })}.${signature}`,
    foreign,
    own,
  ]
  for (const token of forged)
    assert.deepEqual(codeOf(await node.ask('/auth/account', { token })), [401, 'P2P_AUTH_TOKEN_INVALID'], token)
  assert.equal((await node.ask('/auth/account', { token: good })).status, 200)
})

test('a refresh token is traded once, and neither it nor an access token passes for the other', async () => {
  await using node = await startWithAda()
  const first = await signedIn(node)
  const refresh = (refresh_token: string) => node.ask('/auth/refresh', jsonBody({ refresh_token }))
  assert.deepEqual(codeOf(await refresh(first.access_token)), [401, 'P2P_AUTH_TOKEN_INVALID'])
  assert.equal((await node.ask('/auth/account', { token: first.refresh_token })).status, 401)
  const second = (await refresh(first.refresh_token)).json()
  assert.equal((await node.ask('/auth/account', { token: second.access_token })).status, 200)
  assert.deepEqual(codeOf(await refresh(first.refresh_token)), [401, 'P2P_AUTH_TOKEN_REVOKED'])
  assert.deepEqual(codeOf(await node.ask('/auth/account', { token: second.access_token })), [
    401,
    'P2P_AUTH_TOKEN_REVOKED',
  ])
  assert.equal((await refresh(second.refresh_token)).status, 401)
})

test('either token withdraws the session with both', async () => {
  await using node = await startWithAda()
  const refresh = ({ refresh_token }: { refresh_token: string }) =>
    node.ask('/auth/refresh', jsonBody({ refresh_token }))
  const byAccess = await signedIn(node)
  assert.equal((await node.ask('/auth/revoke', { method: 'POST', token: byAccess.access_token })).status, 200)
  assert.deepEqual(codeOf(await refresh(byAccess)), [401, 'P2P_AUTH_TOKEN_REVOKED'])
  const byRefresh = await signedIn(node)
  const { refresh_token } = byRefresh
  assert.equal((await node.ask('/auth/revoke', jsonBody({ refresh_token }))).status, 200)
  assert.equal((await refresh(byRefresh)).status, 401)
  assert.equal((await node.ask('/auth/account', { token: byRefresh.access_token })).status, 401)
  assert.equal((await node.ask('/auth/revoke', { method: 'POST' })).status, 401)
})

test('the second step: set up with the password, asked for, no code twice, removed with the password', async () => {
  await using node = await startWithAda()
  const { access_token: token } = await signedIn(node)
  assert.equal((await node.ask('/auth/totp', { ...jsonBody({ password: 'wrong' }), token })).status, 401)
  const { secret, address } = (await node.ask('/auth/totp', { ...jsonBody({ password: PASSWORD }), token })).json()
  assert.match(address, new RegExp(`^otpauth://totp/P2P%20Core%20blue:ada\\?secret=${secret}&`))
  const key = fromBase32(secret)
  const code = (): string => totpCode(key, node.clock.wallMs())
  const confirmed = await node.ask('/auth/totp', { ...jsonBody({ code: code() }, 'PUT'), token })
  assert.equal(confirmed.json().recovery_codes.length, 10)
  assert.deepEqual(codeOf(await node.ask('/auth/token', jsonBody(CREDENTIAL))), [401, 'P2P_AUTH_CODE_REQUIRED'])
  node.clock.advance(30_000)
  const used = code()
  await signedIn(node, { ...CREDENTIAL, code: used })
  assert.equal((await node.ask('/auth/session', jsonBody({ ...CREDENTIAL, code: used }))).status, 401)
  assert.equal((await node.ask('/auth/totp/remove', { ...jsonBody({ password: PASSWORD }), token })).status, 204)
  await signedIn(node)
})

test('a person changes the own password and ends own sessions, and those of nobody else', async () => {
  await using node = await startWithAda()
  const admin = await node.tokenFor('admin')
  await node.ask('/api/users', { ...jsonBody({ name: 'bob', role: 'viewer', password: PASSWORD }), token: admin })
  const [mine, other, ofBob] = [
    await signedIn(node),
    await signedIn(node),
    await signedIn(node, { ...CREDENTIAL, name: 'bob' }),
  ]
  const { sessions } = (await node.ask('/auth/account', { token: ofBob.access_token })).json()
  const end = (id: string, token: string) => node.ask(`/auth/sessions/${id}`, { method: 'DELETE', token })
  assert.deepEqual(codeOf(await end(sessions[0].id, mine.access_token)), [404, 'P2P_AUTH_SESSION_UNKNOWN'])
  assert.equal((await end(sessions[0].id, ofBob.access_token)).status, 204)
  assert.equal((await node.ask('/auth/account', { token: ofBob.access_token })).status, 401)
  const change = { current: PASSWORD, next: 'a second, better password' }
  assert.equal((await node.ask('/auth/password', { ...jsonBody(change, 'PUT'), token: mine.access_token })).status, 204)
  assert.equal((await node.ask('/auth/account', { token: mine.access_token })).status, 200)
  assert.equal((await node.ask('/auth/account', { token: other.access_token })).status, 401)
})

test('the last admin stays, and nobody takes the name of the operator', async () => {
  await using node = await startWithAda()
  const token = await node.tokenFor('admin')
  assert.deepEqual(codeOf(await node.ask('/api/users/ada', { method: 'DELETE', token })), [409, 'P2P_AUTH_LAST_ADMIN'])
  const less = await node.ask('/api/users/ada/role', { ...jsonBody({ role: 'viewer' }, 'PUT'), token })
  assert.deepEqual(codeOf(less), [409, 'P2P_AUTH_LAST_ADMIN'])
  const add = (name: string) => node.ask('/api/users', { ...jsonBody({ name, role: 'admin' }), token })
  assert.deepEqual(codeOf(await add('operator')), [400, 'P2P_RPC_INVALID_PARAMS'])
  assert.deepEqual(codeOf(await add('ada')), [409, 'P2P_AUTH_USER_EXISTS'])
  const { users } = (await node.ask('/api/users', { token })).json()
  assert.deepEqual(
    users.map(({ name, role }: { name: string; role: string }) => [name, role]),
    [['ada', 'admin']],
  )
  assert.doesNotMatch(JSON.stringify(users), /argon2|scrypt|hash/)
})

test('a stream ends within seconds of its session', async () => {
  await using node = await startWithAda()
  const { access_token: token } = await signedIn(node)
  const stream = await fetch(`${node.url}/cluster/events`, { headers: { authorization: `Bearer ${token}` } })
  const reader = (stream.body as ReadableStream<Uint8Array>).getReader()
  assert.equal((await reader.read()).done, false)
  await node.ask('/auth/revoke', { method: 'POST', token })
  node.clock.advance(4_000)
  const rest = async (): Promise<void> => {
    while (!(await reader.read()).done);
  }
  await rest().catch(() => {})
})

test('who signed in, who was added and who was refused is recorded', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit })
  const token = await node.tokenFor('admin')
  await node.ask('/api/users', { ...jsonBody({ name: 'ada', role: 'viewer', password: PASSWORD }), token })
  await node.ask('/auth/token', jsonBody({ ...CREDENTIAL, password: 'wrong' }))
  const { access_token } = await signedIn(node)
  await node.ask('/api/users/ada', { method: 'DELETE', token: access_token })
  await node.ask('/auth/token', jsonBody({ name: PASSWORD, password: 'in the wrong field' }))
  assert.ok(!JSON.stringify(audit).includes(PASSWORD))
  assert.deepEqual(
    audit.written.filter((line) => !line.startsWith('intent ')),
    [
      'succeeded POST /api/users 201 ada, viewer',
      'failed POST /auth/token anonymous 401 ada',
      'succeeded POST /auth/token 200 ada',
      'refused DELETE /api/users/{name} person:ada P2P_RPC_ACCESS_DENIED',
      'failed POST /auth/token anonymous 401 unknown name',
    ],
  )
})

/** Every way to get a session, a token or a link, or to end one, that needs no credential of a request. */
async function waysIn(node: StubNode): Promise<Record<string, () => Promise<Answer>>> {
  const { credential } = node
  const { refresh_token, access_token } = await signedIn(node)
  const admin = await node.tokenFor('admin')
  const invited = await node.ask('/api/users', { ...jsonBody({ name: 'bob', role: 'viewer' }), token: admin })
  const { secret } = invited.json().invitation
  const link = (await node.ask('/auth/link', jsonBody({ credential }))).json().secret
  const post = (path: string, body: object) => () => node.ask(path, jsonBody(body))
  return {
    'POST /auth/token ada': post('/auth/token', CREDENTIAL),
    'POST /auth/token operator': post('/auth/token', { credential }),
    'POST /auth/session ada': post('/auth/session', CREDENTIAL),
    'POST /auth/session operator': post('/auth/session', { credential }),
    'POST /auth/session operator, by link': post('/auth/session', { link }),
    'POST /auth/link operator': post('/auth/link', { credential }),
    'POST /auth/invitation bob': post('/auth/invitation', { secret, password: PASSWORD }),
    'POST /auth/refresh ada': post('/auth/refresh', { refresh_token }),
    'POST /auth/revoke ada': () => node.ask('/auth/revoke', { method: 'POST', token: access_token }),
  }
}

test('who comes in is in the record by name before, and nobody comes in without it', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit })
  const admin = await node.tokenFor('admin')
  await node.ask('/api/users', { ...jsonBody({ ...CREDENTIAL, role: 'admin' }), token: admin })
  const sessions = async (): Promise<number> =>
    (await node.ask('/api/users', { token: admin })).json().users.find(({ name }: { name: string }) => name === 'ada')
      .sessions
  for (const [way, comeIn] of Object.entries(await waysIn(node))) {
    const [, act, name] = /^(\S+ \S+) (\w+)/.exec(way) as unknown as [string, string, string]
    // The link is used up by the attempt.
    if (!way.includes('link')) {
      const before = await sessions()
      audit.failure = new StorageError('P2P_STORAGE_FULL', 'The audit trail cannot be written')
      const refused = await comeIn()
      assert.deepEqual(codeOf(refused), [507, 'P2P_STORAGE_FULL'], way)
      assert.deepEqual([refused.headers.get('set-cookie'), await sessions()], [null, before], way)
      audit.failure = undefined
    }
    audit.written.length = 0
    audit.acts.length = 0
    const answer = await comeIn()
    assert.equal(answer.status, 200, `${way}: ${answer.text}`)
    const [intent, outcome] = audit.written
    assert.deepEqual([intent, audit.written.length], [`intent ${act} person:${name}`, 2], way)
    assert.match(outcome ?? '', new RegExp(`^succeeded ${act} 200`), way)
    assert.match(audit.acts[0]?.role ?? '', /^(admin|viewer)$/, way)
  }
})

test('to look whose invitation it is does nothing, and is not recorded as if it did', async () => {
  const audit = new StubAudit()
  await using node = await startStubNode({ audit })
  const token = await node.tokenFor('admin')
  const made = await node.ask('/api/users', { ...jsonBody({ name: 'bob', role: 'viewer' }), token })
  audit.written.length = 0
  const { secret } = made.json().invitation
  assert.equal((await node.ask('/auth/invitation', jsonBody({ secret }))).status, 200)
  assert.deepEqual(audit.written, [])
  await node.ask('/auth/invitation', jsonBody({ secret: `${secret}x` }))
  assert.deepEqual(audit.written, ['failed POST /auth/invitation anonymous 401'])
})
