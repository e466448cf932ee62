import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Awareness } from '../../../src/network/swim/awareness.ts'
import { Probe, type ProbeOutput } from '../../../src/network/swim/probe.ts'
import { LAN_PROFILE } from '../../../src/network/swim/profile.ts'

function setUp(helpers: string[] = ['h1', 'h2', 'h3']) {
  const awareness = new Awareness(8)
  const probe = new Probe(LAN_PROFILE, awareness, () => helpers)
  return { awareness, probe }
}

function sent(outputs: readonly ProbeOutput[]) {
  return outputs.flatMap((output) => (output.type === 'send' ? [[output.to, output.message.type]] : []))
}

function seqOf(outputs: readonly ProbeOutput[]): number {
  const output = outputs.find((o) => o.type === 'send')
  assert.ok(output?.type === 'send' && 'seq' in output.message)
  return output.message.seq
}

test('an ack in time answers the probe and improves the local health', () => {
  const { probe, awareness } = setUp()
  awareness.applyDelta(1)
  const seq = seqOf(probe.begin(0, 'x', 'periodic', true))
  assert.deepEqual(probe.onAck('x', seq), [
    { type: 'answered', target: 'x', kind: 'periodic', startedMs: 0, isPathSilent: false },
  ])
  assert.equal(awareness.score, 0)
  assert.deepEqual(probe.due(5_000), [])
})

test('without an ack others are asked, and without any answer the target is accused at the end of the period', () => {
  const { probe } = setUp()
  probe.begin(0, 'x', 'periodic', true)
  assert.equal(probe.nextDueMs, 500)
  assert.deepEqual(probe.due(499), [])
  assert.deepEqual(sent(probe.due(500)), [
    ['h1', 'ping-req'],
    ['h2', 'ping-req'],
    ['h3', 'ping-req'],
  ])
  assert.deepEqual(probe.due(999), [])
  assert.deepEqual(probe.due(1_000), [{ type: 'unanswered', target: 'x', kind: 'periodic', isRefused: false }])
})

test('missing nacks lower the local health, complete ones leave it', () => {
  const healthy = setUp()
  const seq = seqOf(healthy.probe.begin(0, 'x', 'periodic', true))
  healthy.probe.due(500)
  for (const helper of ['h1', 'h2', 'h3']) healthy.probe.onNack(helper, seq)
  healthy.probe.due(1_000)
  assert.equal(healthy.awareness.score, 0)

  const deaf = setUp()
  deaf.probe.begin(0, 'x', 'periodic', true)
  deaf.probe.due(500)
  deaf.probe.due(1_000)
  assert.equal(deaf.awareness.score, 3)
})

test('a node in poor health gives its target more time', () => {
  const { probe, awareness } = setUp([])
  awareness.applyDelta(2)
  probe.begin(0, 'x', 'periodic', true)
  probe.due(500)
  assert.equal(probe.nextDueMs, 3_000)
})

test('a target without an open channel gets a period more, others are asked as early', () => {
  const { probe } = setUp()
  probe.begin(0, 'x', 'periodic', false)
  assert.equal(sent(probe.due(500)).length, 3)
  assert.deepEqual(probe.due(1_999), [])
  assert.equal(probe.due(2_000)[0]?.type, 'unanswered')
})

test('an ack counts only from the target or from a member that was asked', () => {
  const { probe } = setUp(['h1'])
  const seq = seqOf(probe.begin(0, 'x', 'periodic', true))
  assert.deepEqual(probe.onAck('liar', seq), [])
  assert.deepEqual(probe.onAck('x', seq + 99), [])
  probe.due(500)
  probe.onNack('liar', seq)
  assert.deepEqual(probe.onAck('h2', seq), [])
  assert.equal(probe.due(1_000)[0]?.type, 'unanswered')
})

test('an ack after the deadline changes nothing', () => {
  const { probe } = setUp([])
  const seq = seqOf(probe.begin(0, 'x', 'periodic', true))
  probe.due(1_000)
  assert.deepEqual(probe.onAck('x', seq), [])
})

