import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { MemberStatus } from '../../../src/base/member.ts'
import { encodeMessage } from '../../../src/network/swim/codec.ts'
import { LIMITS } from '../../../src/network/swim/limits.ts'
import type { Message } from '../../../src/network/swim/message.ts'
import { BUCKET_BITS_MAX, bucketOf } from '../../../src/network/swim/view-hash.ts'
import { envelope, nodeRecord, recordMessage, SwimHarness } from './swim-fixture.ts'

const suspect = (nodeId: string, incarnation = 1, from = 'b', isRefused = false): Message => ({
  type: 'suspect',
  nodeId,
  incarnation,
  from,
  isRefused,
})
const dead = (nodeId: string, incarnation = 1, from = 'b'): Message => ({ type: 'dead', nodeId, incarnation, from })
/** Coverage of a digest that leaves nobody out. */
const ALL = { bits: 0, buckets: [0] }
const alive = (nodeId: string, incarnation: number, recordVersion = 1): Message => ({
  type: 'alive',
  nodeId,
  incarnation,
  recordVersion,
})

test('a suspicion that nobody refutes ends in death, after the suspicion time and not before', () => {
  const node = new SwimHarness(['a', 'b', 'c'])
  node.receive('b', suspect('a'))
  assert.equal(node.status('a'), 'suspect')
  node.pass(3_900, (target) => target !== 'a')
  assert.equal(node.status('a'), 'suspect')
  node.pass(24_000, (target) => target !== 'a')
  assert.equal(node.status('a'), 'dead')
  assert.ok(node.outputs.some((output) => output.type === 'disconnect' && output.nodeId === 'a'))
})

test('the channel of a member that leaves stays: it answers what it was asked, and closes it then', () => {
  const node = new SwimHarness(['a', 'b'])
  for (const nodeId of ['a', 'b']) node.step({ type: 'channel-open', nodeId, isDialled: true })
  node.receive('a', dead('a', 1, 'a'))
  assert.equal(node.status('a'), 'left')
  assert.deepEqual(
    node.outputs.filter(({ type }) => type === 'disconnect'),
    [],
  )
})

test('a higher incarnation refutes a suspicion, the same one does not', () => {
  const node = new SwimHarness(['a', 'b'])
  node.answer(node.receive('b', suspect('a', 1)), () => true)
  node.receive('b', alive('a', 1))
  assert.equal(node.status('a'), 'suspect')
  node.receive('b', alive('a', 2))
  assert.equal(node.status('a'), 'alive')
  node.pass(60_000, () => true)
  assert.equal(node.status('a'), 'alive')
})

test('an old suspicion and an old death are ignored', () => {
  const node = new SwimHarness(['b'])
  node.receive('b', recordMessage('a', { incarnation: 5 }))
  node.receive('b', suspect('a', 4), dead('a', 4))
  assert.equal(node.status('a'), 'alive')
})

test('an alive message replayed after a death does not wake the dead', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('b', dead('a', 1))
  assert.equal(node.status('a'), 'dead')
  node.receive('b', alive('a', 1), recordMessage('a', { incarnation: 1 }))
  assert.equal(node.status('a'), 'dead')
  node.receive('b', alive('a', 2))
  assert.equal(node.status('a'), 'alive')
})

test('left outranks dead of the same life, and a new life outranks left', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('b', dead('a', 1))
  node.receive('b', dead('a', 1, 'a'))
  assert.equal(node.status('a'), 'left')
  node.receive('b', dead('a', 1))
  assert.equal(node.status('a'), 'left')
  node.receive('b', alive('a', 2))
  assert.equal(node.status('a'), 'alive')
})

test('claims about this node are refuted with a higher incarnation, whoever makes them', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('a', suspect('self', 1))
  assert.equal(node.swim.self.incarnation, 2)
  node.receive('a', dead('self', 7))
  assert.equal(node.swim.self.incarnation, 8)
  node.receive('a', dead('self', 8, 'self'))
  assert.equal(node.swim.self.incarnation, 9)
  node.receive('a', alive('self', 20))
  assert.equal(node.swim.self.incarnation, 21)
  assert.equal(node.swim.self.status, 'alive')
  node.receive('a', suspect('self', 20))
  assert.equal(node.swim.self.incarnation, 21, 'an old claim needs no answer')
})

