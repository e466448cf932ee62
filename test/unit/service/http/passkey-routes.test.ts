import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'
import { StorageError } from '../../../../src/base/errors.ts'
import { SoftAuthenticator } from '../auth/soft-authenticator.ts'
import { StubAudit } from './stub-audit.ts'
import { type Answer, jsonBody, type StubNode, startStubNode } from './stub-node.ts'

const PASSWORD = 'correct horse battery staple'
const HOST = 'p2p.example:8001'
const ORIGIN = `https://${HOST}`

const refusalOf = (answer: Answer): [number, string] => [answer.status, answer.json().code]
const REFUSED: [number, string] = [401, 'P2P_AUTH_CREDENTIAL_INVALID']

/** Asks as a page does that was opened by a name; `fetch` would name the host itself. */
async function ask(
  node: StubNode,
  path: string,
  body: object | undefined,
  options: { token?: string; host?: string; method?: string; origin?: string } = {},
): Promise<Answer> {
  const { token = '', host = HOST, method = 'POST', origin = `https://${host}` } = options
  const headers = {
    host,
    origin,
    ...(body && { 'content-type': 'application/json' }),
    ...(token && { authorization: `Bearer ${token}` }),
  }
  const asked = request(node.url + path, { method, headers })
  asked.end(body && JSON.stringify(body))
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  const text = Buffer.concat(await answer.toArray()).toString()
  const answered = new Headers(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]))
  return { status: answer.statusCode ?? 0, headers: answered, text, json: () => JSON.parse(text) }
}

async function startWithAda() {
  const audit = new StubAudit()
  const node = await startStubNode({ audit })
  const admin = await node.tokenFor('admin')
  for (const name of ['ada', 'bob'])
    await node.ask('/api/users', { ...jsonBody({ name, role: 'operator', password: PASSWORD }), token: admin })
  const tokenOf = async (name: string): Promise<string> =>
    (await node.ask('/auth/token', jsonBody({ name, password: PASSWORD }))).json().access_token
  const token = await tokenOf('ada')
  const begin = async (): Promise<{ challenge: string }> => {
    const answer = await ask(node, '/auth/passkeys/begin', { password: PASSWORD }, { token })
    assert.equal(answer.status, 200, answer.text)
    return answer.json().options
  }
  const add = (passkey: object, label = 'Laptop') => ask(node, '/auth/passkeys', { label, passkey }, { token })
  const challenge = async (): Promise<{ challenge: string }> =>
    (await ask(node, '/auth/passkeys/sign-in', {})).json().options
  const signIn = (passkey: object, host = HOST) => ask(node, '/auth/session', { passkey }, { host })
  const account = async () => (await node.ask('/auth/account', { token })).json()
  return { ...node, node, audit, admin, token, tokenOf, begin, add, challenge, signIn, account }
}

/** With a passkey of ada's. */
async function startWithPasskey() {
  const started = await startWithAda()
  const key = new SoftAuthenticator(ORIGIN)
  const added = await started.add(key.register(await started.begin()))
  return { ...started, key, id: added.json().id as string }
}

test('a passkey is added, signs in as its person, is listed as used, and lets nobody in once it is removed', async () => {
  await using started = await startWithPasskey()
  const { node, token, key, id, challenge, signIn, account } = started
  const answer = await signIn(key.assert(await challenge()))
  assert.deepEqual(answer.json(), { name: 'ada', role: 'operator', expires_at: '2026-01-01T01:00:00.000Z' })
  assert.match(answer.headers.get('set-cookie') ?? '', /^p2p_session=.+HttpOnly/)
  const [passkey, ...others] = (await account()).passkeys
  assert.deepEqual(
    [passkey.label, passkey.host, typeof passkey.used_at_ms, others.length],
    ['Laptop', 'p2p.example', 'number', 0],
  )
  const removed = await node.ask(`/auth/passkeys/${id}`, { method: 'DELETE', token })
  assert.equal(removed.status, 204)
  assert.deepEqual(refusalOf(await signIn(key.assert(await challenge()))), REFUSED)
  const again = await node.ask(`/auth/passkeys/${id}`, { method: 'DELETE', token })
  assert.deepEqual(refusalOf(again), [404, 'P2P_AUTH_PASSKEY_UNKNOWN'])
})

test('what an authenticator signed is good once, for five minutes, and for what it was asked', async () => {
  await using started = await startWithPasskey()
  const { node, key, begin, challenge, signIn } = started
  const assertion = key.assert(await challenge())
  assert.equal((await signIn(assertion)).status, 200)
  assert.deepEqual(refusalOf(await signIn(assertion)), REFUSED, 'replayed')
  const late = await challenge()
  node.clock.advance(5 * 60_000)
  assert.deepEqual(refusalOf(await signIn(key.assert(late))), REFUSED, 'too late')
  assert.deepEqual(refusalOf(await signIn(key.assert(await begin()))), REFUSED, "a registration's challenge")
  const own = { challenge: Buffer.alloc(40, 7).toString('base64url') }
  assert.deepEqual(refusalOf(await signIn(key.assert(own))), REFUSED, 'a challenge of its own')
})

