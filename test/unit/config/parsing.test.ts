import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closest, formatAddress, isHost, isLoopback, normalAddress, parseDuration } from '../../../src/config/index.ts'

test('a duration is a whole number and a unit', () => {
  assert.equal(parseDuration('90s'), 90_000)
  assert.equal(parseDuration(' 10m '), 600_000)
  assert.equal(parseDuration('24h'), 86_400_000)
  assert.equal(parseDuration('7 d'), 604_800_000)
  assert.equal(parseDuration('1y'), 31_536_000_000)
  for (const wrong of ['', '10', 'm', '1.5h', '-1s', '1w', '1s2', '1e3s', '9999999999s']) {
    assert.equal(parseDuration(wrong), undefined, wrong)
  }
})

test('a host is an IP address or a DNS name', () => {
  for (const right of ['a', 'a.b-c.example', '10.0.0.1', 'fe80::1', '1host', 'x'.repeat(63)])
    assert.ok(isHost(right), right)
  for (const wrong of ['', '-a', 'a-', 'a..b', 'a_b', '10.0.0.256', '1.2.3', 'x'.repeat(64), 'a b', 'a/b', '::g']) {
    assert.ok(!isHost(wrong), wrong)
  }
})

test('an address is written with IPv6 in brackets', () => {
  assert.equal(formatAddress('::1', 8001), '[::1]:8001')
  assert.equal(formatAddress('host', 1), 'host:1')
  assert.equal(normalAddress('[::1]', 5), '[::1]:5')
  assert.equal(normalAddress('::1', 5), undefined)
})

test('loopback is 127.0.0.0/8 and ::1', () => {
  for (const address of ['127.0.0.1', '127.255.0.1', '::1']) assert.ok(isLoopback(address))
  for (const address of ['0.0.0.0', '128.0.0.1', '::', '127.example.org', '::2']) assert.ok(!isLoopback(address))
})

test('a suggestion is made only for a near miss', () => {
  const keys = ['port', 'node_id', 'coordinator_addresses']
  assert.equal(closest('prot', keys), 'port')
  assert.equal(closest('nodeId', keys), 'node_id')
  assert.equal(closest('coordinator_adresses', keys), 'coordinator_addresses')
  assert.equal(closest('zzz', keys), undefined)
  assert.equal(closest('xy', ['ab']), undefined)
})