test('an answer to a ping that brought a claim already refutes it', () => {
  const node = new SwimHarness(['a', 'b'])
  const outputs = node.receive('a', suspect('self', 1, 'a'), { type: 'ping', seq: 5 })
  const answer = outputs.find((output) => output.type === 'send' && output.messages.some((m) => m.type === 'ack'))
  assert.ok(answer?.type === 'send')
  assert.deepEqual(
    answer.messages
      .filter((m) => m.type === 'alive' && m.nodeId === 'self')
      .map((m) => 'incarnation' in m && m.incarnation),
    [2],
  )
})

test('what is claimed of a member goes to it in front of everything else', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('b', suspect('a'))
  const outputs = node.receive('a', { type: 'ping', seq: 1 })
  const answer = outputs.find((output) => output.type === 'send' && output.to === 'a')
  assert.ok(answer?.type === 'send')
  assert.deepEqual(answer.messages[0], { type: 'suspect', nodeId: 'a', incarnation: 1, from: 'self', isRefused: false })
})

test('a member that answers the last probe is not declared dead', () => {
  const node = new SwimHarness(['a', 'b', 'c', 'd'])
  node.receive('b', suspect('a'))
  node.pass(60_000, () => true)
  assert.equal(node.status('a'), 'suspect')
})

test('a member in touch over an open channel is not dead because another one says so', () => {
  const node = new SwimHarness(['a', 'b', 'c', 'd'])
  node.step({ type: 'channel-open', nodeId: 'a', isDialled: false })
  node.receive('a', { type: 'ping', seq: 1 })
  node.outputs = []
  node.receive('b', dead('a'))
  assert.equal(node.status('a'), 'suspect')
  assert.deepEqual(
    node.sent('suspect').some(({ to, message }) => to === 'a' && message.nodeId === 'a'),
    true,
  )
})

test('a lost channel brings an immediate look, and refused dials a fast verdict', () => {
  const node = new SwimHarness(['a', 'b'])
  node.step({ type: 'channel-open', nodeId: 'a', isDialled: true })
  node.outputs = []
  node.step({ type: 'channel-closed', nodeId: 'a', isExpected: false })
  assert.deepEqual(
    node.sent('ping').map(({ to }) => to),
    ['a'],
  )
  node.step({ type: 'unreachable', nodeId: 'a', isRefused: true })
  node.pass(260)
  node.step({ type: 'unreachable', nodeId: 'a', isRefused: true })
  assert.equal(node.status('a'), 'suspect')
  node.pass(900)
  assert.equal(node.status('a'), 'suspect', 'one witness is not enough while there is another one')
  node.receive('b', suspect('a', 1, 'b', true))
  node.pass(1_000)
  assert.equal(node.status('a'), 'dead')
})

test('a member that another one suspects is looked at from here as well', () => {
  const node = new SwimHarness(['a', 'b', 'c'])
  node.receive('b', suspect('a'))
  assert.deepEqual(
    node.sent('ping').map(({ to }) => to),
    ['a'],
  )
  node.receive('c', suspect('a', 1, 'c'))
  assert.equal(node.sent('ping').length, 1, 'once a suspicion')
})

test('what a member only holds of another is no witness of its own', () => {
  const members = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const node = new SwimHarness(members)
  node.receive('b', suspect('a'))
  const entries = [{ nodeId: 'a', incarnation: 1, status: 'suspect' as const, recordVersion: 1 }]
  for (const from of ['c', 'd', 'e', 'f', 'g', 'h']) node.receive(from, { type: 'digest', entries })
  node.pass(4_500, (target) => target !== 'a')
  assert.equal(node.status('a'), 'suspect')
  for (const from of ['c', 'd', 'e', 'f']) node.receive(from, suspect('a', 1, from))
  node.pass(600, (target) => target !== 'a')
  assert.equal(node.status('a'), 'dead')
})

test('a node with many channels probes over them, and everybody else from time to time', () => {
  const names = Array.from({ length: 400 }, (_, i) => `n${i}`)
  const near = names.slice(0, 40)
  const node = new SwimHarness(names)
  for (const nodeId of near) node.step({ type: 'channel-open', nodeId, isDialled: false })
  node.outputs = []
  node.pass(320_000, () => true)
  const targets = node.sent('ping').map(({ to }) => to)
  const far = targets.filter((target) => !near.includes(target))
  assert.ok(targets.length > 310)
  assert.ok(far.length > 25 && far.length <= 41, `${far.length} of ${targets.length}`)
  assert.equal(new Set(far).size, far.length, 'round robin: nobody twice before all were asked')
  const counts = near.map((nodeId) => targets.filter((target) => target === nodeId).length)
  assert.ok(Math.min(...counts) >= 5 && Math.max(...counts) <= 10, counts.join())
})

