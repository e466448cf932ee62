import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type AcmeIdentifier, checkedIdentifiers, isCovered } from '../../../../src/pki/acme/identifier.ts'
import {
  type AcmeOrder,
  authorizationStatus,
  beginChallenge,
  beginFinalize,
  CHALLENGE_TYPES,
  deactivateAuthorization,
  endChallenge,
  endFinalize,
  interruptChallenges,
  newOrder,
  ORDER_LIFETIME_MS,
  orderStatus,
} from '../../../../src/pki/acme/order.ts'
import { AcmeProblem } from '../../../../src/pki/acme/problem.ts'
import { canonicalAddress, isHostName } from '../../../../src/pki/address.ts'

const rules = { isHostName, canonicalAddress }
const NOW_MS = 1_000_000

function order(...values: string[]): AcmeOrder {
  const identifiers = checkedIdentifiers(
    values.map((value) => ({ type: canonicalAddress(value) ? 'ip' : 'dns', value })),
    rules,
  )
  let tokens = 0
  return newOrder({ id: 'o', accountId: 'a', identifiers }, () => `token-${tokens++}`, NOW_MS)
}

function proved(before: AcmeOrder, index: number): AcmeOrder {
  const begun = beginChallenge(before, index, 'dns-01', NOW_MS)
  assert.ok(begun)
  return endChallenge(begun, index, 'dns-01', 'proved', NOW_MS)
}

const problem = { type: 'urn:ietf:params:acme:error:dns', detail: 'no', status: 400 } as const
const isProblem = (type: string) => (error: unknown) => error instanceof AcmeProblem && error.type === type

test('identifiers are taken in one spelling, each once', () => {
  const wanted = [
    { type: 'dns', value: 'WWW.Example.test' },
    { type: 'dns', value: 'www.example.test' },
    { type: 'ip', value: '2001:DB8::0:1' },
    { type: 'dns', value: '*.Example.test' },
  ]
  assert.deepEqual(checkedIdentifiers(wanted, rules), [
    { type: 'dns', value: 'www.example.test' },
    { type: 'ip', value: '2001:db8::1' },
    { type: 'dns', value: '*.example.test' },
  ])
})

test('what is no name, no address or no identifier is refused by kind', () => {
  const refused: [unknown, string][] = [
    [[], 'malformed'],
    [undefined, 'malformed'],
    [[null], 'malformed'],
    [[{ type: 'dns' }], 'malformed'],
    [[{ type: 'dns', value: 7 }], 'malformed'],
    [[{ type: 'email', value: 'a@b.test' }], 'unsupportedIdentifier'],
    [[{ type: 'ip', value: 'example.test' }], 'malformed'],
    [[{ type: 'ip', value: '10.0.0.1/8' }], 'malformed'],
    [[{ type: 'ip', value: 'fe80::1%eth0' }], 'malformed'],
    [[{ type: 'dns', value: '10.0.0.1' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: '' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: '*' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: '*.*.example.test' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: 'a.*.example.test' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: 'exämple.test' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: 'a\u0000.test' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: 'a..test' }], 'rejectedIdentifier'],
    [[{ type: 'dns', value: `${'a.'.repeat(130)}test` }], 'rejectedIdentifier'],
    [Array.from({ length: 51 }, (_, i) => ({ type: 'dns', value: `n${i}.test` })), 'rejectedIdentifier'],
  ]
  for (const [value, type] of refused) assert.throws(() => checkedIdentifiers(value, rules), isProblem(type))
})

test('a credential covers exact names, and what is below a domain', () => {
  const dns = (value: string): AcmeIdentifier => ({ type: 'dns', value })
  assert.ok(isCovered(dns('anything.test'), []))
  assert.ok(isCovered(dns('a.test'), ['a.test']))
  assert.ok(isCovered(dns('x.y.corp.test'), ['*.corp.test']))
  assert.ok(isCovered(dns('*.corp.test'), ['*.corp.test']))
  assert.ok(isCovered(dns('*.x.corp.test'), ['*.corp.test']))
  assert.ok(isCovered({ type: 'ip', value: '10.0.0.7' }, ['10.0.0.7']))
  assert.ok(!isCovered(dns('corp.test'), ['*.corp.test']))
  assert.ok(!isCovered(dns('evilcorp.test'), ['*.corp.test']))
  assert.ok(!isCovered(dns('*.a.test'), ['a.test']))
  assert.ok(!isCovered({ type: 'ip', value: '10.0.0.8' }, ['10.0.0.7', '*.corp.test']))
})

test('a wildcard is proved in the DNS only, an address never there', () => {
  const types = order('*.example.test', '10.0.0.7', 'a.test').authorizations.map(({ challenges }) =>
    challenges.map(({ type }) => type),
  )
  assert.deepEqual(types, [['dns-01'], ['http-01', 'tls-alpn-01'], [...CHALLENGE_TYPES]])
})