test('an answer through others alone tells of a silent path', () => {
  const { probe } = setUp()
  const seq = seqOf(probe.begin(0, 'x', 'periodic', true))
  probe.due(500)
  assert.deepEqual(probe.onAck('h2', seq), [])
  assert.deepEqual(probe.due(1_000), [
    { type: 'answered', target: 'x', kind: 'periodic', startedMs: 0, isPathSilent: true },
  ])
})

test('a dial that is refused again a moment later ends a probe at once, two at the same moment do not', () => {
  const { probe } = setUp()
  probe.begin(0, 'x', 'second-look', true)
  assert.equal(sent(probe.onUnreachable(5, 'x', true)).length, 3, 'others are asked without waiting')
  assert.deepEqual(probe.onUnreachable(20, 'x', true), [], 'a dial for another member, at the same moment')
  assert.deepEqual(sent(probe.due(255)), [['x', 'ping']])
  assert.deepEqual(probe.onUnreachable(260, 'x', true), [
    { type: 'unanswered', target: 'x', kind: 'second-look', isRefused: true },
  ])
})

test('a member others still reach is not accused for refused dials', () => {
  const { probe } = setUp()
  const seq = seqOf(probe.begin(0, 'x', 'second-look', true))
  probe.onUnreachable(5, 'x', true)
  probe.onAck('h1', seq)
  probe.due(255)
  assert.deepEqual(probe.onUnreachable(260, 'x', true), [])
})

test('a dial that failed without a refusal waits for the deadline', () => {
  const { probe } = setUp([])
  probe.begin(0, 'x', 'periodic', true)
  assert.deepEqual(probe.onUnreachable(10, 'x', false), [])
  assert.deepEqual(probe.onUnreachable(20, 'x', false), [])
  assert.equal(probe.isProbing('x'), true)
})

test('one target is probed once at a time, but for the last probe before a verdict', () => {
  const { probe } = setUp()
  probe.begin(0, 'x', 'periodic', true)
  assert.deepEqual(probe.begin(100, 'x', 'second-look', true), [])
  assert.equal(probe.begin(200, 'x', 'last', true).length, 1)
  assert.deepEqual([probe.count('periodic'), probe.count('last')], [0, 1])
  assert.deepEqual(probe.due(700), [], 'the last probe asks nobody else')
})

test('a relayed ping passes the ack on, or a nack in time', () => {
  const { probe } = setUp()
  const first = seqOf(probe.onPingReq(0, 'asker', 7, 'x'))
  assert.deepEqual(probe.onAck('x', first), [{ type: 'send', to: 'asker', message: { type: 'ack', seq: 7 } }])

  const second = seqOf(probe.onPingReq(0, 'asker', 8, 'y'))
  assert.deepEqual(probe.due(400), [{ type: 'send', to: 'asker', message: { type: 'nack', seq: 8 } }])
  assert.deepEqual(sent(probe.onAck('y', second)), [['asker', 'ack']], 'a late ack still helps')
})

test('a relay whose target refuses the dial nacks at once', () => {
  const { probe } = setUp()
  probe.onPingReq(0, 'asker', 8, 'y')
  assert.deepEqual(sent(probe.onUnreachable(3, 'y', true)), [['asker', 'nack']])
  assert.deepEqual(probe.due(400), [])
})

test('relays are bounded and forgotten', () => {
  const { probe } = setUp()
  for (let i = 0; i < 256; i++) assert.equal(probe.onPingReq(0, 'asker', i, `x${i}`).length, 1)
  assert.deepEqual(probe.onPingReq(0, 'asker', 999, 'y'), [])
  probe.due(2_000)
  assert.equal(probe.nextDueMs, Number.POSITIVE_INFINITY)
  assert.equal(probe.onPingReq(2_000, 'asker', 999, 'y').length, 1)
})
