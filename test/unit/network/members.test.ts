import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { MemberStatus } from '../../../src/base/member.ts'
import { type Claim, Members, outranks } from '../../../src/network/swim/members.ts'
import { bucketBits, claimHash } from '../../../src/network/swim/view-hash.ts'
import { SimulatedRandom } from '../../../src/testing/index.ts'
import { signedRecord } from './swim-fixture.ts'

const claim = fc.record({
  incarnation: fc.nat(3),
  status: fc.constantFrom<MemberStatus>('alive', 'suspect', 'dead', 'left'),
})
const ALIVE: Claim = { incarnation: 1, status: 'alive' }

function tableOf(nodeIds: readonly string[], membersMax = 4_096, seed = 1): Members {
  const members = new Members(new SimulatedRandom(seed), membersMax)
  for (const nodeId of nodeIds) members.add(signedRecord(nodeId), ALIVE)
  return members
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`)

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

test('the hash is the same for equal views, whatever led to them, and leaves suspicions out', () => {
  const a = tableOf(['x', 'y', 'z'])
  const b = tableOf(['z', 'x', 'y'], 4_096, 2)
  assert.equal(a.hash(), b.hash())
  b.change('x', { status: 'suspect' })
  assert.equal(a.hash(), b.hash())
  b.change('x', { status: 'dead' })
  assert.notEqual(a.hash(), b.hash())
  b.change('x', { status: 'alive', incarnation: 2 })
  assert.notEqual(a.hash(), b.hash())
  a.change('x', { incarnation: 2 })
  assert.equal(a.hash(), b.hash())
  a.change('y', { signed: signedRecord('y', 2) })
  assert.notEqual(a.hash(), b.hash())
  b.add(signedRecord('more'), ALIVE)
  b.change('y', { signed: signedRecord('y', 2) })
  a.add(signedRecord('more'), ALIVE, claimHash('more', ALIVE, 1))
  assert.equal(a.hash(), b.hash())
})

test('two claims that change places do not cancel out', () => {
  const a = tableOf(['x', 'y'])
  const b = tableOf(['x', 'y'])
  a.change('x', { incarnation: 5 })
  b.change('y', { incarnation: 5 })
  assert.notEqual(a.hash(), b.hash())
})

test('exactly the buckets of members that differ differ, at every fineness', () => {
  const ids = names(1_000)
  const a = tableOf(ids)
  const b = tableOf(ids)
  b.change('n17', { status: 'left' })
  b.change('n500', { incarnation: 9 })
  for (const bits of [0, 1, bucketBits(1_000), 10]) {
    const differing = a.differingBuckets(bits, b.bucketHashes(bits))
    assert.ok(differing.length >= 1 && differing.length <= 2)
    const inside = [...a.digest(bits, differing).values()].flat().map(({ nodeId }) => nodeId)
    assert.ok(inside.includes('n17') && inside.includes('n500'))
    if (bits === 10) assert.ok(inside.length < 10, `${inside.length} members in two of 1,024 buckets`)
  }
  assert.deepEqual(a.differingBuckets(5, a.bucketHashes(5)), [])
})

test('buckets hold a few dozen members each, whatever their number', () => {
  assert.deepEqual([1, 64, 65, 1_000, 10_000, 1_000_000].map(bucketBits), [0, 0, 2, 5, 9, 10])
  const sizes = [
    ...tableOf(names(1_000))
      .digest(5, [...Array(32).keys()])
      .values(),
  ].map((entries) => entries.length)
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    1_000,
  )
  assert.ok(
    sizes.every((size) => size > 10 && size < 60),
    sizes.join(),
  )
})

test('a full table drops the gone member not heard for longest, never this node, and refuses when all live', () => {
  const members = tableOf(names(100), 100)
  assert.equal(members.add(signedRecord('one-more'), ALIVE), false)
  members.change('n0', { status: 'left' })
  assert.equal(members.add(signedRecord('one-more'), ALIVE), false, 'n0 is this node itself')
  for (const [nodeId, heardMs] of [
    ['n5', 500],
    ['n7', 100],
  ] as const) {
    members.heard(nodeId, heardMs)
    members.change(nodeId, { status: 'dead' })
  }
  assert.equal(members.add(signedRecord('one-more'), ALIVE), true)
  assert.equal(members.get('n7'), undefined)
  assert.ok(members.get('n5'))
  assert.equal(members.size, 100)
  assert.deepEqual([members.living, members.count('dead'), members.count('left')], [98, 1, 1])
  assert.equal(members.get('n99')?.nodeId, 'n99', 'who took the free row is found')
  assert.equal(members.get('n99')?.heardMs, Number.NEGATIVE_INFINITY)
  assert.equal(new Set([...members.all()].map(({ nodeId }) => nodeId)).size, 100)
})

test('after any changes, table and hash are those of a table that was made anew', () => {
  const change = fc.record({
    nodeId: fc.constantFrom(...names(40)),
    incarnation: fc.nat(5),
    status: fc.constantFrom<MemberStatus>('alive', 'suspect', 'dead', 'left'),
    recordVersion: fc.nat(3),
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), (script) => {
      const members = tableOf(['self'], 20)
      for (const { nodeId, recordVersion, ...said } of script) {
        const signed = signedRecord(nodeId, recordVersion)
        if (members.has(nodeId)) members.change(nodeId, { ...said, signed })
        else members.add(signed, said)
      }
      const anew = new Members(new SimulatedRandom(1), 100)
      for (const member of members.all()) anew.add(member.signed, member)
      assert.equal(members.hash(), anew.hash())
      assert.equal(members.living, anew.living)
      assert.ok(members.size <= 20)
      for (const { nodeId } of members.all()) assert.equal(members.get(nodeId)?.nodeId, nodeId)
    }),
    { numRuns: 50 },
  )
})

test('picks are different members that fit, evenly chosen', () => {
  const members = tableOf(names(10), 4_096, 9)
  const picked = members.pick(4, ({ nodeId }) => nodeId !== 'n3').map(({ nodeId }) => nodeId)
  assert.equal(new Set(picked).size, 4)
  assert.ok(!picked.includes('n3'))
  assert.equal(members.pick(4, () => false).length, 0)
  assert.equal(members.pick(20, () => true).length, 10)
  const counts = new Map<string, number>()
  for (let i = 0; i < 5_000; i++) {
    // One of three among a hundred: chance rarely meets it, the search of all does.
    const [one] = members.pick(1, ({ nodeId }) => nodeId === 'n1' || nodeId === 'n5' || nodeId === 'n9')
    counts.set(one?.nodeId as string, (counts.get(one?.nodeId as string) ?? 0) + 1)
  }
  for (const count of counts.values()) assert.ok(count > 1_500 && count < 1_840, [...counts].join(' '))
})
