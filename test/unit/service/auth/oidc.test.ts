import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { silentLogger } from '../../../../src/base/log.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { createFetchJson } from '../../../../src/service/auth/oidc-fetch.ts'
import { createOidc, type OidcOptions } from '../../../../src/service/auth/oidc.ts'
import { startStubNode } from '../http/stub-node.ts'
import { ManualClock } from './manual-clock.ts'
import { CLIENT, type StubProvider, startProvider } from './stub-provider.ts'
import { StorageError } from '../../../../src/base/errors.ts'
import { StubAudit } from '../http/stub-audit.ts'

const REDIRECT = 'https://node.example:8001/auth/oidc/callback'
const isRefused = { code: 'P2P_AUTH_OIDC_REFUSED' }
const isUnavailable = { code: 'P2P_AUTH_OIDC_UNAVAILABLE' }

function oidcAt(provider: StubProvider, clock: ManualClock, options: Partial<OidcOptions> = {}) {
  return createOidc(
    { clock, random: systemRandom, log: silentLogger, fetchJson: createFetchJson({ ca: provider.ca }) },
    {
      issuer: provider.issuer,
      clientId: CLIENT.id,
      clientSecret: () => CLIENT.secret,
      nameClaim: 'preferred_username',
      roleClaim: 'realm_access.roles',
      roles: { devs: 'operator', bosses: 'admin' },
      ...options,
    },
  )
}

async function started(options: Partial<OidcOptions> = {}) {
  const clock = new ManualClock()
  const provider = await startProvider(() => clock.wallMs())
  provider.claims = { preferred_username: 'Ada', realm_access: { roles: ['all', 'devs'] } }
  const oidc = oidcAt(provider, clock, options)
  /** From the start to the end, as a browser does it. */
  const signIn = async () => {
    const { address } = await oidc.begin(REDIRECT)
    return oidc.finish(answerOf(provider.visit(address)))
  }
  return { clock, provider, oidc, signIn, [Symbol.asyncDispose]: () => provider[Symbol.asyncDispose]() }
}

function answerOf(back: URL) {
  const part = (name: string): string => back.searchParams.get(name) as string
  return { state: part('state'), code: part('code'), issuer: part('iss') }
}

test('a person comes back with a name of its own kind and the highest role that is mapped', async () => {
  await using flow = await started()
  assert.deepEqual(await flow.signIn(), { name: 'oidc:ada', role: 'operator' })
  flow.provider.claims = { sub: '4711', realm_access: { roles: ['devs', 'bosses'] } }
  assert.deepEqual(await flow.signIn(), { name: 'oidc:4711', role: 'admin' }, 'without the claim it is the subject')
})

test('state, nonce and challenge are new each time, and the provider is asked for S256', async () => {
  await using flow = await started()
  const addresses = [await flow.oidc.begin(REDIRECT), await flow.oidc.begin(REDIRECT)].map(
    ({ address }) => new URL(address),
  )
  for (const name of ['state', 'nonce', 'code_challenge']) {
    const [first, second] = addresses.map(({ searchParams }) => searchParams.get(name))
    assert.match(first as string, /^[\w-]{43}$/)
    assert.notEqual(first, second)
  }
  const { searchParams } = addresses[0] as URL
  const fixed = ['response_type', 'code_challenge_method', 'client_id', 'redirect_uri', 'scope'].map((name) =>
    searchParams.get(name),
  )
  assert.deepEqual(fixed, ['code', 'S256', CLIENT.id, REDIRECT, 'openid profile email'])
})

test('a state works once, for ten minutes, and for nobody who made it up', async () => {
  await using flow = await started()
  const begin = async () => answerOf(flow.provider.visit((await flow.oidc.begin(REDIRECT)).address))
  const answer = await begin()
  await flow.oidc.finish(answer)
  await assert.rejects(flow.oidc.finish(answer), isRefused)
  await assert.rejects(flow.oidc.finish({ ...(await begin()), state: 'x'.repeat(43) }), isRefused)
  const late = await begin()
  flow.clock.advance(600_000)
  await assert.rejects(flow.oidc.finish(late), isRefused)
})

