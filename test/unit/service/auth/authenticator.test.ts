import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { before, test } from 'node:test'
import { inspect } from 'node:util'
import { exportJWK, importJWK, SignJWT } from 'jose'
import { ANONYMOUS, type NodeIdentity } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { createAuthenticator } from '../../../../src/service/auth/authenticator.ts'
import { createTokenIssuer } from '../../../../src/service/auth/token-issuer.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { UNRECORDED } from './unrecorded.ts'

const clock = new ManualClock()
const store = new MemoryStore()
const issuer = createTokenIssuer({ store, clock, random: systemRandom, log: silentLogger }, { cluster: 'blue' })
let credential = ''
let privateJwk: { kty: 'OKP'; crv: 'Ed25519'; x: string; d: string }
let kid = ''

before(async () => {
  await issuer.start(AbortSignal.timeout(5_000))
  credential = await issuer.ensureOperatorCredential(undefined)
  privateJwk = JSON.parse(Buffer.from((await store.get('auth/signing-key'))?.value ?? []).toString())
  kid = JSON.parse(issuer.publicKeys()).keys[0].kid
})

const needs = { clock, tokenKeys: () => [issuer.publicKeys()] }
const standard = { cluster: () => 'blue', securityProfile: 'standard', bindAddress: '0.0.0.0' } as const
const worker1: NodeIdentity = { cluster: 'blue', role: 'worker', nodeId: 'worker-1' }

function asking(headers: IncomingHttpHeaders, identity?: NodeIdentity) {
  return { headers, connection: { identity } }
}

function bearing(token: string) {
  return asking({ authorization: `Bearer ${token}` })
}

/** A token of the right key with one thing different. */
function forge(change: { header?: object; claims?: object; without?: string }): Promise<string> {
  const nowS = clock.wallMs() / 1000
  const claims: Record<string, unknown> = {
    iss: 'blue',
    aud: 'p2p-core',
    sub: 'operator',
    role: 'admin',
    jti: 'x',
    iat: nowS,
    exp: nowS + 60,
    ...change.claims,
  }
  if (change.without) delete claims[change.without]
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid, ...change.header }
  return importJWK(privateJwk, 'EdDSA').then((key) => new SignJWT(claims).setProtectedHeader(header).sign(key))
}

test('a verified certificate of this cluster is a node in its role', async () => {
  const authenticator = createAuthenticator(needs, standard)
  assert.deepEqual(await authenticator.authenticate(asking({}, worker1)), {
    kind: 'node',
    nodeId: 'worker-1',
    role: 'worker',
  })
})

test('a certificate of another cluster is a stranger', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const foreign = { ...worker1, cluster: 'green' }
  assert.equal(await authenticator.authenticate(asking({}, foreign)), ANONYMOUS)
})

test('a certificate decides also when a token comes with it', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const principal = await authenticator.authenticate(asking({ authorization: 'Bearer a.b.c' }, worker1))
  assert.equal(principal.kind, 'node')
})

test('headers that claim an identity count for nothing', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const claims = {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-client-cert': 'URI=spiffe://blue/node/coordinator/c',
    'x-ssl-client-verify': 'SUCCESS',
    cookie: 'access_token=a.b.c',
  }
  assert.equal(await authenticator.authenticate(asking(claims)), ANONYMOUS)
})

test('a token of each role names the person in that role', async () => {
  const authenticator = createAuthenticator(needs, standard)
  for (const role of ['viewer', 'operator', 'admin'] as const) {
    const { access_token: token } = await issuer.issue(credential, { role, ...UNRECORDED })
    assert.deepEqual(await authenticator.authenticate(bearing(token)), { kind: 'person', name: 'operator', role })
  }
})