test('others that are asked to ping include a coordinator: it reaches those that can only dial out', () => {
  const names = Array.from({ length: 50 }, (_, i) => `n${i}`)
  const node = new SwimHarness(names)
  const record = { ...nodeRecord('boss'), role: 'coordinator' as const }
  node.receive('n1', { type: 'record', incarnation: 1, status: 'alive', envelope: envelope(record) })
  node.outputs = []
  node.pass(20_000, (target) => target === 'boss')
  const asked = new Map<string, string[]>()
  for (const { to, message } of node.sent('ping-req'))
    asked.set(message.target, [...(asked.get(message.target) ?? []), to])
  assert.ok(asked.size > 2)
  for (const [target, helpers] of asked) {
    assert.ok(helpers.includes('boss'), `${target}: ${helpers.join()}`)
    assert.equal(new Set(helpers).size, helpers.length)
  }
})

test('a channel that only reconnects costs nobody the life', () => {
  const node = new SwimHarness(['a', 'b'])
  node.step({ type: 'channel-open', nodeId: 'a', isDialled: true })
  node.step({ type: 'channel-closed', nodeId: 'a', isExpected: false })
  const ping = node.sent('ping').at(-1)
  assert.ok(ping)
  node.step({ type: 'channel-open', nodeId: 'a', isDialled: true })
  node.receive('a', { type: 'ack', seq: ping.message.seq })
  node.pass(30_000, () => true)
  assert.equal(node.status('a'), 'alive')
  assert.equal(
    node.outputs.some((o) => o.type === 'changed' && o.nodeId === 'a'),
    false,
  )
})

test('a channel this node closed itself is no hint', () => {
  const node = new SwimHarness(['a', 'b'])
  node.step({ type: 'channel-open', nodeId: 'a', isDialled: true })
  node.outputs = []
  node.step({ type: 'channel-closed', nodeId: 'a', isExpected: true })
  assert.deepEqual(node.sent('ping'), [])
})

test('a process that was stopped accuses nobody of its own absence', () => {
  const node = new SwimHarness(['a', 'b', 'c'])
  node.pass(3_000, () => true)
  node.nowMs += 20_000
  node.step({ type: 'tick' })
  assert.ok(['a', 'b', 'c'].every((id) => node.status(id) === 'alive'))
  assert.equal(node.swim.stats.healthScore, 1)
  node.pass(10_000, () => true)
  assert.ok(['a', 'b', 'c'].every((id) => node.status(id) === 'alive'))
})

test('the same silence while the process runs is death', () => {
  const node = new SwimHarness(['a', 'b', 'c'])
  node.pass(3_000, () => true)
  node.pass(60_000)
  assert.ok(['a', 'b', 'c'].every((id) => node.status(id) === 'dead'))
})

test('the dead and the left are tried again for ever, the left less often', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('b', dead('a'), dead('b', 1, 'b'))
  const tries = { a: 0, b: 0 }
  for (let minute = 0; minute < 200; minute++) {
    node.outputs = []
    node.pass(60_000)
    for (const output of node.outputs) {
      if (output.type === 'connect') tries[output.nodeId as 'a' | 'b']++
    }
  }
  assert.ok(tries.a > 1_100 && tries.a < 1_300, `dead: ${tries.a} in 1,200 intervals`)
  assert.ok(tries.b > 500 && tries.b < 700, `left: ${tries.b}`)
})

test('a node that is left alone tries several of the dead at a time, not all of hundreds', () => {
  const members = Array.from({ length: 100 }, (_, i) => `m${i}`)
  const node = new SwimHarness(members)
  node.receive('m0', ...members.map((nodeId) => dead(nodeId)))
  node.outputs = []
  node.pass(11_000)
  const tried = node.outputs.flatMap((output) => (output.type === 'connect' ? [output.nodeId] : []))
  assert.equal(new Set(tried).size, 8)
})

test('a record is pulled once, from who told of it, and checked before it counts', () => {
  const node = new SwimHarness(['b', 'c'])
  node.receive('b', alive('new', 3, 10))
  node.receive('c', alive('new', 3, 10))
  assert.deepEqual(
    node.sent('pull').map(({ to, message }) => [to, message.nodeIds]),
    [['b', ['new']]],
  )
  assert.equal(node.status('new'), undefined)
  node.receive('b', recordMessage('new', { incarnation: 3, recordVersion: 10 }))
  assert.equal(node.status('new'), 'alive')
  assert.equal(node.swim.get('new')?.incarnation, 3)
})