test('a code of another sign-in, or an answer of another provider, is refused', async () => {
  await using flow = await started()
  const begin = async () => answerOf(flow.provider.visit((await flow.oidc.begin(REDIRECT)).address))
  const [mine, theirs] = [await begin(), await begin()]
  await assert.rejects(flow.oidc.finish({ ...mine, code: theirs.code }), isRefused, 'PKCE and nonce')
  await assert.rejects(flow.oidc.finish({ ...(await begin()), issuer: 'https://evil.example' }), isRefused)
  await assert.rejects(flow.oidc.finish({ ...(await begin()), code: 'guess' }), isRefused)
})

test('a token of no algorithm, of a shared secret, of another key, person, client or time is refused', async () => {
  await using flow = await started()
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const kid = flow.provider.publicJwk.kid as string
  const foreign = await generateKeyPair('ES256')
  const nowS = flow.clock.wallMs() / 1_000
  const forgeries: Record<string, (claims: JWTPayload) => Promise<string> | string> = {
    none: (claims) => `${encoded({ alg: 'none' })}.${encoded(claims)}.`,
    // Key confusion: the public key, which everybody has, as the secret of an HMAC.
    confused: (claims) => {
      const text = `${encoded({ alg: 'HS256', kid })}.${encoded(claims)}`
      return `${text}.${createHmac('sha256', JSON.stringify(flow.provider.publicJwk)).update(text).digest('base64url')}`
    },
    foreign: (claims) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(foreign.privateKey),
    client: (claims) => flow.provider.sign({ ...claims, aud: 'another' }),
    'two clients without azp': (claims) => flow.provider.sign({ ...claims, aud: [CLIENT.id, 'another'] }),
    azp: (claims) => flow.provider.sign({ ...claims, azp: 'another' }),
    issuer: (claims) => flow.provider.sign({ ...claims, iss: 'https://evil.example' }),
    nonce: (claims) => flow.provider.sign({ ...claims, nonce: 'x'.repeat(43) }),
    'no nonce': ({ nonce: _left, ...claims }) => flow.provider.sign(claims),
    expired: (claims) => flow.provider.sign({ ...claims, exp: nowS - 61 }),
    garbage: () => 'a.b.c',
  }
  for (const [name, forge] of Object.entries(forgeries)) {
    flow.provider.forge = forge
    await assert.rejects(flow.signIn(), isRefused, name)
  }
  flow.provider.forge = undefined
  assert.equal((await flow.signIn()).name, 'oidc:ada')
})

test('who has no role that is mapped, or no name, stays outside', async () => {
  await using flow = await started()
  const claims: JWTPayload[] = [
    {},
    { realm_access: { roles: [] } },
    { realm_access: { roles: ['constructor', '__proto__'] } },
    { realm_access: 'devs' },
    { 'realm_access.roles': ['devs'], sub: '../../x', preferred_username: 'operator:x' },
  ]
  for (const wrong of claims) {
    flow.provider.claims = { preferred_username: 'ada', ...wrong }
    await assert.rejects(flow.signIn(), isRefused, JSON.stringify(wrong))
  }
})