test('a worker verifies tokens with the keys of several coordinators, and skips a set it cannot read', async () => {
  const tokenKeys = (): string[] => ['not JSON', '{"keys":"none"}', '{"keys":[null]}', issuer.publicKeys()]
  const authenticator = createAuthenticator({ clock, tokenKeys }, standard)
  const { access_token: token } = await issuer.issue(credential, UNRECORDED)
  assert.equal((await authenticator.authenticate(bearing(token))).kind, 'person')
})

test('a key that is no longer published verifies nothing, remembered tokens included', async () => {
  let keys = [issuer.publicKeys()]
  const authenticator = createAuthenticator({ clock, tokenKeys: () => keys }, standard)
  const { access_token: token } = await issuer.issue(credential, UNRECORDED)
  await authenticator.authenticate(bearing(token))
  keys = []
  await assert.rejects(authenticator.authenticate(bearing(token)), { code: 'P2P_AUTH_TOKEN_INVALID' })
})

test('a token dies at its end, remembered or not', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const { access_token: token } = await issuer.issue(credential, { ttlS: 60, ...UNRECORDED })
  await authenticator.authenticate(bearing(token))
  clock.advance(60_000)
  await assert.rejects(authenticator.authenticate(bearing(token)), { code: 'P2P_AUTH_TOKEN_EXPIRED' })
  const fresh = createAuthenticator(needs, standard)
  await assert.rejects(fresh.authenticate(bearing(token)), { code: 'P2P_AUTH_TOKEN_EXPIRED' })
})

test('a revoked token is refused where the revocation is known, also when it was remembered', async () => {
  const isRevoked = (jti: string): boolean => issuer.isRevoked(jti)
  const authenticator = createAuthenticator({ ...needs, isRevoked }, standard)
  const { access_token: token } = await issuer.issue(credential, UNRECORDED)
  await authenticator.authenticate(bearing(token))
  await issuer.revoke(token)
  await assert.rejects(authenticator.authenticate(bearing(token)), { code: 'P2P_AUTH_TOKEN_REVOKED' })
})

test('forged and foreign tokens are refused', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const { access_token: good } = await issuer.issue(credential, UNRECORDED)
  const [header, payload, signature] = good.split('.') as [string, string, string]
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const none = encode({ alg: 'none', typ: 'at+jwt', kid })
  const confused = `${encode({ alg: 'HS256', typ: 'at+jwt', kid })}.${payload}`
  const hmac = (key: Buffer): string => createHmac('sha256', key).update(confused).digest('base64url')
  const stranger = await exportJWK(generateKeyPairSync('ed25519').privateKey)
  const byStranger = await new SignJWT({ role: 'admin', sub: 'operator', jti: 'x' })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
    .setIssuer('blue')
    .setAudience('p2p-core')
    .setExpirationTime(clock.wallMs() / 1000 + 60)
    .sign(await importJWK(stranger, 'EdDSA'))
  const tokens: Record<string, string> = {
    'alg none without signature': `${none}.${payload}.`,
    'alg none with a signature': `${none}.${payload}.${signature}`,
    'HS256 with the public key as secret': `${confused}.${hmac(Buffer.from(privateJwk.x, 'base64url'))}`,
    'HS256 with the key set as secret': `${confused}.${hmac(Buffer.from(issuer.publicKeys()))}`,
    'HS256 with an empty secret': `${confused}.${hmac(Buffer.alloc(0))}`,
    'changed payload': `${header}.${encode({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), role: 'admin', sub: 'me' })}.${signature}`,
    'no signature': `${header}.${payload}.`,
    'signed by a stranger': byStranger,
    'not a token': 'abc',
    'of another cluster': await forge({ claims: { iss: 'green' } }),
    'for another audience': await forge({ claims: { aud: 'elsewhere' } }),
    'of another type': await forge({ header: { typ: 'JWT' } }),
    'without a type': await forge({ header: { typ: undefined } }),
    'with an unknown key id': await forge({ header: { kid: 'other' } }),
    'without a key id': await forge({ header: { kid: undefined } }),
    'with a role of a machine': await forge({ claims: { role: 'coordinator' } }),
    'with an unknown role': await forge({ claims: { role: 'root' } }),
    'with several roles': await forge({ claims: { role: ['admin'] } }),
    'without a role': await forge({ without: 'role' }),
    'without an end': await forge({ without: 'exp' }),
    'without an id': await forge({ without: 'jti' }),
    'without a person': await forge({ without: 'sub' }),
    'not valid yet': await forge({ claims: { nbf: clock.wallMs() / 1000 + 30 } }),
  }
  for (const [what, token] of Object.entries(tokens)) {
    await assert.rejects(authenticator.authenticate(bearing(token)), { code: 'P2P_AUTH_TOKEN_INVALID' }, what)
  }
  // The forge itself works: with nothing changed its token holds.
  assert.equal((await authenticator.authenticate(bearing(await forge({})))).kind, 'person')
})

