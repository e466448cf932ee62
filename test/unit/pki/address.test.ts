import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalAddress, isHostName, isLoopback, mayBeCalledBack } from '../../../src/pki/address.ts'

test('an address has one spelling', () => {
  const spellings = {
    '10.0.0.1': '10.0.0.1',
    '::ffff:10.0.0.1': '10.0.0.1',
    '::FFFF:a00:1': '10.0.0.1',
    '0:0:0:0:0:0:0:1': '::1',
    '2001:DB8::0001': '2001:db8::1',
  }
  for (const [given, expected] of Object.entries(spellings)) assert.equal(canonicalAddress(given), expected)
  for (const given of ['', 'host', '10.0.0', '010.0.0.1', '10.0.0.1/8', 'fe80::1%eth0', '[::1]']) {
    assert.equal(canonicalAddress(given), undefined, given)
  }
})

test('the coordinator calls back private and public unicast addresses', () => {
  for (const address of ['10.1.2.3', '192.168.1.1', '100.64.0.1', '8.8.8.8', 'fd00::1', '2a00::1']) {
    assert.ok(mayBeCalledBack(address, false), address)
  }
})

test('nobody can make the coordinator call link-local, multicast, metadata or embedded addresses', () => {
  const refused = [
    '0.0.0.0',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '240.0.0.1',
    '::',
    'fe80::1',
    'ff02::1',
  ]
  const embedded = ['64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::', '2001::1', 'fd00:ec2::254', '64:ff9b:1::1']
  for (const address of [...refused, ...embedded]) {
    assert.ok(!mayBeCalledBack(address, false), address)
    assert.ok(!mayBeCalledBack(address, true), address)
  }
})

test('loopback is for those who come over loopback', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1']) {
    assert.ok(isLoopback(address))
    assert.ok(mayBeCalledBack(address, true))
    assert.ok(!mayBeCalledBack(address, false))
  }
})

test('a host name is letters, digits and hyphens, and not an address', () => {
  for (const name of ['a', 'worker-1', 'Worker-1.example.com', 'localhost']) assert.ok(isHostName(name), name)
  const wrong = [
    '',
    '*.example.com',
    'a_b',
    '-a',
    'a-',
    'a..b',
    '10.0.0.1',
    '::1',
    '1',
    'a.1',
    'a b',
    'a,b',
    'a'.repeat(64),
    'ä',
  ]
  for (const name of [...wrong, `${'a.'.repeat(127)}aa`]) assert.ok(!isHostName(name), name)
})
