import assert from 'node:assert/strict'
import type { Http2Session } from 'node:http2'
import { test } from 'node:test'
import { SessionProbe } from '../../../src/transport/session-probe.ts'

/** A session whose counters a test moves. */
function stubSession() {
  const socket = { bytesRead: 100, bytesWritten: 100 }
  const stub = { destroyed: false, socket, pings: 0, ping: () => ++stub.pings }
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

test('one to which something was sent gets it at the next check', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  stub.socket.bytesWritten += 50
  assert.equal(probe.check(), true)
  assert.equal(stub.pings, 1)
  assert.equal(probe.check(), true)
  assert.equal(probe.check(), false)
})

test('whatever comes is a sign of life', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  for (let round = 0; round < 5; round++) {
    stub.socket.bytesWritten += 50
    assert.equal(probe.check(), true)
    assert.equal(probe.check(), true)
    stub.socket.bytesRead += 1
    assert.equal(probe.check(), true)
  }
  assert.equal(stub.pings, 5)
})

test('a session that was sent something and has answered is idle', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  stub.socket.bytesWritten += 50
  stub.socket.bytesRead += 50
  assert.equal(probe.check(), true)
  assert.equal(probe.check(), true)
  assert.equal(stub.pings, 0)
})

test('a destroyed session is left to whoever destroyed it', () => {
  const stub = stubSession()
  const probe = probeOf(stub)
  stub.destroyed = true
  for (let check = 0; check < 10; check++) assert.equal(probe.check(), true)
  assert.equal(stub.pings, 0)
})
