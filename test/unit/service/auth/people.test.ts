import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt } from 'jose'
import { StorageError } from '../../../../src/base/errors.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { createPeople } from '../../../../src/service/auth/people.ts'
import { createTokenIssuer } from '../../../../src/service/auth/token-issuer.ts'
import { totpCode } from '../../../../src/service/auth/totp.ts'
import { fromBase32 } from './from-base32.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { UNRECORDED } from './unrecorded.ts'

const HOUR_MS = 3600_000
const PASSWORD = 'correct horse battery staple'
const NEXT = 'a second, better password'
const FROM = '192.0.2.7'
const PROGRAM = { from: FROM, kind: 'program', ...UNRECORDED } as const
const isRefused = { code: 'P2P_AUTH_CREDENTIAL_INVALID', message: 'Name, password or code is wrong' }
const isRevoked = { code: 'P2P_AUTH_TOKEN_REVOKED' }
const isLimited = { code: 'P2P_RPC_RATE_LIMITED' }

async function startPeople({ store = new MemoryStore(), clock = new ManualClock() } = {}) {
  const needs = { store, clock, random: systemRandom, log: silentLogger }
  const tokens = createTokenIssuer(needs, { cluster: 'blue' })
  await tokens.start(AbortSignal.timeout(5_000))
  const people = createPeople({ ...needs, tokens }, { cluster: 'blue' })
  await people.start(AbortSignal.timeout(5_000))
  const signIn = (name = 'ada', password = PASSWORD, options: { code?: string; from?: string } = {}) =>
    people.signIn({ name, password, code: options.code }, { ...PROGRAM, from: options.from ?? FROM })
  return { people, tokens, store, clock, signIn }
}

/** With one user, ada, an admin. */
async function startWithAda() {
  const started = await startPeople()
  await started.people.add({ name: 'ada', role: 'admin', password: PASSWORD }, 'person:operator')
  return started
}

test('a user signs in by name and password and gets a token with name, role and session', async () => {
  const { people, tokens, signIn } = await startWithAda()
  const { token, name, refreshToken } = await signIn(' Ada ')
  assert.equal(name, 'ada')
  const { principal, sid } = await tokens.read(token.access_token)
  assert.deepEqual(principal, { kind: 'person', name: 'ada', role: 'admin' })
  assert.match(refreshToken as string, /^P2PR1-/)
  assert.deepEqual(
    people.sessions('ada').map(({ id, kind, from }) => ({ id, kind, from })),
    [{ id: sid, kind: 'program', from: FROM }],
  )
})

test('no password, refresh token, invitation or recovery code is in the store', async () => {
  const { people, store, clock, signIn } = await startWithAda()
  const { invitation } = await people.add({ name: 'bob', role: 'viewer' }, 'ada')
  const { refreshToken } = await signIn()
  const { secret } = await people.beginCodes('ada', PASSWORD, FROM)
  const codes = await people.confirmCodes('ada', totpCode(fromBase32(secret), clock.wallMs()))
  const text = store.text()
  assert.match(text, /\$(argon2id|scrypt)\$/)
  for (const hidden of [PASSWORD, refreshToken as string, invitation?.secret as string, ...codes]) {
    assert.ok(!text.includes(hidden), hidden)
    assert.ok(!text.includes(hidden.slice(-20)), hidden)
  }
})

test('a wrong password and an unknown name get the same answer, after the same work', async () => {
  const { people, signIn } = await startWithAda()
  await people.add({ name: 'invited', role: 'viewer' }, 'ada')
  for (const name of ['ada', 'nobody', 'invited', 'operator', 'a'.repeat(100)]) {
    await assert.rejects(signIn(name, 'wrong'), isRefused, name)
  }
})

test('guessing makes the guesser wait, and nobody else', async () => {
  const { clock, signIn } = await startWithAda()
  for (let i = 0; i < 5; i++) await assert.rejects(signIn('ada', 'wrong'), isRefused)
  await assert.rejects(signIn(), isLimited, 'the right one waits as well')
  await assert.rejects(signIn('ada', 'wrong'), isLimited, 'what is refused so does not lengthen it')
  await signIn('ada', PASSWORD, { from: '198.51.100.1' })
  clock.advance(1_000)
  await assert.rejects(signIn('ada', 'wrong'), isRefused)
  clock.advance(1_999)
  await assert.rejects(signIn(), isLimited)
  clock.advance(1)
  await signIn()
  await assert.rejects(signIn('ada', 'wrong'), isRefused, 'once in, all is forgotten')
})