test('an Authorization header of another form is refused, not ignored', async () => {
  const authenticator = createAuthenticator(needs, standard)
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Basic YTpi', 'Bearer a b', 'Bearer a,Bearer b']) {
    await assert.rejects(authenticator.authenticate(asking({ authorization })), { code: 'P2P_AUTH_TOKEN_INVALID' })
  }
})

test('no error of a refused token repeats the token', async () => {
  const authenticator = createAuthenticator(needs, standard)
  const { access_token: token } = await issuer.issue(credential, UNRECORDED)
  const broken = `${token.slice(0, -4)}AAAA`
  const [, payload, signature] = broken.split('.') as [string, string, string]
  const error: unknown = await authenticator.authenticate(bearing(broken)).then(
    () => assert.fail('accepted'),
    (reason) => reason,
  )
  const told = inspect(error, { depth: 5 })
  assert.match(told, /P2P_AUTH_TOKEN_INVALID/)
  assert.ok(!told.includes(payload) && !told.includes(signature))
})

test('the open profile is refused on an address that others can reach', () => {
  for (const bindAddress of ['0.0.0.0', '::', '192.168.1.5', 'fe80::1', '127.example.org', '1127.0.0.1']) {
    assert.throws(() => createAuthenticator(needs, { ...standard, securityProfile: 'open', bindAddress }), {
      code: 'P2P_CONFIG_INVALID',
    })
  }
})

test('in the open profile everybody on this machine is admin', async () => {
  for (const bindAddress of ['127.0.0.1', '127.0.1.1', '::1', 'localhost']) {
    const authenticator = createAuthenticator(needs, { ...standard, securityProfile: 'open', bindAddress })
    for (const host of ['127.0.0.1:8001', '[::1]:8001', 'localhost:8001', 'localhost']) {
      const principal = await authenticator.authenticate(asking({ host }))
      assert.deepEqual(principal, { kind: 'person', name: 'open', role: 'admin' })
    }
    const samePage = asking({ host: 'localhost:8001', origin: 'https://localhost:8001' })
    assert.equal((await authenticator.authenticate(samePage)).kind, 'person')
  }
})

test('in the open profile pages of other origins and rebound names stay strangers', async () => {
  const options = { ...standard, securityProfile: 'open', bindAddress: '127.0.0.1' } as const
  const authenticator = createAuthenticator(needs, options)
  const strangers: IncomingHttpHeaders[] = [
    { host: 'localhost:8001', origin: 'https://evil.example' },
    { host: 'localhost:8001', origin: 'null' },
    { host: 'localhost:8001', origin: 'https://localhost:9999' },
    { host: 'localhost:8001', origin: 'http://localhost:8001' },
    { host: 'evil.example:8001' },
    { host: 'evil.example:8001', origin: 'https://evil.example:8001' },
    { host: '127.0.0.1.evil.example' },
    { host: 'evil@127.0.0.1' },
    {},
  ]
  for (const headers of strangers) {
    assert.equal(await authenticator.authenticate(asking(headers)), ANONYMOUS, JSON.stringify(headers))
  }
})
