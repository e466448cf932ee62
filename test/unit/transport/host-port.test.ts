import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatHostPort, parseHostPort } from '../../../src/transport/index.ts'

test('names, IPv4 and bracketed IPv6 are read and written back unchanged', () => {
  for (const text of ['node-1.lan:8001', '192.0.2.7:1', '[2001:db8::7]:65535', '[::1]:8002', '[fe80::1%eth0]:8001']) {
    const address = parseHostPort(text)
    assert.ok(address, text)
    assert.equal(formatHostPort(address.host, address.port), text)
  }
})

test('a text without port, with a bad port, or with bare IPv6 is refused', () => {
  const wrong = ['', 'host', 'host:', ':1', 'host:0', 'host:65536', 'host:1x', 'host:-1', '2001:db8::7:8001', '::1:80']
  wrong.push('[2001:db8::7]', '[host]:1', '[]:1', 'https://host:1', 'user@host:1', 'a b:1', 'host:1/path', '[::1]:80 ')
  for (const text of wrong) assert.equal(parseHostPort(text), undefined, text)
})
