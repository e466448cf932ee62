import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { MemberStatus } from '../../../src/base/member.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import { Members, outranks } from '../../../src/network/swim/members.ts'
import { SimulatedRandom } from '../../../src/testing/index.ts'
import { memberState } from './swim-fixture.ts'

const claim = fc.record({
  incarnation: fc.nat(3),
  status: fc.constantFrom<MemberStatus>('alive', 'suspect', 'dead', 'left'),
})

test('claims have a total order, so that all nodes end with the same view', () => {
  fc.assert(
    fc.property(claim, claim, claim, (a, b, c) => {
      const isEqual = a.incarnation === b.incarnation && a.status === b.status
      assert.equal(outranks(a, b) || outranks(b, a), !isEqual)
      assert.equal(outranks(a, b) && outranks(b, a), false)
      if (outranks(a, b) && outranks(b, c)) assert.ok(outranks(a, c))
    }),
  )
})

test('the hash is the same for equal views, whatever the order, and leaves suspicions out', () => {
  const a = new Members(new SimulatedRandom(1))
  const b = new Members(new SimulatedRandom(2))
  for (const id of ['x', 'y', 'z']) a.add(memberState(id))
  for (const id of ['z', 'x', 'y']) b.add(memberState(id))
  assert.equal(a.hash(), b.hash())
  const x = b.get('x')
  assert.ok(x)
  x.status = 'suspect'
  b.changed()
  assert.equal(a.hash(), b.hash())
  x.status = 'dead'
  b.changed()
  assert.notEqual(a.hash(), b.hash())
})

test('a full table drops the member gone for longest, and refuses when all live', () => {
  const members = new Members(new SimulatedRandom(1))
  for (let i = 0; i < LIMITS.membersMax; i++) members.add(memberState(`n${i}`))
  assert.equal(members.add(memberState('one-more')), false)
  for (const [id, sinceMs] of [
    ['n5', 500],
    ['n7', 100],
  ] as const) {
    const member = members.get(id)
    assert.ok(member)
    member.status = 'dead'
    member.statusSinceMs = sinceMs
  }
  assert.equal(members.add(memberState('one-more')), true)
  assert.equal(members.get('n7'), undefined)
  assert.ok(members.get('n5'))
  assert.equal(members.size, LIMITS.membersMax)
})

test('picks are different members that fit', () => {
  const members = new Members(new SimulatedRandom(9))
  for (let i = 0; i < 10; i++) members.add(memberState(`n${i}`))
  const picked = members.pick(4, ({ nodeId }) => nodeId !== 'n3')
  assert.equal(new Set(picked).size, 4)
  assert.ok(picked.every(({ nodeId }) => nodeId !== 'n3'))
  assert.equal(members.pick(4, () => false).length, 0)
})