test('the delay never grows beyond a minute, and an unknown name waits like a known one', async () => {
  const { clock, signIn } = await startWithAda()
  for (const name of ['ada', 'nobody']) {
    for (let i = 0; i < 14; i++) {
      await assert.rejects(signIn(name, 'wrong'), isRefused)
      clock.advance(60_000)
    }
  }
})

test('guesses made at once are counted one by one', async () => {
  const { signIn } = await startWithAda()
  const guesses = await Promise.allSettled(Array.from({ length: 10 }, () => signIn('ada', 'wrong')))
  const codes = guesses.map((guess) => (guess as PromiseRejectedResult).reason.code)
  assert.equal(codes.filter((code) => code === 'P2P_RPC_RATE_LIMITED').length, 5)
})

test('one address cannot go through a list of names', async () => {
  const { signIn } = await startWithAda()
  const names = Array.from({ length: 60 }, (_, i) => `name-${i}`)
  let refusedEarly = 0
  for (const name of names) {
    await assert.rejects(signIn(name, 'wrong'), ({ code }: { code: string }) => {
      if (code === 'P2P_RPC_RATE_LIMITED') refusedEarly++
      return true
    })
  }
  assert.equal(refusedEarly, 30)
  await signIn('ada', PASSWORD, { from: '198.51.100.1' })
})

test('a refresh token is good once; used again it ends the session and everything of it', async () => {
  const { people, tokens, signIn, clock } = await startWithAda()
  const first = await signIn()
  const other = await signIn()
  clock.advance(HOUR_MS)
  const second = await people.refresh(first.refreshToken as string, UNRECORDED)
  assert.notEqual(second.refreshToken, first.refreshToken)
  const [before, after] = [decodeJwt(first.token.access_token), decodeJwt(second.token.access_token)]
  assert.deepEqual([after.sub, after['sid'], after['role']], [before.sub, before['sid'], before['role']])
  assert.equal(after['auth_time'], before['auth_time'])
  const third = await people.refresh(second.refreshToken as string, UNRECORDED)
  await assert.rejects(people.refresh(first.refreshToken as string, UNRECORDED), isRevoked)
  await assert.rejects(people.refresh(third.refreshToken as string, UNRECORDED), { code: 'P2P_AUTH_TOKEN_INVALID' })
  await assert.rejects(tokens.read(third.token.access_token), isRevoked)
  await people.refresh(other.refreshToken as string, UNRECORDED)
})

test('of two that refresh at once one is refused, and the session ends: it cannot be told who stole it', async () => {
  const { people, signIn } = await startWithAda()
  const { refreshToken } = await signIn()
  const both = await Promise.allSettled([
    people.refresh(refreshToken as string, UNRECORDED),
    people.refresh(refreshToken as string, UNRECORDED),
  ])
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  const [won] = both as [PromiseFulfilledResult<{ refreshToken?: string }>, unknown]
  await assert.rejects(people.refresh(won.value.refreshToken as string, UNRECORDED), { code: 'P2P_AUTH_TOKEN_INVALID' })
})

test('a forged refresh token is refused and ends nothing', async () => {
  const { people, signIn } = await startWithAda()
  const { refreshToken = '', token } = await signIn()
  const forged = [
    '',
    'P2PR1-',
    token.access_token,
    `${refreshToken.slice(0, -1)}${refreshToken.endsWith('A') ? 'B' : 'A'}`,
    `P2PR1-${'x'.repeat(22)}.${'y'.repeat(43)}`,
    `${refreshToken} `,
  ]
  for (const text of forged)
    await assert.rejects(people.refresh(text, UNRECORDED), { code: 'P2P_AUTH_TOKEN_INVALID' }, text)
  await people.refresh(refreshToken, UNRECORDED)
})