test('a pull that was not answered is tried again later', () => {
  const node = new SwimHarness(['b', 'c'])
  node.receive('b', alive('new', 3, 10))
  node.pass(2_000, () => true)
  node.receive('c', alive('new', 3, 10))
  assert.deepEqual(
    node.sent('pull').map(({ to }) => to),
    ['b', 'c'],
  )
})

test('forged, older and replayed records change nothing', () => {
  const node = new SwimHarness(['b'])
  node.receive('b', recordMessage('a', { recordVersion: 5 }))
  const record = node.swim.get('a')?.record
  node.receive('b', { ...recordMessage('a'), envelope: envelope(nodeRecord('a', 9), 'forged') })
  node.receive('b', { ...recordMessage('x'), envelope: envelope(nodeRecord('x', 9), 'forged') })
  node.receive('b', recordMessage('a', { recordVersion: 4 }), recordMessage('a', { recordVersion: 5 }))
  assert.equal(node.swim.get('a')?.record, record)
  assert.equal(node.status('x'), undefined)
  assert.equal(node.swim.stats.recordsRefused, 2)
})

test('a higher version of the own record counts only with its signature', () => {
  const node = new SwimHarness(['b'])
  node.receive('b', alive('self', 1, 50))
  assert.equal(
    node.outputs.some((output) => output.type === 'outranked'),
    false,
  )
  assert.deepEqual(
    node.sent('pull').map(({ message }) => message.nodeIds),
    [['self']],
  )
  node.receive('b', { ...recordMessage('self'), envelope: envelope(nodeRecord('self', 50), 'forged') })
  assert.equal(
    node.outputs.some((output) => output.type === 'outranked'),
    false,
  )
  node.receive('b', recordMessage('self', { recordVersion: 50 }))
  assert.deepEqual(
    node.outputs.find((output) => output.type === 'outranked'),
    { type: 'outranked', recordVersion: 50 },
  )
})

test('who has an equal view does not answer a sync; who has another one sends its digest', () => {
  const node = new SwimHarness(['b', 'c'])
  const twin = new SwimHarness(['b', 'c'])
  const [opening] = twin.step({ type: 'channel-open', nodeId: 'stranger', isDialled: true })
  assert.ok(opening?.type === 'send')
  node.receive('b', ...opening.messages)
  assert.deepEqual(node.sent('digest'), [])
  node.receive('b', { type: 'sync', hash: 'another' })
  assert.deepEqual(
    node.sent('digest').map(({ to, message }) => [to, message.entries.map((e) => e.nodeId).toSorted()]),
    [['b', ['b', 'c', 'self']]],
  )
})

test('a dialled channel opens an exchange with a stranger and with the dead, not with the living', () => {
  const node = new SwimHarness(['a', 'b'])
  node.receive('a', dead('b'))
  node.outputs = []
  for (const nodeId of ['a', 'b', 'stranger']) node.step({ type: 'channel-open', nodeId, isDialled: true })
  node.step({ type: 'channel-open', nodeId: 'accepted', isDialled: false })
  assert.deepEqual(
    node.sent('sync').map(({ to }) => to),
    ['b', 'stranger'],
  )
})

test('a digest is answered with exactly what its sender lacks, a reply with nothing', () => {
  const node = new SwimHarness(['b', 'c', 'd'])
  const entries = [...node.swim.members()].map(({ nodeId, incarnation, status, record }) => ({
    nodeId,
    incarnation,
    status,
    recordVersion: record.recordVersion,
  }))
  const partial = entries
    .filter(({ nodeId }) => nodeId !== 'd')
    .map((e) => (e.nodeId === 'c' ? { ...e, recordVersion: 0 } : e))
  node.receive('b', { type: 'digest', covers: ALL, entries: partial })
  assert.deepEqual(
    node.sent('digest').map(({ message }) => [message.covers, message.entries.map((e) => e.nodeId)]),
    [[undefined, ['c', 'd']]],
  )
  node.outputs = []
  node.receive('b', { type: 'digest', entries: [] })
  assert.deepEqual(node.sent('digest'), [])
})

test('a digest answers only for the buckets it covers', () => {
  const node = new SwimHarness(['b', 'c', 'd'])
  const bits = 6
  const bucket = bucketOf('c') >>> (BUCKET_BITS_MAX - bits)
  node.receive('b', { type: 'digest', covers: { bits, buckets: [bucket] }, entries: [] })
  assert.deepEqual(
    node.sent('digest').flatMap(({ message }) => message.entries.map((e) => e.nodeId)),
    ['c'],
  )
})

