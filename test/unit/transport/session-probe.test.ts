import assert from 'node:assert/strict'
import type { Http2Session } from 'node:http2'
import { test } from 'node:test'
import { SessionProbe } from '../../../src/transport/session-probe.ts'

/** A session whose counter a test moves. */
function stubSession() {
  const stub = { destroyed: false, socket: { bytesRead: 100 }, pings: 0, ping: () => ++stub.pings }
  return stub
}

function probeOf(stub: ReturnType<typeof stubSession>): SessionProbe {
  const probe = new SessionProbe(stub as unknown as Http2Session, { idleChecks: 4, answerChecks: 2 })
  assert.equal(probe.check(), true)
  return probe
}

test('an idle session gets a PING after so many silent checks, and is dead after so many more', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  for (let check = 1; check <= 3; check++) assert.equal(probe.check(), true)
  assert.equal(stub.pings, 0)
  assert.equal(probe.check(), true)
  assert.equal(stub.pings, 1)
  assert.equal(probe.check(), true)
  assert.equal(probe.check(), false)
  assert.equal(stub.pings, 1)
})

test('one from which an answer is awaited gets it at the next check, also when something else came before', () => {
  for (const bytesCameBefore of [0, 50]) {
    const stub = stubSession()
    const probe = probeOf(stub)
    stub.socket.bytesRead += bytesCameBefore
    assert.equal(probe.check(true), true)
    assert.equal(stub.pings, 1)
    assert.equal(probe.check(), true)
    assert.equal(probe.check(), false)
  }
})

test('whatever comes is a sign of life', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  for (let round = 1; round <= 5; round++) {
    assert.equal(probe.check(true), true)
    assert.equal(probe.check(true), true)
    stub.socket.bytesRead += 1
    assert.equal(probe.check(), true)
    assert.equal(stub.pings, round)
  }
})

test('a destroyed session is left to whoever destroyed it', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  stub.destroyed = true
  for (let check = 0; check < 10; check++) assert.equal(probe.check(true), true)
  assert.equal(stub.pings, 0)
})