test('a refresh is stored before it is answered, and a session ends after twelve hours', async () => {
  const { people, store, clock, signIn } = await startWithAda()
  const { refreshToken = '' } = await signIn()
  store.failNext = new StorageError('P2P_STORAGE_FULL', 'no room')
  await assert.rejects(people.refresh(refreshToken, UNRECORDED), { code: 'P2P_STORAGE_FULL' })
  const second = await people.refresh(refreshToken, UNRECORDED)
  const again = await startPeople({ store, clock })
  await assert.rejects(
    again.people.refresh(refreshToken, UNRECORDED),
    isRevoked,
    'the one who was stopped in between knows it too',
  )
  const { refreshToken: last = '' } = await signIn()
  clock.advance(12 * HOUR_MS - 60_000)
  const { token, refreshToken: next = '' } = await people.refresh(last, UNRECORDED)
  assert.equal(token.expires_in, 60)
  clock.advance(60_000)
  await assert.rejects(people.refresh(next, UNRECORDED), { code: 'P2P_AUTH_TOKEN_EXPIRED' })
  assert.ok(second)
})

test('another role, a reset, a removal and a new password end the sessions', async () => {
  const { people, tokens, signIn } = await startWithAda()
  await people.add({ name: 'bob', role: 'admin', password: PASSWORD }, 'ada')
  const isEnded = async (act: () => Promise<unknown>, password = PASSWORD): Promise<void> => {
    const { token, refreshToken = '' } = await signIn('bob', password)
    await act()
    await assert.rejects(tokens.read(token.access_token), isRevoked)
    await assert.rejects(people.refresh(refreshToken, UNRECORDED), { code: 'P2P_AUTH_TOKEN_INVALID' })
  }
  const { token: ofAda } = await signIn('ada')
  await isEnded(() => people.setRole('bob', 'viewer'))
  await isEnded(() => people.changePassword('bob', { current: PASSWORD, next: NEXT }, { from: FROM, sid: undefined }))
  await isEnded(() => people.reset('bob', PASSWORD), NEXT)
  await isEnded(() => people.remove('bob'))
  await tokens.read(ofAda.access_token)
  await assert.rejects(signIn('bob'), isRefused)
  await people.add({ name: 'bob', role: 'viewer' }, 'ada')
  await assert.rejects(signIn('bob'), isRefused, 'who comes back under the name has nothing of the one before')
})

test('who changes the password stays signed in, and must know the one before', async () => {
  const { people, tokens, signIn } = await startWithAda()
  const { token } = await signIn()
  const { sid } = await tokens.read(token.access_token)
  const change = (current: string, next: string) => people.changePassword('ada', { current, next }, { from: FROM, sid })
  await assert.rejects(change('wrong', NEXT), isRefused)
  for (const weak of ['short', 'aaaaaaaaaaaaaaaa', 'x'.repeat(300)]) {
    await assert.rejects(change(PASSWORD, weak), { code: 'P2P_AUTH_PASSWORD_WEAK' }, weak)
  }
  await change(PASSWORD, NEXT)
  await tokens.read(token.access_token)
  await assert.rejects(signIn('ada', PASSWORD), isRefused)
  await signIn('ada', NEXT)
})

test('the last admin with a password can be neither removed nor made less', async () => {
  const { people } = await startWithAda()
  const isLast = { code: 'P2P_AUTH_LAST_ADMIN' }
  await people.add({ name: 'bob', role: 'admin' }, 'ada')
  await assert.rejects(people.remove('ada'), isLast, 'who was only invited is no admin yet')
  await assert.rejects(people.setRole('ada', 'operator'), isLast)
  await people.reset('bob', PASSWORD)
  const both = await Promise.allSettled([people.remove('ada'), people.remove('bob')])
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.deepEqual(
    people.list().map(({ name }) => name),
    ['bob'],
  )
})

test('an invitation sets a password once, within three days', async () => {
  const { people, clock, signIn } = await startWithAda()
  const { invitation, user } = await people.add({ name: 'bob', role: 'operator' }, 'ada')
  assert.equal(user.hasPassword, false)
  const secret = invitation?.secret as string
  assert.deepEqual([people.invited(secret).name, people.invited(secret).role], ['bob', 'operator'])
  await assert.rejects(people.accept(secret, 'short', { from: FROM, ...UNRECORDED }), {
    code: 'P2P_AUTH_PASSWORD_WEAK',
  })
  const both = await Promise.allSettled([
    people.accept(secret, PASSWORD, { from: FROM, ...UNRECORDED }),
    people.accept(secret, NEXT, { from: FROM, ...UNRECORDED }),
  ])
  assert.equal(both.filter(({ status }) => status === 'fulfilled').length, 1)
  const isGone = { code: 'P2P_AUTH_CREDENTIAL_INVALID' }
  await assert.rejects(people.accept(secret, PASSWORD, { from: FROM, ...UNRECORDED }), isGone)
  assert.throws(() => people.invited('guess'), isGone)
  await signIn('bob', both[0]?.status === 'fulfilled' ? PASSWORD : NEXT)
  const { invitation: late } = await people.reset('bob')
  clock.advance(72 * HOUR_MS)
  await assert.rejects(people.accept(late?.secret as string, PASSWORD, { from: FROM, ...UNRECORDED }), isGone)
})