/** Lets two nodes exchange messages until neither has anything to say. @returns bytes of all frames, by type */
function exchange(a: SwimHarness, b: SwimHarness): Map<string, number> {
  const bytes = new Map<string, number>()
  let waiting = [{ to: b, from: 'self-a', messages: [{ type: 'sync', hash: a.swim.viewHash }] as Message[] }]
  for (let turn = 0; waiting.length > 0; turn++) {
    assert.ok(turn < 20, 'an exchange without end')
    waiting = waiting.flatMap(({ to, from, messages }) => {
      for (const message of messages)
        bytes.set(message.type, (bytes.get(message.type) ?? 0) + encodeMessage(message).length)
      const back = to === a ? { to: b, from: 'self-a' } : { to: a, from: 'self-b' }
      return to
        .receive(from, ...messages)
        .flatMap((output) =>
          output.type === 'send' && output.to === from ? [{ ...back, messages: output.messages }] : [],
        )
    })
  }
  return bytes
}

test('two large views that differ in a few members exchange a few buckets, not all members', () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `n${i}`)
  const a = new SwimHarness(names, 1, 'self-a')
  const b = new SwimHarness(names, 2, 'self-b')
  exchange(a, b)
  assert.equal(a.swim.viewHash, b.swim.viewHash)
  a.receive('n1', recordMessage('n7', { recordVersion: 5 }), recordMessage('new'))
  b.receive('n1', dead('n9', 1, 'n9'))
  const bytes = exchange(a, b)
  assert.equal(a.swim.viewHash, b.swim.viewHash)
  assert.deepEqual([a.status('n9'), b.status('new'), b.swim.get('n7')?.record.recordVersion], ['left', 'alive', 5])
  assert.ok((bytes.get('summary') as number) < 1_100)
  assert.ok((bytes.get('digest') as number) < 6_000, `${bytes.get('digest')} bytes for 3 of 2,000`)
  assert.deepEqual([...exchange(a, b).keys()], ['sync'])
})

test('a newcomer gets a large view at once, whoever opens the exchange', () => {
  const names = Array.from({ length: 1_500 }, (_, i) => `n${i}`)
  for (const isOpenedByNewcomer of [true, false]) {
    const old = new SwimHarness(names, 1, 'self-a')
    const newcomer = new SwimHarness([], 2, 'self-b')
    // The harness names the opener self-a: what counts is who sends the first message.
    if (isOpenedByNewcomer) old.receive('self-b', { type: 'sync', hash: newcomer.swim.viewHash })
    exchange(old, newcomer)
    assert.equal(newcomer.swim.viewHash, old.swim.viewHash)
    assert.equal([...newcomer.swim.members()].length, 1_502)
  }
})

test('of views that differ everywhere one exchange carries a bounded part', () => {
  const names = Array.from({ length: 4_000 }, (_, i) => `n${i}`)
  const a = new SwimHarness(names, 1, 'self-a')
  const b = new SwimHarness(names, 2, 'self-b')
  exchange(a, b)
  a.receive('n1', ...names.map((nodeId) => alive(nodeId, 7)))
  const opening = b.receive('self-a', { type: 'sync', hash: a.swim.viewHash })
  const [summary] = opening.flatMap((output) => (output.type === 'send' ? output.messages : []))
  assert.equal(summary?.type, 'summary')
  a.outputs = []
  a.receive('self-b', summary as Message)
  const digests = a.sent('digest')
  const entries = digests.reduce((sum, { message }) => sum + message.entries.length, 0)
  assert.ok(entries > 1_900 && entries <= LIMITS.exchangeEntriesMax, `${entries} entries`)
})

test('the dead of another view are suspects here first, unless they are gone here too', () => {
  const node = new SwimHarness(['a', 'b', 'c', 'd'])
  const entry = (nodeId: string, status: MemberStatus, incarnation = 1) => ({
    nodeId,
    status,
    incarnation,
    recordVersion: 1,
  })
  node.receive('b', dead('c'))
  node.receive('b', {
    type: 'digest',
    entries: [entry('a', 'dead'), entry('c', 'dead', 4), entry('d', 'left')],
  })
  assert.deepEqual([node.status('a'), node.status('c'), node.status('d')], ['suspect', 'dead', 'left'])
  assert.equal(node.swim.get('c')?.incarnation, 4)
})

