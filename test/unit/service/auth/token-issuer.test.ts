import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { StorageError } from '../../../../src/base/errors.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { REVOCATIONS_KEPT } from '../../../../src/service/auth/revoked-tokens.ts'
import { createTokenIssuer } from '../../../../src/service/auth/token-issuer.ts'
import { createTokenVerifier } from '../../../../src/service/auth/token-verifier.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { UNRECORDED } from './unrecorded.ts'

const HOUR_MS = 3600_000

async function startIssuer({ store = new MemoryStore(), clock = new ManualClock() } = {}) {
  const needs = { store, clock, random: systemRandom, log: silentLogger }
  const issuer = createTokenIssuer(needs, { cluster: 'blue' })
  await issuer.start(AbortSignal.timeout(5_000))
  return { issuer, store, clock }
}

test('a token names issuer, audience, person, role, life and key, and nothing else', async () => {
  const { issuer, clock } = await startIssuer()
  const credential = await issuer.ensureOperatorCredential(undefined)
  const answer = await issuer.issue(credential, { role: 'viewer', ttlS: 120, ...UNRECORDED })
  assert.deepEqual(
    { ...answer, access_token: '' },
    { access_token: '', token_type: 'bearer', expires_in: 120, role: 'viewer' },
  )
  const { jti, ...claims } = decodeJwt(answer.access_token)
  const issuedAtS = clock.wallMs() / 1000
  assert.deepEqual(claims, {
    iss: 'blue',
    aud: 'p2p-core',
    sub: 'operator',
    role: 'viewer',
    iat: issuedAtS,
    exp: issuedAtS + 120,
  })
  assert.match(jti as string, /^[\w-]{22}$/)
  const { kid } = JSON.parse(issuer.publicKeys()).keys[0]
  assert.deepEqual(decodeProtectedHeader(answer.access_token), { alg: 'EdDSA', typ: 'at+jwt', kid })
})

test('without wishes a token lasts ten minutes and has the role of the credential', async () => {
  const { issuer } = await startIssuer()
  const answer = await issuer.issue(await issuer.ensureOperatorCredential(undefined), UNRECORDED)
  assert.deepEqual([answer.expires_in, answer.role], [600, 'admin'])
})