test('names that are taken, reserved or look like others are refused', async () => {
  const { people } = await startWithAda()
  const add = (name: string) => people.add({ name, role: 'viewer' }, 'ada')
  await assert.rejects(add('ada'), { code: 'P2P_AUTH_USER_EXISTS' })
  for (const name of ['operator', 'open', 'anonymous', '', 'Ada', 'a b', '../x', 'аda', 'x'.repeat(64)]) {
    await assert.rejects(add(name), { code: 'P2P_RPC_INVALID_PARAMS' }, name)
  }
  const isUnknown = { code: 'P2P_AUTH_USER_UNKNOWN' }
  await assert.rejects(people.remove('nobody'), isUnknown)
  await assert.rejects(people.setRole('nobody', 'viewer'), isUnknown)
  await assert.rejects(people.reset('nobody'), isUnknown)
})

test('with a second step the password alone opens nothing, and no code works twice', async () => {
  const { people, clock, signIn } = await startWithAda()
  const { secret } = await people.beginCodes('ada', PASSWORD, FROM)
  await signIn()
  const code = (): string => totpCode(fromBase32(secret), clock.wallMs())
  await assert.rejects(people.confirmCodes('ada', '000000'), { code: 'P2P_AUTH_CREDENTIAL_INVALID' })
  const recovery = await people.confirmCodes('ada', code())
  assert.equal(new Set(recovery).size, 10)
  await assert.rejects(signIn(), { code: 'P2P_AUTH_CODE_REQUIRED' })
  await assert.rejects(signIn('ada', 'wrong'), isRefused, 'whether there is a second step is told to nobody else')
  await assert.rejects(signIn('ada', PASSWORD, { code: code() }), isRefused, 'the one it was set up with')
  clock.advance(30_000)
  await signIn('ada', PASSWORD, { code: code() })
  await assert.rejects(signIn('ada', PASSWORD, { code: code() }), isRefused)
  await signIn('ada', PASSWORD, { code: (recovery[0] as string).toUpperCase() })
  await assert.rejects(signIn('ada', PASSWORD, { code: recovery[0] as string }), isRefused)
  await assert.rejects(people.removeCodes('ada', 'wrong', FROM), isRefused)
  await people.removeCodes('ada', PASSWORD, FROM)
  await signIn()
})

test('codes cannot be guessed from many addresses, by who has the password', async () => {
  const { people, clock, signIn } = await startWithAda()
  const { secret } = await people.beginCodes('ada', PASSWORD, FROM)
  await people.confirmCodes('ada', totpCode(fromBase32(secret), clock.wallMs()))
  const guess = (i: number) => signIn('ada', PASSWORD, { code: '000000', from: `203.0.113.${i}` })
  for (let i = 0; i < 5; i++) await assert.rejects(guess(i), isRefused)
  await assert.rejects(guess(6), isLimited)
})

test('a person has fifty sessions at most: the oldest gives way', async () => {
  const { people, clock, signIn } = await startWithAda()
  const first = await signIn()
  for (let i = 0; i < 50; i++) {
    clock.advance(2_000)
    await signIn()
  }
  assert.equal(people.sessions('ada').length, 50)
  await assert.rejects(people.refresh(first.refreshToken as string, UNRECORDED), { code: 'P2P_AUTH_TOKEN_INVALID' })
})

test('users and sessions survive a restart', async () => {
  const { people, store, clock, signIn } = await startWithAda()
  const { refreshToken = '' } = await signIn()
  const again = await startPeople({ store, clock })
  assert.deepEqual(again.people.list(), people.list())
  await again.people.refresh(refreshToken, UNRECORDED)
  await again.signIn()
})
