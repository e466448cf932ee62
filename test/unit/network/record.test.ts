import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import type { NodeIdentity } from '../../../src/base/identity.ts'
import { canonicalJson } from '../../../src/network/canonical-json.ts'
import { encodeRecord, openRecord, sealRecord } from '../../../src/network/record.ts'
import type { RecordVerifier } from '../../../src/network/index.ts'
import { simulatedSigner, simulatedVerifier } from '../../../src/testing/index.ts'
import { nodeRecord } from './swim-fixture.ts'

const identity: NodeIdentity = { cluster: 'test', role: 'worker', nodeId: 'a' }
const seal = (record: unknown, signer = identity) =>
  sealRecord(Buffer.from(canonicalJson(record)), simulatedSigner(signer))

test('equal values have one canonical form', () => {
  assert.equal(canonicalJson({ b: [1, 'ü"'], a: undefined, A: null }), '{"A":null,"b":[1,"ü\\""]}')
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value)
      assert.equal(canonicalJson(JSON.parse(text)), text)
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('a sealed record opens to what it was', () => {
  const record = { ...nodeRecord('a'), labels: { zone: 'cellar' }, tokenKeys: '{"keys":[]}' }
  const bytes = encodeRecord(record)
  assert.ok(bytes)
  const sealed = sealRecord(bytes, simulatedSigner(identity))
  assert.deepEqual(openRecord(sealed, simulatedVerifier, 'test'), { record, envelope: sealed })
})

test('nobody speaks for another node, another role or another cluster', () => {
  const open = (record: unknown, cluster = 'test'): unknown => openRecord(seal(record), simulatedVerifier, cluster)
  assert.ok(open(nodeRecord('a')))
  assert.equal(open(nodeRecord('b')), undefined)
  assert.equal(open({ ...nodeRecord('a'), role: 'coordinator' }), undefined)
  assert.equal(open({ ...nodeRecord('a'), cluster: 'other' }), undefined)
  assert.equal(open(nodeRecord('a'), 'other'), undefined)
  assert.equal(openRecord(seal({ ...nodeRecord('a'), cluster: 'other' }), simulatedVerifier, 'other'), undefined)
})

test('the signature covers a context of its own, so that no other signature of the key fits', () => {
  const bytes = Buffer.from(canonicalJson(nodeRecord('a')))
  const signer = simulatedSigner(identity)
  const bare = { bytes, signature: signer.sign(bytes), certificateChainPem: signer.certificateChainPem }
  assert.equal(openRecord(bare, simulatedVerifier, 'test'), undefined)
})

test('a record without its shape is refused before its signature is looked at', () => {
  const never: RecordVerifier = { verify: () => assert.fail('verified') }
  const bad: unknown[] = [
    null,
    [],
    {},
    { ...nodeRecord('a'), nodeId: '../a' },
    { ...nodeRecord('a'), recordVersion: -1 },
    { ...nodeRecord('a'), recordVersion: 1.5 },
    { ...nodeRecord('a'), recordVersion: 2 ** 60 },
    { ...nodeRecord('a'), addresses: ['x'.repeat(301)] },
    { ...nodeRecord('a'), labels: { x: 1 } },
    { ...nodeRecord('a'), services: [{ name: 'x' }] },
  ]
  for (const record of bad) assert.equal(openRecord(seal(record), never, 'test'), undefined)
  for (const noise of ['', '{', '['.repeat(30_000)]) {
    assert.equal(openRecord(sealRecord(Buffer.from(noise), simulatedSigner(identity)), never, 'test'), undefined)
  }
})

test('a label cannot reach the prototype', () => {
  const text = JSON.stringify(nodeRecord('a')).replace('"labels":{}', '"labels":{"__proto__":{"x":"y"},"ok":"1"}')
  const opened = openRecord(sealRecord(Buffer.from(text), simulatedSigner(identity)), simulatedVerifier, 'test')
  assert.deepEqual(opened?.record.labels, { ok: '1' })
  assert.equal(Object.getPrototypeOf(opened?.record.labels), Object.prototype)
})

test('fields of a later version are relayed but not seen', () => {
  const opened = openRecord(seal({ ...nodeRecord('a'), colour: 'blue' }), simulatedVerifier, 'test')
  assert.deepEqual(opened?.record, nodeRecord('a'))
  assert.match(Buffer.from(opened?.envelope.bytes ?? []).toString(), /blue/)
})

test('a record others would refuse is not encoded', () => {
  assert.equal(encodeRecord({ ...nodeRecord('a'), labels: { 'no spaces': 'x' } }), undefined)
  const labels = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`label-${i}`, 'x'.repeat(200)]))
  assert.equal(encodeRecord({ ...nodeRecord('a'), labels }), undefined)
})