test('the published keys are public: no private part, one Ed25519 key with its RFC 7638 thumbprint as kid', async () => {
  const { calculateJwkThumbprint } = await import('jose')
  const { issuer, store } = await startIssuer()
  const { keys } = JSON.parse(issuer.publicKeys())
  assert.equal(keys.length, 1)
  assert.deepEqual(Object.keys(keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
  assert.equal(keys[0].kid, await calculateJwkThumbprint(keys[0]))
  assert.match(store.text(), /"d":"/, 'the private part is in the store')
})

test('the signing key is made once and survives a restart', async () => {
  const first = await startIssuer()
  const second = await startIssuer({ store: first.store })
  assert.equal(second.issuer.publicKeys(), first.issuer.publicKeys())
})

test('two coordinators starting on one store end with one signing key', async () => {
  const store = new MemoryStore()
  const [first, second] = await Promise.all([startIssuer({ store }), startIssuer({ store })])
  assert.equal(first.issuer.publicKeys(), second.issuer.publicKeys())
})

test('the operator credential is kept as a hash only, and stays the same while its file is there', async () => {
  const { issuer, store } = await startIssuer()
  const credential = await issuer.ensureOperatorCredential(undefined)
  assert.match(credential, /^P2PO1-[\w-]{43}$/)
  assert.ok(!store.text().includes(credential.slice(6)))
  const again = await startIssuer({ store })
  assert.equal(await again.issuer.ensureOperatorCredential(credential), credential)
})

test('a lost or altered credential file makes a new credential, and the old one stops working', async () => {
  const { issuer } = await startIssuer()
  const lost = await issuer.ensureOperatorCredential(undefined)
  const altered = `${lost.slice(0, -1)}${lost.endsWith('A') ? 'B' : 'A'}`
  const replaced = await issuer.ensureOperatorCredential(altered)
  assert.notEqual(replaced, lost)
  await assert.rejects(issuer.issue(lost, UNRECORDED), { code: 'P2P_AUTH_CREDENTIAL_INVALID' })
  assert.ok(await issuer.issue(replaced, UNRECORDED))
})

test('a wrong credential gets nothing: other, empty, overlong, and before any was made', async () => {
  const { issuer } = await startIssuer()
  const refusal = { code: 'P2P_AUTH_CREDENTIAL_INVALID' }
  await assert.rejects(issuer.issue(`P2PO1-${'A'.repeat(43)}`, UNRECORDED), refusal)
  const credential = await issuer.ensureOperatorCredential(undefined)
  for (const wrong of [`P2PO1-${'A'.repeat(43)}`, '', 'P2PO1-', `${credential}A`, credential.toLowerCase()]) {
    await assert.rejects(issuer.issue(wrong, UNRECORDED), refusal, wrong)
  }
})

test('a revoked token is refused at once, after a restart too, and others are not', async () => {
  const { issuer, store, clock } = await startIssuer()
  const credential = await issuer.ensureOperatorCredential(undefined)
  const { access_token: token } = await issuer.issue(credential, UNRECORDED)
  const { access_token: other } = await issuer.issue(credential, UNRECORDED)
  await issuer.revoke(token)
  const jti = decodeJwt(token).jti as string
  assert.ok(issuer.isRevoked(jti))
  assert.ok(!issuer.isRevoked(decodeJwt(other).jti as string))
  const restarted = await startIssuer({ store, clock })
  assert.ok(restarted.issuer.isRevoked(jti))
  await assert.rejects(restarted.issuer.revoke(token), { code: 'P2P_AUTH_TOKEN_REVOKED' })
})

test('a revocation that could not be stored is an error, and the token is not said to be revoked', async () => {
  const { issuer, store } = await startIssuer()
  const { access_token: token } = await issuer.issue(await issuer.ensureOperatorCredential(undefined), UNRECORDED)
  store.failNext = new StorageError('P2P_STORAGE_FULL', 'The disk is full')
  await assert.rejects(issuer.revoke(token), { code: 'P2P_STORAGE_FULL' })
  assert.ok(!issuer.isRevoked(decodeJwt(token).jti as string))
  await issuer.revoke(token)
})

test('a token that is not ours cannot be revoked, so the list cannot be filled from outside', async () => {
  const { issuer, store } = await startIssuer()
  const before = store.revision
  await assert.rejects(issuer.revoke('a.b.c'), { code: 'P2P_AUTH_TOKEN_INVALID' })
  assert.equal(store.revision, before)
})

test('a session is withdrawn with any of its tokens, and the key set says so to every node', async () => {
  const { issuer, clock } = await startIssuer()
  let changes = 0
  issuer.onKeysChange(() => changes++)
  const sign = () => issuer.sign({ name: 'ada', role: 'viewer', sid: 'session-1' }, 600)
  const [first, second] = [await sign(), await sign()]
  const elsewhere = createTokenVerifier({ clock, tokenKeys: () => [issuer.publicKeys()] }, { cluster: () => 'blue' })
  assert.equal((await elsewhere.verify(second.access_token)).sid, 'session-1')
  await issuer.revoke(first.access_token)
  assert.equal(changes, 1)
  const isRevoked = { code: 'P2P_AUTH_TOKEN_REVOKED' }
  await assert.rejects(issuer.read(second.access_token), isRevoked)
  await assert.rejects(elsewhere.verify(second.access_token), isRevoked)
  const other = await issuer.sign({ name: 'ada', role: 'viewer', sid: 'session-2' }, 600)
  assert.equal((await elsewhere.verify(other.access_token)).sid, 'session-2')
})

test('a revoked token stays refused when the wall clock jumps on by years and is set back', async () => {
  const { issuer, store } = await startIssuer()
  const { access_token: token } = await issuer.issue(await issuer.ensureOperatorCredential(undefined), UNRECORDED)
  await issuer.revoke(token)
  const later = new ManualClock()
  later.advance(3 * 365 * 24 * HOUR_MS)
  const { issuer: inFuture } = await startIssuer({ store, clock: later })
  for (let i = 0; i < 20; i++) await inFuture.withdraw([{ id: `other-${i}`, endsMs: later.wallMs() + HOUR_MS }])
  // What was sound when it was revoked is looked at by the right clock again.
  const { issuer: setBack } = await startIssuer({ store, clock: new ManualClock() })
  await assert.rejects(setBack.read(token), { code: 'P2P_AUTH_TOKEN_REVOKED' })
})

test('beyond a number of revocations those leave the store whose end is a day past, the oldest first', async () => {
  const { issuer, store, clock } = await startIssuer()
  const endsMs = clock.wallMs() + HOUR_MS
  const many = Array.from({ length: REVOCATIONS_KEPT }, (_, i) => ({ id: `id-${i}`, endsMs }))
  await issuer.withdraw(many)
  clock.advance(25 * HOUR_MS)
  await issuer.withdraw([{ id: 'one more', endsMs: clock.wallMs() }])
  assert.ok(issuer.isRevoked('id-0'))
  await issuer.withdraw([{ id: 'and another', endsMs: clock.wallMs() }])
  assert.deepEqual(
    [issuer.isRevoked('id-0'), issuer.isRevoked('id-1'), issuer.isRevoked('one more')],
    [false, true, true],
  )
  assert.equal((await store.range('auth/revoked/')).length, REVOCATIONS_KEPT + 1)
})

test('the key set names the newest revocations, and fits the record of a node', async () => {
  const { issuer, clock } = await startIssuer()
  const endsMs = clock.wallMs() + HOUR_MS
  for (let i = 0; i < 200; i++) await issuer.withdraw([{ id: `${i}`.padStart(22, 'x'), endsMs }])
  const { revoked } = JSON.parse(issuer.publicKeys())
  assert.equal(revoked[0], '199'.padStart(22, 'x'))
  assert.ok(issuer.publicKeys().length < 8_192, `${issuer.publicKeys().length}`)
  clock.advance(26 * HOUR_MS)
  assert.equal(JSON.parse(issuer.publicKeys()).revoked, undefined)
})