test('a leaving node says goodbye to everyone it is connected to and refutes nothing any more', () => {
  const node = new SwimHarness(['a', 'b', 'c'])
  for (const nodeId of ['a', 'b']) node.step({ type: 'channel-open', nodeId, isDialled: false })
  node.outputs = []
  node.step({ type: 'leave' })
  const goodbyes = node.sent('dead').filter(({ message }) => message.from === 'self')
  assert.ok(['a', 'b'].every((id) => goodbyes.some(({ to }) => to === id)))
  node.receive('a', dead('self', 1), suspect('self', 1))
  assert.equal(node.swim.self.status, 'left')
  assert.equal(node.swim.self.incarnation, 1)
})

test('a path on which a living member stays silent is given up and dialled anew', () => {
  const node = new SwimHarness(['a', 'b'])
  for (const nodeId of ['a', 'b']) node.step({ type: 'channel-open', nodeId, isDialled: true })
  // Only b answers, and says for each ping-req about a that a is alive.
  for (let i = 0; i < 400; i++) {
    node.nowMs = Math.max(node.nowMs, node.swim.nextDueMs)
    const outputs = node.step({ type: 'tick' })
    for (const output of outputs) {
      if (output.type !== 'send' || output.to !== 'b') continue
      for (const message of output.messages) {
        if (message.type === 'ping' || message.type === 'ping-req') node.receive('b', { type: 'ack', seq: message.seq })
      }
    }
    if (node.outputs.some((output) => output.type === 'disconnect')) break
  }
  const kinds = node.outputs.filter((output) => output.type === 'disconnect' || output.type === 'connect')
  assert.deepEqual(kinds, [
    { type: 'disconnect', nodeId: 'a' },
    { type: 'connect', nodeId: 'a' },
  ])
  assert.equal(node.status('a'), 'alive')
  assert.ok(node.nowMs < 6_000, 'within seconds')
})

test('whatever messages come in whatever order, nothing throws, incarnations only rise and nobody new appears unsigned', () => {
  const name = fc.constantFrom('self', 'a', 'b', 'c', 'stranger')
  const count = fc.oneof(fc.nat(6), fc.maxSafeNat())
  const status = fc.constantFrom<MemberStatus>('alive', 'suspect', 'dead', 'left')
  const entry = fc.record({ nodeId: name, incarnation: count, status, recordVersion: count })
  const anyMessage: fc.Arbitrary<Message> = fc.oneof(
    fc.record({ type: fc.constantFrom('ping' as const, 'ack' as const, 'nack' as const), seq: count }),
    fc.record({ type: fc.constant('ping-req' as const), seq: count, target: name }),
    fc.record({
      type: fc.constant('suspect' as const),
      nodeId: name,
      incarnation: count,
      from: name,
      isRefused: fc.boolean(),
    }),
    fc.record({ type: fc.constant('alive' as const), nodeId: name, incarnation: count, recordVersion: count }),
    fc.record({ type: fc.constant('dead' as const), nodeId: name, incarnation: count, from: name }),
    fc.record({ type: fc.constant('sync' as const), hash: fc.string() }),
    fc.record({ type: fc.constant('pull' as const), nodeIds: fc.array(name) }),
    fc.record({ type: fc.constant('digest' as const), covers: fc.constant(ALL), entries: fc.array(entry) }),
    fc.record({ type: fc.constant('digest' as const), entries: fc.array(entry) }),
    fc.record({
      type: fc.constant('summary' as const),
      bits: fc.constant(2),
      hashes: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    }),
    fc.record({
      type: fc.constant('record' as const),
      incarnation: count,
      status,
      envelope: name.map((nodeId) => envelope(nodeRecord(nodeId, 9), 'forged')),
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(name, anyMessage, fc.nat(2_000)), { maxLength: 60 }), (script) => {
      const node = new SwimHarness(['a', 'b', 'c'])
      const incarnations = new Map<string, number>()
      for (const [from, message, passMs] of script) {
        node.receive(from, message)
        node.pass(passMs)
        for (const member of node.swim.members()) {
          assert.ok(member.incarnation >= (incarnations.get(member.nodeId) ?? 0))
          incarnations.set(member.nodeId, member.incarnation)
          assert.equal(member.record.recordVersion, 1)
        }
      }
      assert.deepEqual([...node.swim.members()].map((m) => m.nodeId).toSorted(), ['a', 'b', 'c', 'self'])
      assert.equal(node.swim.self.status, 'alive')
      assert.ok(node.swim.stats.rumoursQueued <= 4)
    }),
    { numRuns: 150 },
  )
})