test('who signs in by passkey is in the record by name before, and does not come in without it', async () => {
  const started = await startWithPasskey()
  await using _node = started.node
  const { audit, key, challenge, signIn, account } = started
  const { sessions } = await account()
  audit.failure = new StorageError('P2P_STORAGE_FULL', 'The audit trail cannot be written')
  assert.deepEqual(refusalOf(await signIn(key.assert(await challenge()))), [507, 'P2P_STORAGE_FULL'])
  audit.failure = undefined
  assert.equal((await account()).sessions.length, sessions.length)
  audit.written.length = 0
  assert.equal((await signIn(key.assert(await challenge()))).status, 200)
  const act = 'POST /auth/session'
  assert.deepEqual(audit.written, [`intent ${act} person:ada`, `succeeded ${act} 200 ada`])
})

test('another page, another name, another user, no finger, and a counter that goes back get no session', async () => {
  await using started = await startWithPasskey()
  const { node, key, challenge, signIn } = started
  assert.equal((await signIn(key.assert(await challenge()))).status, 200)
  const wrong = [
    { origin: 'https://p2p.example.evil:8001' },
    { origin: 'https://p2p.example' },
    { rpId: 'evil.example' },
    { type: 'webauthn.create' },
    { flags: 0x01 },
    { counter: 1 },
    { userHandle: 'AAAA' },
  ]
  for (const what of wrong) {
    // Each failure makes the next attempt wait; here only what is refused counts.
    node.clock.advance(60_000)
    assert.deepEqual(refusalOf(await signIn(key.assert(await challenge(), what))), REFUSED, JSON.stringify(what))
  }
  node.clock.advance(60_000)
  const elsewhere = 'other.example:8001'
  assert.deepEqual(refusalOf(await signIn(key.assert(await challenge()), elsewhere)), REFUSED, 'asked at another name')
  const stranger = new SoftAuthenticator(ORIGIN)
  assert.deepEqual(refusalOf(await signIn(stranger.assert(await challenge()))), REFUSED, 'never registered')
  node.clock.advance(60_000)
  assert.equal((await signIn(key.assert(await challenge()))).status, 200, 'the person still gets in')
})

test('a registration takes the password, its own challenge, a verified person, and no certificates', async () => {
  await using started = await startWithAda()
  const { node, token, tokenOf, begin, add, account } = started
  const wrongPassword = await ask(node, '/auth/passkeys/begin', { password: 'wrong' }, { token })
  assert.deepEqual(refusalOf(wrongPassword), REFUSED)
  const key = new SoftAuthenticator(ORIGIN)
  const chain = new Map<string, unknown>([
    ['alg', -7],
    ['sig', new Uint8Array(70)],
    ['x5c', [new Uint8Array(300)]],
  ])
  for (const wrong of [
    { origin: 'https://evil.example' },
    { rpId: 'evil.example' },
    { flags: 0x41 },
    { format: 'packed', statement: chain },
    { format: 'apple', statement: chain },
    { type: 'webauthn.get' },
  ])
    assert.deepEqual(refusalOf(await add(key.register(await begin(), wrong))), REFUSED, JSON.stringify(wrong))
  const own = { challenge: Buffer.alloc(40, 7).toString('base64url') }
  assert.deepEqual(refusalOf(await add(key.register(own))), REFUSED)
  const bobs = await ask(
    node,
    '/auth/passkeys',
    { label: 'x', passkey: key.register(await begin()) },
    { token: await tokenOf('bob') },
  )
  assert.deepEqual(refusalOf(bobs), REFUSED, "a challenge for ada's account")
  assert.deepEqual((await account()).passkeys, [])
  const registration = key.register(await begin())
  assert.equal((await add(registration)).status, 201)
  assert.deepEqual(refusalOf(await add(registration)), REFUSED, 'replayed')
  assert.deepEqual(refusalOf(await add(key.register(await begin()))), REFUSED, 'the same key twice')
})

test('a passkey stands for password and code, and ends with a reset', async () => {
  await using started = await startWithPasskey()
  const { node, admin, key, challenge, signIn } = started
  const reset = await node.ask('/api/users/ada/reset', { ...jsonBody({ password: `${PASSWORD} 2` }), token: admin })
  assert.deepEqual([reset.status, reset.json().user.passkeys], [200, 0], reset.text)
  assert.deepEqual(refusalOf(await signIn(key.assert(await challenge()))), REFUSED)
})

test('at an address that is no name passkeys are refused in words, and not offered', async () => {
  await using started = await startWithAda()
  const { node, token } = started
  for (const host of ['192.0.2.9:8001', '[fd00::1]:8001']) {
    const begun = await ask(node, '/auth/passkeys/begin', { password: PASSWORD }, { token, host })
    assert.deepEqual(refusalOf(begun), [400, 'P2P_AUTH_PASSKEY_ADDRESS'])
    assert.match(begun.json().detail, /host name/)
    assert.deepEqual(refusalOf(await ask(node, '/auth/passkeys/sign-in', {}, { host })), [
      400,
      'P2P_AUTH_PASSKEY_ADDRESS',
    ])
    assert.equal((await ask(node, '/auth/methods', undefined, { host, method: 'GET' })).json().passkey, false)
  }
  for (const host of ['localhost:8001', HOST])
    assert.equal((await ask(node, '/auth/methods', undefined, { host, method: 'GET' })).json().passkey, true)
})

test('pages of other origins begin no sign-in by passkey', async () => {
  await using started = await startWithAda()
  const { node } = started
  const answer = await ask(node, '/auth/passkeys/sign-in', undefined, { origin: 'https://evil.example' })
  assert.deepEqual(refusalOf(answer), [403, 'P2P_RPC_ACCESS_DENIED'])
})