test('an order is ready when every identifier is proved, and valid with its certificate', () => {
  let current = order('a.test', 'b.test')
  assert.equal(orderStatus(current, NOW_MS), 'pending')
  current = proved(current, 0)
  assert.equal(orderStatus(current, NOW_MS), 'pending')
  assert.throws(() => beginFinalize(current, current.identifiers, NOW_MS), isProblem('orderNotReady'))
  current = proved(current, 1)
  assert.equal(orderStatus(current, NOW_MS), 'ready')
  current = beginFinalize(current, [...current.identifiers].reverse(), NOW_MS)
  assert.equal(orderStatus(current, NOW_MS), 'processing')
  assert.throws(() => beginFinalize(current, current.identifiers, NOW_MS), isProblem('orderNotReady'))
  assert.equal(orderStatus(endFinalize(current, { serial: 'ab' }), NOW_MS), 'valid')
})

test('a request that names too little or too much does not fit', () => {
  const ready = proved(order('a.test'), 0)
  const names = [{ type: 'dns', value: 'b.test' } as const, ...ready.identifiers]
  assert.throws(() => beginFinalize(ready, names, NOW_MS), /dns:b\.test, which was not ordered/)
  assert.throws(() => beginFinalize(ready, [], NOW_MS), /does not name dns:a\.test/)
})

test('one failed challenge decides the order, whatever the others say', () => {
  const begun = beginChallenge(order('a.test'), 0, 'http-01', NOW_MS)
  assert.ok(begun)
  const failed = endChallenge(begun, 0, 'http-01', { error: problem }, NOW_MS)
  assert.equal(orderStatus(failed, NOW_MS), 'invalid')
  assert.equal(beginChallenge(failed, 0, 'dns-01', NOW_MS), undefined)
  assert.throws(() => beginFinalize(failed, failed.identifiers, NOW_MS), isProblem('orderNotReady'))
})

test('a challenge is begun once, and again only when looking was interrupted', () => {
  const begun = beginChallenge(order('a.test'), 0, 'http-01', NOW_MS)
  assert.ok(begun)
  assert.equal(beginChallenge(begun, 0, 'http-01', NOW_MS), undefined)
  assert.ok(beginChallenge(interruptChallenges(begun), 0, 'http-01', NOW_MS))
  assert.equal(endChallenge(order('a.test'), 0, 'http-01', 'proved', NOW_MS).authorizations[0]?.status, 'pending')
})

test('what is not finished in an hour, or given up by the client, is over', () => {
  const late = NOW_MS + ORDER_LIFETIME_MS
  const ready = proved(order('a.test'), 0)
  assert.equal(orderStatus(ready, late - 1), 'ready')
  assert.equal(orderStatus(ready, late), 'invalid')
  assert.equal(authorizationStatus(ready, 0, late), 'expired')
  assert.throws(() => beginChallenge(order('a.test'), 0, 'dns-01', late), isProblem('malformed'))
  assert.equal(orderStatus(deactivateAuthorization(ready, 0), NOW_MS), 'invalid')
})

test('what is not there is said to be missing', () => {
  assert.throws(() => beginChallenge(order('a.test'), 1, 'dns-01', NOW_MS), isProblem('malformed'))
  assert.throws(() => beginChallenge(order('*.a.test'), 0, 'http-01', NOW_MS), isProblem('malformed'))
})

test('whatever happens in whatever order, a certificate needs every identifier proved', () => {
  const step = fc.record({
    action: fc.constantFrom('begin', 'prove', 'fail', 'interrupt', 'deactivate', 'finalize'),
    index: fc.nat(2),
    type: fc.constantFrom(...CHALLENGE_TYPES),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let current = order('a.test', 'b.test', '10.0.0.7')
      for (const { action, index, type } of steps) {
        try {
          current = apply(current, action, index, type)
        } catch (error) {
          assert.ok(error instanceof AcmeProblem)
        }
      }
      const isProved = current.authorizations.every(({ challenges }) =>
        challenges.some(({ status }) => status === 'valid'),
      )
      if (current.status === 'valid') assert.ok(isProved)
      assert.deepEqual(JSON.parse(JSON.stringify(current)), current)
    }),
  )
})

function apply(current: AcmeOrder, action: string, index: number, type: (typeof CHALLENGE_TYPES)[number]): AcmeOrder {
  switch (action) {
    case 'begin':
      return beginChallenge(current, index, type, NOW_MS) ?? current
    case 'prove':
      return endChallenge(current, index, type, 'proved', NOW_MS)
    case 'fail':
      return endChallenge(current, index, type, { error: problem }, NOW_MS)
    case 'interrupt':
      return interruptChallenges(current)
    case 'deactivate':
      return deactivateAuthorization(current, index)
    default:
      return endFinalize(beginFinalize(current, current.identifiers, NOW_MS), { serial: 'ab' })
  }
}
