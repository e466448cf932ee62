import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSpiffeId, isNodeId, parseSpiffeId, principalLabel } from '../../../src/base/identity.ts'

test('a node identity survives its SPIFFE id', () => {
  const identity = { cluster: 'p2p-1a2b3c4d', role: 'worker', nodeId: 'worker-1' } as const
  assert.equal(formatSpiffeId(identity), 'spiffe://p2p-1a2b3c4d/node/worker/worker-1')
  assert.deepEqual(parseSpiffeId(formatSpiffeId(identity)), identity)
})

test('what is not a node identity is not parsed into one', () => {
  for (const uri of [
    'https://c/node/worker/a',
    'spiffe://c/node/admin/a',
    'spiffe://c/node/worker/',
    'spiffe://c/node/worker/a/b',
    'spiffe://c/node/worker/..%2f',
    'spiffe:///node/worker/a',
    ' spiffe://c/node/worker/a',
    'spiffe://c/node/worker/a\n',
    'spiffe://C/node/worker/a',
  ]) {
    assert.equal(parseSpiffeId(uri), undefined, JSON.stringify(uri))
  }
})

test('node ids are short names without surprises', () => {
  for (const id of ['a', 'worker-1', 'db.eu_1', 'x'.repeat(63)]) assert.ok(isNodeId(id), id)
  for (const id of ['', '-a', '.a', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(64)]) assert.ok(!isNodeId(id), id)
})

test('labels of principals tell kinds apart', () => {
  assert.equal(principalLabel({ kind: 'anonymous' }), 'anonymous')
  assert.equal(principalLabel({ kind: 'node', nodeId: 'a', role: 'worker', service: 's' }), 'node:a/s')
  assert.equal(principalLabel({ kind: 'person', name: 'a', role: 'viewer' }), 'person:a')
})
