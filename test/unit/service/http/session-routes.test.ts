import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFromOwnPage, sessionTokenOf } from '../../../../src/service/auth/session-cookie.ts'
import { type Answer, jsonBody, type StubNode, startStubNode } from './stub-node.ts'

const MINUTE_MS = 60_000

/** The cookie an answer sets, as the browser sends it back. */
function cookieOf(answer: Answer): string {
  return (answer.headers.get('set-cookie') ?? '').split(';')[0] as string
}

async function opened(node: StubNode): Promise<string> {
  const answer = await node.ask('/auth/session', jsonBody({ credential: node.credential }))
  assert.equal(answer.status, 200, answer.text)
  return cookieOf(answer)
}

test('a credential opens a session: a cookie that only pages of the node can use, and no script can read', async () => {
  await using node = await startStubNode()
  const answer = await node.ask('/auth/session', jsonBody({ credential: node.credential }))
  assert.match(
    answer.headers.get('set-cookie') ?? '',
    /^p2p_session=[\w.-]+; Max-Age=3600; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  )
  assert.deepEqual(answer.json(), { name: 'operator', role: 'admin', expires_at: '2026-01-01T01:00:00.000Z' })
  assert.doesNotMatch(answer.text, /p2p_session|eyJ/)
  const cookie = cookieOf(answer)
  assert.equal((await node.ask('/api/status', { headers: { cookie } })).status, 200)
  assert.equal((await node.ask('/api/status', { headers: { cookie: `a=b; ${cookie}; c=d` } })).status, 200)
  const wrong = await node.ask('/auth/session', jsonBody({ credential: 'P2PO1-wrong' }))
  assert.deepEqual([wrong.status, wrong.headers.get('set-cookie')], [401, null])
})

test('a page of another origin gets nothing with the cookie, a bearer token wins over it', async () => {
  await using node = await startStubNode()
  const cookie = await opened(node)
  const ask = async (headers: Record<string, string>) =>
    (await node.ask('/auth/session', { headers: { cookie, ...headers } })).status
  assert.equal(await ask({ origin: `https://${new URL(node.url).host}` }), 200)
  assert.equal(await ask({ origin: 'https://evil.example' }), 401)
  assert.equal(await ask({ origin: 'https://127.0.0.1:3000' }), 401)
  assert.equal(await ask({ authorization: 'Bearer nonsense' }), 401)
})

test("what the browser says of the asking page decides, also where it sends no 'Origin'", () => {
  const headers = { host: 'node:8001', cookie: 'p2p_session=a.b.c' }
  assert.equal(sessionTokenOf(headers), 'a.b.c')
  assert.equal(sessionTokenOf({ ...headers, 'sec-fetch-site': 'none' }), 'a.b.c')
  for (const site of ['same-site', 'cross-site']) {
    assert.equal(sessionTokenOf({ ...headers, 'sec-fetch-site': site }), undefined, site)
  }
  assert.equal(sessionTokenOf({ ...headers, cookie: 'xp2p_session=a.b.c' }), undefined)
  assert.equal(sessionTokenOf({ ...headers, cookie: 'p2p_session=a b' }), undefined)
  assert.equal(isFromOwnPage({ ':authority': 'node:8001', origin: 'https://node:8001' }), true)
  assert.equal(isFromOwnPage({ ':authority': 'node:8001', origin: 'http://node:8001' }), false)
})

test('a session past half its time is renewed when it is asked for, up to twelve hours after signing in', async () => {
  await using node = await startStubNode()
  let cookie = await opened(node)
  const ask = () => node.ask('/auth/session', { headers: { cookie } })
  node.clock.advance(29 * MINUTE_MS)
  assert.equal((await ask()).headers.get('set-cookie'), null)
  for (let minutes = 29; minutes + 25 < 12 * 60; minutes += 25) {
    node.clock.advance(25 * MINUTE_MS)
    const answer = await ask()
    assert.equal(answer.status, 200, answer.text)
    if (answer.headers.has('set-cookie')) cookie = cookieOf(answer)
  }
  const { expires_at: end } = (await ask()).json()
  assert.equal(end, '2026-01-01T12:00:00.000Z')
  node.clock.advance(60 * MINUTE_MS)
  assert.equal((await ask()).json().code, 'P2P_AUTH_TOKEN_EXPIRED')
})

test('a bearer token is told of, and never turned into a cookie', async () => {
  await using node = await startStubNode()
  const token = await node.tokenFor('viewer')
  node.clock.advance(11 * 60 * MINUTE_MS + 45 * MINUTE_MS)
  const answer = await node.ask('/auth/session', { token })
  assert.deepEqual(answer.json(), { name: 'operator', role: 'viewer', expires_at: '2026-01-01T12:00:00.000Z' })
  assert.equal(answer.headers.get('set-cookie'), null)
})

test('closing a session withdraws its token and has the browser forget it', async () => {
  await using node = await startStubNode()
  const cookie = await opened(node)
  const answer = await node.ask('/auth/session', { method: 'DELETE', headers: { cookie } })
  assert.equal(answer.status, 204)
  assert.match(answer.headers.get('set-cookie') ?? '', /^p2p_session=; Max-Age=0;/)
  const after = await node.ask('/api/status', { headers: { cookie } })
  assert.equal(after.json().code, 'P2P_AUTH_TOKEN_REVOKED')
})

test('a login link works once, within ten minutes, and only the credential makes one', async () => {
  await using node = await startStubNode()
  const makeLink = async (): Promise<string> => {
    const answer = await node.ask('/auth/link', jsonBody({ credential: node.credential }))
    assert.equal(answer.json().expires_in, 600)
    return answer.json().secret
  }
  const use = (link: string) => node.ask('/auth/session', jsonBody({ link }))
  const link = await makeLink()
  assert.match(link, /^[\w-]{43}$/)
  const answer = await use(link)
  assert.deepEqual([answer.status, answer.json().role], [200, 'admin'])
  assert.equal((await node.ask('/api/status', { headers: { cookie: cookieOf(answer) } })).status, 200)
  const again = await use(link)
  assert.deepEqual([again.status, again.json().code], [401, 'P2P_AUTH_CREDENTIAL_INVALID'])
  const late = await makeLink()
  node.clock.advance(10 * MINUTE_MS)
  assert.equal((await use(late)).status, 401)
  assert.equal((await use('guess')).status, 401)
  assert.equal((await node.ask('/auth/link', jsonBody({ credential: 'P2PO1-wrong' }))).status, 401)
  assert.equal((await node.ask('/auth/session', jsonBody({ link, credential: node.credential }))).status, 400)
})

test('of links that nobody uses the oldest give way', async () => {
  await using node = await startStubNode()
  const makeLink = async () => (await node.ask('/auth/link', jsonBody({ credential: node.credential }))).json().secret
  const first = await makeLink()
  const second = await makeLink()
  for (let i = 0; i < 63; i++) await makeLink()
  assert.equal((await node.ask('/auth/session', jsonBody({ link: first }))).status, 401)
  assert.equal((await node.ask('/auth/session', jsonBody({ link: second }))).status, 200)
})