test('new keys of the provider are found; a provider that is away or another is named', async () => {
  await using flow = await started()
  await flow.signIn()
  await flow.provider.rotate()
  await assert.rejects(flow.signIn(), isRefused, 'its keys were asked for a moment ago')
  flow.clock.advance(10_000)
  await flow.signIn()
  const asked = flow.provider.asked.filter((path) => path.endsWith('/jwks')).length
  assert.equal(asked, 2)
  for (const metadata of [
    { issuer: 'https://evil.example' },
    { token_endpoint: 'http://127.0.0.1/token' },
    { jwks_uri: 1 },
  ]) {
    flow.provider.metadata = metadata
    await assert.rejects(oidcAt(flow.provider, flow.clock).begin(REDIRECT), isUnavailable)
  }
  flow.provider.metadata = {}
  const untrusting = createOidc(
    { clock: flow.clock, random: systemRandom, log: silentLogger, fetchJson: createFetchJson() },
    {
      issuer: flow.provider.issuer,
      clientId: 'x',
      clientSecret: () => undefined,
      nameClaim: 'n',
      roleClaim: 'r',
      roles: {},
    },
  )
  await assert.rejects(untrusting.begin(REDIRECT), isUnavailable, 'its certificate is nobody’s')
})

test('a browser goes to the provider and comes back with a session; without its cookie it does not', async () => {
  const clock = new ManualClock()
  await using provider = await startProvider(() => clock.wallMs())
  provider.claims = { preferred_username: 'ada', realm_access: { roles: ['devs'] } }
  const audit = new StubAudit()
  await using node = await startStubNode({ oidc: oidcAt(provider, clock), audit })
  assert.deepEqual((await node.ask('/auth/methods')).json(), {
    password: true,
    passkey: false,
    oidc: { issuer: provider.issuer },
  })
  const begin = async () => {
    const answer = await node.ask('/auth/oidc/start', { redirect: 'manual' })
    assert.equal(answer.status, 302)
    const setCookie = answer.headers.get('set-cookie') ?? ''
    assert.match(setCookie, /^p2p_oidc=[\w-]{43}; Max-Age=600; Path=\/auth\/oidc; HttpOnly; Secure; SameSite=Lax$/)
    const back = provider.visit(answer.headers.get('location') as string)
    assert.equal(back.origin, `https://${new URL(node.url).host}`)
    return { cookie: setCookie.split(';')[0] as string, path: back.pathname + back.search }
  }
  const finish = async (path: string, cookie: string) => {
    const answer = await node.ask(path, { redirect: 'manual', headers: { cookie } })
    const session = answer.headers.getSetCookie().find((text) => text.startsWith('p2p_session='))
    return { status: answer.status, location: answer.headers.get('location'), session: session?.split(';')[0] }
  }
  const { cookie, path } = await begin()
  const outside = { status: 302, location: '/dashboard#oidc=refused', session: undefined }
  assert.deepEqual(await finish(path, ''), outside, 'somebody else’s sign-in, planted')
  assert.deepEqual(await finish('/auth/oidc/callback?error=access_denied', cookie), outside)
  audit.failure = new StorageError('P2P_STORAGE_FULL', 'The audit trail cannot be written')
  const unrecorded = await begin()
  assert.deepEqual(await finish(unrecorded.path, unrecorded.cookie), {
    status: 507,
    location: null,
    session: undefined,
  })
  audit.failure = undefined
  audit.written.length = 0
  const inside = await finish(path, cookie)
  assert.deepEqual([inside.status, inside.location], [302, '/dashboard'])
  const own = await node.ask('/auth/session', { headers: { cookie: inside.session as string } })
  assert.deepEqual([own.json().name, own.json().role], ['oidc:ada', 'operator'])
  assert.deepEqual(await finish(path, cookie), outside, 'a second time')
  const act = 'GET /auth/oidc/callback'
  assert.deepEqual(audit.written, [
    `intent ${act} person:oidc:ada`,
    `succeeded ${act} 302 oidc:ada`,
    `failed ${act} anonymous 302 P2P_AUTH_OIDC_REFUSED`,
  ])
  const account = await node.ask('/auth/account', { headers: { cookie: inside.session as string } })
  assert.equal(account.json().is_user, false)
  const token = await node.tokenFor('admin')
  assert.equal((await node.ask('/api/users/oidc:ada', { method: 'DELETE', token })).status, 204)
  assert.equal((await node.ask('/auth/session', { headers: { cookie: inside.session as string } })).status, 401)
})
